package lint

import (
	"fmt"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Severity is how much a breach matters.
type Severity string

const (
	// Error is a breach for which AgentCore ends a session that works, keeps one that does
	// not, or fails its calls.
	Error Severity = "error"
	// Warning is a breach that AgentCore bears, as far as is known, or one that only looks
	// like one from outside.
	Warning Severity = "warning"
	// Note is no breach. It is worth a word.
	Note Severity = "note"
)

// Mend is what to do about a breach.
type Mend struct {
	Python     string `json:"python"`
	TypeScript string `json:"typescript"`
	Go         string `json:"go"`
}

// Rule is a part of the container contract.
type Rule struct {
	// ID names it, for ever.
	ID string
	// Severity of a breach, unless what was seen is worse or better.
	Severity Severity
	// Breach says what is wrong, and Costs what that costs on AWS.
	Breach, Costs string
	Mend          Mend

	look func(*Observation) outcome
}

// outcome is what a rule makes of an observation. The zero outcome is an agent that keeps it.
type outcome struct {
	seen      string
	severity  Severity // empty: the rule's
	unchecked string   // why nothing can be said
}

func seenOutcome(format string, args ...any) outcome {
	return outcome{seen: fmt.Sprintf(format, args...)}
}

func unchecked(format string, args ...any) outcome {
	return outcome{unchecked: fmt.Sprintf(format, args...)}
}

// as is o with another severity than its rule's.
func (o outcome) as(s Severity) outcome {
	o.severity = s
	return o
}

// Finding is a breach that was seen.
type Finding struct {
	Rule
	// Severity of this one.
	Severity Severity
	// Seen is what was, in one printable line.
	Seen string
}

// Unchecked is a rule of which nothing can be said, and why.
type Unchecked struct {
	Rule string `json:"rule"`
	Why  string `json:"why"`
}

// Report is what was found.
type Report struct {
	// Target is what was looked at.
	Target   string
	Seen     *Observation
	Findings []Finding
	// Unchecked are the rules of which nothing can be said.
	Unchecked []Unchecked
}

// maxSeen is how many bytes are told of what was seen.
const maxSeen = 400

// Judge holds an observation against all rules. The worst findings come first.
func Judge(target string, o *Observation) Report {
	r := Report{Target: lifecycle.Line(target, maxSeen), Seen: o}
	of := map[Severity][]Finding{}
	for _, rule := range Rules() {
		found := rule.look(o)
		switch {
		case found.unchecked != "":
			r.Unchecked = append(r.Unchecked, Unchecked{rule.ID, found.unchecked})
		case found.seen != "":
			f := Finding{Rule: rule, Severity: rule.Severity, Seen: lifecycle.Line(found.seen, maxSeen)}
			if found.severity != "" {
				f.Severity = found.severity
			}
			of[f.Severity] = append(of[f.Severity], f)
		}
	}
	r.Findings = append(append(of[Error], of[Warning]...), of[Note]...)
	return r
}

// Count tells how many findings are of a severity.
func (r Report) Count(s Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}
