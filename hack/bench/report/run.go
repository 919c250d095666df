package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// step is a command that ends with lines of JSON.
type step struct {
	bench   string
	command string // as the reader would type it
}

// steps are all that is measured. What more sizes than one cost is seen in one
// turn; the size that the figures are quoted for gets three.
var steps = []step{
	{"ping", "make bench-ping N=10000"},
	{"ping", "make bench-ping N=1000,5000,19000 PING_ARGS=-turns=1"},
	{"operator", "make bench-operator N=5000"},
	{"operator", "make bench-operator N=5000 NODES=10"},
	{"operator", "make bench-operator N=10000"},
	{"gateway", "make bench-gateway"},
	{"writes", "make bench-writes"},
	{"agent", "make bench-agent"},
}

// run runs a step, and stores what it measured.
func (s step) run(ctx context.Context, path string) error {
	fmt.Fprintln(os.Stderr, "==>", s.command)
	words := strings.Fields(s.command)
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Env = withoutMake(os.Environ())
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // it has to clean up
	var out bytes.Buffer
	command.Stdout, command.Stderr = io.MultiWriter(os.Stderr, &out), os.Stderr
	if err := command.Run(); err != nil {
		return err
	}
	m, err := thisMachine()
	if err != nil {
		return err
	}
	var lines []line
	for _, result := range lastJSON(out.String()) {
		l := line{Bench: s.bench, Command: s.command, Date: time.Now().UTC().Format(time.DateOnly), Machine: m, Result: result}
		if err := l.check(); err != nil {
			return err
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return errors.New("its last line is not JSON")
	}
	return store(path, s.command, lines)
}

// withoutMake leaves out what a make that runs this program tells other makes:
// they are to do what their command says, and to print no more.
func withoutMake(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if name != "MAKEFLAGS" && name != "MFLAGS" && name != "MAKELEVEL" && name != "MAKEOVERRIDES" {
			kept = append(kept, e)
		}
	}
	return kept
}

// lastJSON returns the lines of JSON that an output ends with.
func lastJSON(out string) []json.RawMessage {
	var found []json.RawMessage
	for text := range strings.Lines(out) {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
			found = append(found, json.RawMessage(text))
		} else {
			found = nil
		}
	}
	return found
}

// machine is what has to be known of the machine to compare figures.
type machine struct {
	Cores  int    `json:"cores"`
	Go     string `json:"go"`
	Kernel string `json:"kernel"`
}

func thisMachine() (machine, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return machine{}, fmt.Errorf("read the kernel's version: %w", err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // who built it does not matter
	return machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Kernel: "Linux " + version}, nil
}

func (m machine) String() string { return fmt.Sprintf("%d cores, %s, %s", m.Cores, m.Go, m.Kernel) }
