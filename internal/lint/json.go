package lint

import (
	"encoding/json"
	"fmt"
	"strings"
)

type jsonReport struct {
	Target   string `json:"target"`
	Protocol string `json:"protocol"`
	Pings    int    `json:"pings"`
	Calls    int    `json:"calls"`
	// Incomplete stands there only if the watch was interrupted.
	Incomplete bool          `json:"incomplete,omitempty"`
	Errors     int           `json:"errors"`
	Warnings   int           `json:"warnings"`
	Notes      int           `json:"notes"`
	Findings   []jsonFinding `json:"findings"`
	Open       []Unchecked   `json:"notChecked"`
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
		Target: r.Target, Protocol: string(r.Seen.Protocol), Pings: len(r.Seen.Pings), Calls: len(r.Seen.Calls), Incomplete: r.Seen.Incomplete,
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
