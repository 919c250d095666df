// Command mutants breaks the code in one place at a time and runs the tests that should
// notice. It prints each mutant with what became of it, and exits with 1 if one lived that
// nobody has explained.
//
// There are two kinds: those written down in known.go, each of which was alive once, with
// the specs that kill it; and those of the rules, where each operator and each connective of
// what rules.go names is turned into its neighbour. Nothing in the source tree is
// touched: the compiler reads the broken file by an overlay.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mutant is one change of a file, and the tests that run with it.
type mutant struct {
	file   string
	at     int // the byte at which old stands
	old    string
	new    string
	tests  suite
	number int // of its switch; 0: it is compiled by itself
}

func main() {
	only := flag.String("only", "", "try only mutants of files whose name contains this `text`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	groups, err := planned()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing to be done about it
	t := trials{dir: dir, only: only, count: map[fate]int{}, sound: map[string]bool{}}
	began := time.Now()
	for _, g := range groups {
		if err := t.each(ctx, g); err != nil {
			return err
		}
	}
	fmt.Printf("%d mutants were noticed, %d are explained, %d do not compile, %d lived; %s\n",
		t.count[killed], t.count[explained], t.count[noCode], t.count[lived], time.Since(began).Round(time.Second))
	if t.count[lived] > 0 {
		return errors.New("tests do not notice what lived: write one that does, or explain it in known.go")
	}
	return nil
}

// group are mutants of one package, and what its files become where they have switches.
type group struct {
	mutants  []mutant
	switched map[string][]byte
}

// planned are all mutants. It is an error if what is written down of one fits none.
func planned() ([]group, error) {
	known, err := written()
	if err != nil {
		return nil, err
	}
	groups, all := []group{{mutants: known}}, known
	for _, rule := range rules {
		mutants, switched, err := ofRule(rule.files, rule.tests)
		if err != nil {
			return nil, err
		}
		groups, all = append(groups, group{mutants, switched}), append(all, mutants...)
	}
	keys, err := unfit(explanations, all)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		return nil, fmt.Errorf("known.go explains what is no mutant: %q", keys)
	}
	return groups, nil
}

// fate is what became of a mutant.
type fate string

const (
	killed    fate = "noticed"
	explained fate = "explained"
	noCode    fate = "no code"
	lived     fate = "LIVED"
)

// trials are of many mutants.
type trials struct {
	dir   string
	only  string
	count map[fate]int
	sound map[string]bool // tests that pass without a mutant
}

// switched is the test binary with switches of the package that is looked at.
func (t *trials) switched() string { return filepath.Join(t.dir, "switched") }

// each tries the mutants of a group.
func (t *trials) each(ctx context.Context, g group) error {
	all := slices.DeleteFunc(g.mutants, func(m mutant) bool { return !strings.Contains(m.file, t.only) })
	if len(all) > 0 && g.switched != nil {
		if err := t.build(ctx, all[0].tests, g.switched, t.switched()); err != nil {
			return err
		}
	}
	for _, m := range all {
		became, err := t.try(ctx, m)
		if err != nil {
			return err
		}
		t.count[became]++
		fmt.Printf("%-11s %s\n", became, m)
	}
	return nil
}

// try runs the tests with a mutant.
func (t *trials) try(ctx context.Context, m mutant) (fate, error) {
	raw, err := os.ReadFile(m.file)
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	if explanations[m.explanation(raw)] != "" {
		return explained, nil
	}
	binary := t.switched()
	if m.number == 0 {
		binary = filepath.Join(t.dir, "one")
		err = t.build(ctx, m.tests, map[string][]byte{m.file: m.broken(raw)}, binary)
	}
	if err == nil {
		err = m.tests.run(ctx, binary, m.number)
	}
	switch {
	case err == nil:
		return lived, nil
	case errors.Is(err, errBuild):
		return noCode, nil
	case errors.Is(err, errFailed):
		return killed, t.check(ctx, m.tests)
	}
	return "", err
}

// check is an error if tests fail without a mutant: they would notice anything.
func (t *trials) check(ctx context.Context, tests suite) error {
	name, whole := fmt.Sprint(tests), filepath.Join(t.dir, "whole")
	if t.sound[name] {
		return nil
	}
	err := t.build(ctx, tests, nil, whole)
	if err == nil {
		err = tests.run(ctx, whole, 0)
	}
	if err != nil {
		return fmt.Errorf("without a mutant: %w", err)
	}
	t.sound[name] = true
	return nil
}

// build makes the test binary of a package in which files are replaced.
func (t *trials) build(ctx context.Context, tests suite, files map[string][]byte, binary string) error {
	replace := map[string]string{}
	for file, by := range files {
		from, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("find the code: %w", err)
		}
		replace[from] = filepath.Join(t.dir, filepath.Base(file))
		if err := os.WriteFile(replace[from], by, 0o600); err != nil {
			return fmt.Errorf("write the overlay: %w", err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	overlay := filepath.Join(t.dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	return tests.build(ctx, overlay, binary)
}

func (m mutant) broken(raw []byte) []byte {
	return append(append(append([]byte{}, raw[:m.at]...), m.new...), raw[m.at+len(m.old):]...)
}

// explanation is the key of a mutant in explanations: the file, and the line as it became.
func (m mutant) explanation(raw []byte) string {
	broken := m.broken(raw)
	line := broken[bytes.LastIndexByte(broken[:m.at], '\n')+1:]
	line, _, _ = bytes.Cut(line, []byte("\n"))
	return filepath.Base(m.file) + ": " + string(bytes.TrimSpace(line))
}

func (m mutant) String() string {
	raw, _ := os.ReadFile(m.file) // it was read before
	return fmt.Sprintf("%s:%d %q for %q: %s", m.file, 1+bytes.Count(raw[:m.at], []byte("\n")), m.new, m.old, m.explanation(raw))
}
