package lint

import (
	"encoding/xml"
	"fmt"
	"time"
)

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
	if r.Seen.Incomplete {
		suite.Name += " (incomplete)"
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
