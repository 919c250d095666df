package lint

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Formats are the forms in which a report can be had.
var Formats = map[string]func(Report) (string, error){
	"text":  func(r Report) (string, error) { return r.Text(), nil },
	"json":  Report.json,
	"junit": Report.junit,
	"sarif": Report.sarif,
}

type jsonReport struct {
	Target   string        `json:"target"`
	Protocol string        `json:"protocol"`
	Pings    int           `json:"pings"`
	Calls    int           `json:"calls"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	Notes    int           `json:"notes"`
	Findings []jsonFinding `json:"findings"`
	Open     []Unchecked   `json:"notChecked"`
}

type jsonFinding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Breach   string   `json:"breach"`
	Seen     string   `json:"seen"`
	Costs    string   `json:"costs"`
	Mend     Mend     `json:"mend"`
}

func (r Report) json() (string, error) {
	out := jsonReport{
		Target: r.Target, Protocol: string(r.Seen.Protocol), Pings: len(r.Seen.Pings), Calls: len(r.Seen.Calls),
		Errors: r.Count(Error), Warnings: r.Count(Warning), Notes: r.Count(Note),
		Findings: []jsonFinding{}, Open: append([]Unchecked{}, r.Unchecked...),
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, jsonFinding{f.ID, f.Severity, f.Breach, f.Seen, f.Costs, f.Mend})
	}
	return indented(out)
}

func indented(v any) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	return b.String(), nil
}

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string    `xml:"classname,attr"`
	Name    string    `xml:"name,attr"`
	Failure *junitHow `xml:"failure,omitempty"`
	Skipped *junitHow `xml:"skipped,omitempty"`
	Out     string    `xml:"system-out,omitempty"`
}

type junitHow struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// junit has a case for each rule. Errors are failures; warnings and notes are said beside
// cases that pass, and what was not checked is skipped.
func (r Report) junit() (string, error) {
	rules := Rules()
	suite := junitSuite{
		Name: "agentsession lint " + r.Target, Tests: len(rules), Failures: r.Count(Error), Skipped: len(r.Unchecked),
		Time: fmt.Sprintf("%.3f", r.Seen.took().Seconds()),
	}
	for _, rule := range rules {
		c := junitCase{Class: "agentsession.lint", Name: rule.ID}
		for _, f := range r.Findings {
			switch {
			case f.ID != rule.ID:
			case f.Severity == Error:
				c.Failure = &junitHow{Message: f.Breach + ": " + f.Seen, Type: rule.ID, Text: f.advice()}
			default:
				c.Out = fmt.Sprintf("%s: %s: %s\n%s", f.Severity, f.Breach, f.Seen, f.advice())
			}
		}
		for _, u := range r.Unchecked {
			if u.Rule == rule.ID {
				c.Skipped = &junitHow{Message: u.Why}
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	text, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	return xml.Header + string(text) + "\n", nil
}

// advice is what a breach costs, and how it is mended.
func (f Finding) advice() string {
	return fmt.Sprintf("Costs: %s\nPython: %s\nTypeScript: %s\nGo: %s", f.Costs, f.Mend.Python, f.Mend.TypeScript, f.Mend.Go)
}

// took is how long the agent was watched.
func (o *Observation) took() time.Duration {
	if len(o.Pings) == 0 {
		return 0
	}
	last := o.Pings[len(o.Pings)-1]
	return last.Asked.Add(last.Took).Sub(o.Pings[0].Asked)
}

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
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
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
	return indented(sarifLog{sarifSchema, sarifVersion, []sarifRun{{sarifTool{driver}, results}}})
}

// uri is what was looked at, as SARIF wants it.
func (r Report) uri() string {
	if strings.Contains(r.Target, "://") {
		return r.Target + contract.PingPath
	}
	return "agentsession:" + r.Target
}
