//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child: this program in another role.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startChild(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, args...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this one is killed
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{command: command, in: in, out: bufio.NewReader(out)}, command.Start()
}

// hear reads a line of JSON that the child says.
func (p *process) hear(into any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("hear of the child: %w", err)
	}
	return json.Unmarshal(line, into)
}

// kill is for a child that has no more to say.
func (p *process) kill() error {
	err := p.command.Process.Kill()
	_ = p.command.Wait() // killed
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// farm is the agents' process.
type farm struct {
	*process
	ports ports
}

func startFarm(ctx context.Context) (*farm, error) {
	child, err := startChild(ctx, "-role=agents")
	if err != nil {
		return nil, err
	}
	f := &farm{process: child}
	if err := f.hear(&f.ports); err != nil {
		return nil, errors.Join(err, child.kill())
	}
	return f, nil
}

// begin has the agents forget what they noted so far.
func (f *farm) begin() error {
	_, err := io.WriteString(f.in, commandBegin)
	return err
}

// end returns what the agents noted since begin.
func (f *farm) end() (arrivals, error) {
	var a arrivals
	if _, err := io.WriteString(f.in, commandEnd); err != nil {
		return a, err
	}
	return a, f.hear(&a)
}

// report is what is known of an asker's turn.
type report struct {
	Probes   int     `json:"probes"`
	Missed   int     `json:"missed"`
	Failed   int     `json:"failed"`
	CPU      float64 `json:"cpu_us_per_probe"`
	RSS      float64 `json:"rss_mib"`
	EmptyRSS float64 `json:"empty_rss_mib"` // before the first agent
	LateP50  float64 `json:"late_ms_p50"`
	LateP99  float64 `json:"late_ms_p99"`

	// By the agents that answer:
	CadenceP50     float64 `json:"-"`
	CadenceP99     float64 `json:"-"`
	MissedAtAgents int     `json:"-"`
}

// measure is a turn of an asker. Its agents are new, at other ports: what the
// kernel still keeps of the connections before is not in its way.
func measure(ctx context.Context, name string, n int, o options) (r report, err error) {
	agents, err := startFarm(ctx)
	if err != nil {
		return r, fmt.Errorf("start the agents: %w", err)
	}
	defer func() { err = errors.Join(err, agents.kill()) }()
	asker, err := startAsker(ctx, agents.ports, name, n, o)
	if err != nil {
		return r, fmt.Errorf("start who asks: %w", err)
	}
	defer func() { err = errors.Join(err, asker.kill()) }()
	var warm string
	if err := asker.hear(&warm); err != nil {
		return r, err
	}
	if err := agents.begin(); err != nil {
		return r, err
	}
	if err := asker.hear(&r); err != nil {
		return r, err
	}
	seen, err := agents.end()
	if err != nil {
		return r, err
	}
	expected := n
	if name == hostile {
		expected = healthyOf(n)
	}
	r.CadenceP50, r.CadenceP99 = seen.CadenceP50, seen.CadenceP99
	r.MissedAtAgents = seen.Missed + (expected-seen.Asked)*int(o.length/period)
	return r, nil
}

func startAsker(ctx context.Context, to ports, name string, n int, o options) (*process, error) {
	encoded, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(portsEnv, string(encoded)); err != nil {
		return nil, err
	}
	args := []string{"-role=" + name, "-n=" + strconv.Itoa(n), "-length=" + o.length.String()}
	if name == engine {
		args = append(args, "-profile="+o.profile, "-memprofile="+o.memProfile)
	}
	return startChild(ctx, args...)
}

// tally counts while a turn is measured; what comes before is to warm up.
type tally struct {
	measuring atomic.Bool
	missed    atomic.Int64
	failed    atomic.Int64
	late      histogram // of all probes
}

// asked notes a probe that was made, and how late.
func (t *tally) asked(late time.Duration, ok bool) {
	if !t.measuring.Load() {
		return
	}
	t.late.add(late)
	if !ok {
		t.failed.Add(1)
	}
}

func (t *tally) miss(n int) {
	if t.measuring.Load() {
		t.missed.Add(int64(n))
	}
}

// ask is an asker's turn: two periods to connect to everybody, then the
// measured time. It says when that begins, and at its end what it measured.
func ask(ctx context.Context, name string, o options) error {
	asker, known := askers[name]
	var to ports
	if err := json.Unmarshal([]byte(os.Getenv(portsEnv)), &to); err != nil || !known {
		return fmt.Errorf("the role %q is for child processes", name)
	}
	t := &tally{}
	empty := rssMiB()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- asker(ctx, o.sizes[0], to, t) }()
	if err := wait(ended, 2*period); err != nil {
		return err
	}
	fmt.Println(`"warm"`)
	stopProfile, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	t.measuring.Store(true)
	before := cpuTime()
	if err := wait(ended, o.length); err != nil {
		return err
	}
	used := cpuTime() - before
	t.measuring.Store(false)
	r := t.report(used)
	r.RSS, r.EmptyRSS = rssMiB(), empty
	if err := errors.Join(stopProfile(), writeMemProfile(o.memProfile)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// wait lets an asker ask, which must not end meanwhile.
func wait(ended <-chan error, length time.Duration) error {
	select {
	case err := <-ended:
		return errors.Join(errors.New("it ended before its time"), err)
	case <-time.After(length):
		return nil
	}
}

func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

func writeMemProfile(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is as of the last collection
	return errors.Join(pprof.WriteHeapProfile(file), file.Close())
}

func (t *tally) report(used time.Duration) report {
	r := report{
		Probes:  int(t.late.count.Load()),
		Missed:  int(t.missed.Load()),
		Failed:  int(t.failed.Load()),
		LateP50: t.late.milliseconds(.5),
		LateP99: t.late.milliseconds(.99),
	}
	if r.Probes > 0 {
		r.CPU = round(float64(used.Microseconds()) / float64(r.Probes))
	}
	return r
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// rssMiB is what this process has in memory.
func rssMiB() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var kib float64
		if n, _ := fmt.Sscanf(scanner.Text(), "VmRSS: %f kB", &kib); n == 1 {
			return round(kib / 1024)
		}
	}
	return 0
}
