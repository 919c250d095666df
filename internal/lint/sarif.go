package lint

import (
	"net/url"
	"strings"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	sarifVersion = "2.1.0"
	sarifSchema  = "https://json.schemastore.org/sarif-2.1.0.json"
)

type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifInvocation struct {
		Successful bool `json:"executionSuccessful"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string       `json:"id"`
		Short   sarifText    `json:"shortDescription"`
		Full    sarifText    `json:"fullDescription"`
		Help    sarifText    `json:"help"`
		Default sarifDefault `json:"defaultConfiguration"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifDefault struct {
		Level Severity `json:"level"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Kind      string          `json:"kind,omitempty"`
		Level     Severity        `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
)

// sarif has all rules, and a result for each finding. Severities are SARIF's levels.
// A rule that was not checked is a result of the kind "open", which counts as none.
func (r Report) sarif() (string, error) {
	driver := sarifDriver{Name: "agentsession lint"}
	at := map[string]int{}
	for i, rule := range Rules() {
		at[rule.ID] = i
		driver.Rules = append(driver.Rules, sarifRule{
			ID: rule.ID, Short: sarifText{rule.Breach}, Full: sarifText{rule.Breach + ". " + rule.Costs},
			Help: sarifText{Finding{Rule: rule}.advice()}, Default: sarifDefault{rule.Severity},
		})
	}
	where := []sarifLocation{{sarifPhysical{sarifArtifact{r.uri()}}}}
	results := []sarifResult{}
	for _, f := range r.Findings {
		results = append(results, sarifResult{f.ID, at[f.ID], "", f.Severity, sarifText{f.Breach + ": " + f.Seen}, where})
	}
	for _, u := range r.Unchecked {
		results = append(results, sarifResult{u.Rule, at[u.Rule], "open", "none", sarifText{"Not checked: " + u.Why}, where})
	}
	return indented(sarifLog{sarifSchema, sarifVersion, []sarifRun{{sarifTool{driver}, []sarifInvocation{{!r.Seen.Incomplete}}, results}}})
}

// uri is what was looked at, as SARIF wants it.
func (r Report) uri() string {
	if strings.Contains(r.Target, "://") {
		return r.Target + contract.PingPath
	}
	return "agentsession:" + (&url.URL{Path: r.Target}).EscapedPath()
}
