// Command mutants breaks the code in one place at a time and runs the tests that should
// notice. It prints each mutant with what became of it, and exits with 1 if one lived that
// nobody has explained.
//
// There are two kinds: those written down in known.go, each of which was alive once, with
// the specs that kill it; and those of the rules, where each comparison and each connective
// of internal/lifecycle is turned into its neighbour. Nothing in the source tree is touched:
// the compiler reads the broken file by an overlay.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// testTimeout is how long the tests of one mutant may take. One that makes them hang is
// noticed.
const testTimeout = 5 * time.Minute

// mutant is one change of a file, and the tests that run with it.
type mutant struct {
	file string
	at   int // the byte at which old stands
	old  string
	new  string
	test []string // arguments of go test
}

func main() {
	rules := flag.Int("rules", 0, "how `many` of the mutants of the rules to try, chosen by -seed. 0: all of them")
	seed := flag.Uint64("seed", 1, "the choice")
	only := flag.String("only", "", "try only mutants of files whose name contains this `text`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rules, *seed, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rules int, seed uint64, only string) error {
	all, err := written()
	if err != nil {
		return err
	}
	generated, err := ofRules()
	if err != nil {
		return err
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(generated), func(i, j int) {
		generated[i], generated[j] = generated[j], generated[i]
	})
	if rules > 0 && rules < len(generated) {
		generated = generated[:rules]
	}
	count, sound := map[fate]int{}, map[string]bool{}
	for _, m := range append(all, generated...) {
		if !strings.Contains(m.file, only) {
			continue
		}
		if tests := strings.Join(m.test, " "); !sound[tests] {
			if err := pass(ctx, m.test); err != nil {
				return err
			}
			sound[tests] = true
		}
		became, err := m.try(ctx)
		if err != nil {
			return err
		}
		count[became]++
		fmt.Printf("%-11s %s\n", became, m)
	}
	fmt.Printf("%d mutants were noticed, %d are explained, %d do not compile, %d lived\n", count[killed], count[explained], count[noCode], count[lived])
	if count[lived] > 0 {
		return errors.New("tests do not notice what lived: write one that does, or explain it in known.go")
	}
	return nil
}

// pass is an error if tests fail without a mutant: they would notice anything.
func pass(ctx context.Context, tests []string) error {
	failed, out, err := goTest(ctx, tests)
	if failed {
		return fmt.Errorf("go test %s fails without a mutant:\n%s", strings.Join(tests, " "), out)
	}
	return err
}

// fate is what became of a mutant.
type fate string

const (
	killed    fate = "noticed"
	explained fate = "explained"
	noCode    fate = "no code"
	lived     fate = "LIVED"
)

// try runs the tests with the mutant in the place of its file.
func (m mutant) try(ctx context.Context) (fate, error) {
	raw, err := os.ReadFile(m.file)
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	if explanations[m.explanation(raw)] != "" {
		return explained, nil
	}
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing to be done about it
	overlay, err := m.overlay(dir, raw)
	if err != nil {
		return "", err
	}
	failed, out, err := goTest(ctx, append([]string{"-overlay=" + overlay}, m.test...))
	switch {
	case err != nil:
		return "", err
	case !failed:
		return lived, nil
	case bytes.Contains(out, []byte("[build failed]")):
		return noCode, nil
	}
	return killed, nil
}

// overlay writes what the compiler is to read in the place of the file.
func (m mutant) overlay(dir string, raw []byte) (string, error) {
	from, err := filepath.Abs(m.file)
	if err != nil {
		return "", fmt.Errorf("find the code: %w", err)
	}
	to, overlay := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {from: to}})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	if err := errors.Join(os.WriteFile(to, m.broken(raw), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return overlay, nil
}

func (m mutant) broken(raw []byte) []byte {
	return append(append(append([]byte{}, raw[:m.at]...), m.new...), raw[m.at+len(m.old):]...)
}

// goTest runs tests. They are interrupted where this program is, and then take down the API
// server that they have started.
func goTest(ctx context.Context, args []string) (failed bool, out []byte, err error) {
	command := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-failfast", "-timeout=" + testTimeout.String()}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or go would end first, and kill them
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) }
	command.WaitDelay = time.Minute
	var both bytes.Buffer
	command.Stdout, command.Stderr = &both, &both
	err = command.Run()
	if _, is := errors.AsType[*exec.ExitError](err); is && ctx.Err() == nil {
		return true, both.Bytes(), nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("go test: %w: %s", err, both.Bytes())
	}
	return false, nil, nil
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
