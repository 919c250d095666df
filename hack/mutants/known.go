package main

import (
	"bytes"
	"fmt"
	"os"
)

// known are mutants that were alive once, and what notices them since.
var known = []struct{ file, old, new, specs string }{
	{"controllers/observe.go", "case pod.UID != recorded.UID:", "case false:", "What happens meanwhile"},
	{"controllers/act.go", "options := []client.DeleteOption{client.Preconditions{UID: &pod.UID}}", "options := []client.DeleteOption{}", "What happens meanwhile"},
	{"controllers/act.go", "client.Preconditions{UID: &session.UID, ResourceVersion: &session.ResourceVersion}", "client.Preconditions{UID: &session.UID}", "What happens meanwhile"},
	{"internal/lifecycle/restore.go", "pulse.Unseen.Total = idle.Sub(pulse.Since)", "_ = idle", "What happens meanwhile"},
	{"internal/lifecycle/restore.go", "pulse.AnsweredAt = seen", "_ = seen", "What happens meanwhile"},
	{"controllers/report.go", "if pulse.Restored && old.NextStop != nil {", "if false {", "What happens meanwhile"},
	{"controllers/act.go", "if pod.Labels[v1alpha1.LabelVersion] != wanted.Labels[v1alpha1.LabelVersion] {", "if false {", "What happens meanwhile"},
}

// explanations say why a mutant lives, by its file and its line: what it changes is no
// change of what anybody sees.
var explanations = map[string]string{}

// written are the known mutants. One whose place is not there, or not the only one, is an
// error: the code has changed under it.
func written() ([]mutant, error) {
	var all []mutant
	for _, m := range known {
		raw, err := os.ReadFile(m.file)
		if err != nil {
			return nil, fmt.Errorf("read the code: %w", err)
		}
		if n := bytes.Count(raw, []byte(m.old)); n != 1 {
			return nil, fmt.Errorf("%s has %q %d times: it must be there once", m.file, m.old, n)
		}
		all = append(all, mutant{
			m.file, bytes.Index(raw, []byte(m.old)), m.old, m.new,
			[]string{"./controllers", "-ginkgo.fail-on-empty", "-ginkgo.timeout=4m", "-ginkgo.focus=" + m.specs},
		})
	}
	return all, nil
}
