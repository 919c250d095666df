package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
)

// meanwhile are the specs of what happens between a decision and its write, uses the tests
// of what a gateway writes before it lets a call through, and restored that of what the next
// operator goes on with.
var (
	meanwhile = suite{"controllers", [][]string{{"-ginkgo.fail-on-empty", "-ginkgo.timeout=4m", "-ginkgo.focus=What happens meanwhile"}}}
	uses      = suite{"internal/gateway", [][]string{{"-test.timeout=1m", "-test.run=^TestUse"}}}
	restored  = suite{"internal/lifecycle", [][]string{{"-test.timeout=1m", "-test.run=^TestRestore$"}}}
)

// known are mutants that were alive once, and what notices them since.
var known = []struct {
	file, old, new string
	tests          suite
}{
	{"controllers/observe.go", "case pod.UID != recorded.UID:", "case false:", meanwhile},
	{"controllers/act.go", "options := []client.DeleteOption{client.Preconditions{UID: &pod.UID}}", "options := []client.DeleteOption{}", meanwhile},
	{"controllers/act.go", "client.Preconditions{UID: &session.UID, ResourceVersion: &session.ResourceVersion}", "client.Preconditions{UID: &session.UID}", meanwhile},
	{"controllers/act.go", "pod, client.Preconditions{UID: &pod.UID}, ", "pod, ", meanwhile},
	{"controllers/storage.go", "claim, client.Preconditions{UID: &claim.UID}, ", "claim, ", meanwhile},
	{"controllers/validation.go", "trial, client.Preconditions{UID: &trial.UID}", "trial", meanwhile},
	{"controllers/agentruntime_controller.go", "&there, client.Preconditions{UID: &there.UID}", "&there", meanwhile},
	{"controllers/agentruntime_controller.go", "&versions[i], client.Preconditions{UID: &versions[i].UID}", "&versions[i]", meanwhile},
	{"internal/lifecycle/restore.go", "pulse.Unseen.Total = idle.Sub(pulse.Since)", "_ = idle", restored},
	{"internal/lifecycle/restore.go", "pulse.AnsweredAt = seen", "_ = seen", restored},
	{"controllers/report.go", "if pulse.Restored && old.NextStop != nil {", "if false {", meanwhile},
	{"controllers/act.go", "if pod.Labels[v1alpha1.LabelVersion] != wanted.Labels[v1alpha1.LabelVersion] {", "if false {", meanwhile},
	{"internal/gateway/traffic.go", "client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})", "client.MergeFrom(base)", uses},
	{"internal/gateway/traffic.go", "g.traffic.wrote(of, written, held)", "_ = held", uses},
	{"internal/gateway/traffic.go", "u.Alone = alone", "_ = alone", uses},
}

// explanations say why a mutant lives, by its file and its line: what it changes is no
// change of what anybody sees. One that fits no mutant is an error: its line has changed or
// moved.
var explanations = map[string]string{
	"look.go: if order, e := resourceversion.CompareResourceVersion(session.ResourceVersion, ahead.ResourceVersion); err == nil || e == nil && order > 0 {": "what was read has a version, and what was not has none: both hold, or neither does",
	"clock.go: case by <= 0:":                            "a clock that is set back by nothing is as it was",
	"earlier.go: return activation <= status.Activation": "they are not equal there",
	"outage.go: if space.Silent > worst.Silent || space.Silent == worst.Silent && space.Known <= worst.Known {":                         "of two alike it is all the same which is looked away from",
	"printable.go: if keep := 4 * maxLastWords; len(s) >= keep { // what is only space shrinks":                                         "the last so many bytes of so many are all",
	"traffic.go: if order, err := resourceversion.CompareResourceVersion(seen.version, u.observed.version); err != nil || order >= 0 {": "a version of a session says one thing",
	"traffic.go: if u.writing != nil && t.uses[of] != u {":                                                                              "flushOne looks at both again before it writes",
	"traffic.go: case unpaid >= 0:": "it is forgotten at once either way",
	"traffic.go: if t.finish(of, u, silence) || silent.Stop() { // it is not over":                                                                           "before the silence, only what was told leaves something to tell",
	"running.go: if order, err := resourceversion.CompareResourceVersion(session.ResourceVersion, one.version); err == nil && order < 0 {":                   "the version with which it was let through does not cut it",
	"usual.go: for length = untold; ok || err == nil && printable(line); {":                                                                                  "a code that is no number is 0, and no line follows on one without an end",
	"usual.go: if len(body) >= contract.MaxPingBytes {":                                                                                                      "judge makes the same of it",
	"usual.go: case int(size)+len(crlf) >= len(rest) || !bytes.HasPrefix(rest[size:], crlf):":                                                                "a chunk after which nothing comes has no end",
	"look.go: if order, e := resourceversion.CompareResourceVersion(session.ResourceVersion, ahead.ResourceVersion); err == nil && e == nil && order >= 0 {": "a version of a session says one thing",
	"answer.go: if err != nil || r.err == nil {":                                                                                                             "nothing reads on after an error",
}

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
			file: m.file, at: bytes.Index(raw, []byte(m.old)), old: m.old, new: m.new, tests: m.tests,
		})
	}
	return all, nil
}

// unfit are the explanations of a list that fit none of the mutants.
func unfit(explanations map[string]string, mutants []mutant) (keys []string, err error) {
	fit := map[string]bool{}
	for _, m := range mutants {
		raw, err := os.ReadFile(m.file)
		if err != nil {
			return nil, fmt.Errorf("read the code: %w", err)
		}
		fit[m.explanation(raw)] = true
	}
	for key := range explanations {
		if !fit[key] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}
