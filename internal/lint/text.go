package lint

import (
	"fmt"
	"strings"
)

// Formats are the forms in which a report can be had.
var Formats = map[string]func(Report) (string, error){
	"text":  func(r Report) (string, error) { return r.Text(), nil },
	"json":  Report.json,
	"junit": Report.junit,
	"sarif": Report.sarif,
}

// Text is the report for people.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Target, r.Summary())
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%-7s  %s: %s\n", f.Severity, f.ID, f.Breach)
		fmt.Fprintf(&b, "  seen   %s\n  costs  %s\n", f.Seen, f.Costs)
		fmt.Fprintf(&b, "  mend   Python: %s\n         TypeScript: %s\n         Go: %s\n", f.Mend.Python, f.Mend.TypeScript, f.Mend.Go)
	}
	if len(r.Unchecked) > 0 {
		b.WriteString("\nNot checked:\n")
	}
	of := map[string][]string{}
	for _, u := range r.Unchecked {
		of[u.Why] = append(of[u.Why], u.Rule)
	}
	for _, u := range r.Unchecked {
		switch same := of[u.Why]; {
		case len(same) <= maxAlike:
			fmt.Fprintf(&b, "  %s: %s\n", u.Rule, u.Why)
		case same[0] == u.Rule:
			fmt.Fprintf(&b, "  %d rules: %s\n", len(same), u.Why)
		}
	}
	return b.String()
}

// maxAlike is how many rules are named of which nothing can be said for the same reason.
const maxAlike = 5

// Summary says in a line what was done and what was found.
func (r Report) Summary() string {
	done := counted(len(r.Seen.Pings), "ping")
	if calls := len(r.Seen.Calls); calls > 0 {
		done += ", " + counted(calls, "call")
	}
	if r.Seen.Incomplete {
		done = "incomplete, since it was interrupted: " + done
	}
	if len(r.Findings) == 0 {
		return done + ": no breach of the container contract was seen"
	}
	var found []string
	for _, s := range []Severity{Error, Warning, Note} {
		if n := r.Count(s); n > 0 {
			found = append(found, counted(n, string(s)))
		}
	}
	return done + ": " + strings.Join(found, ", ")
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
