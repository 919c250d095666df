//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// portEnv tells the askers where the agents listen; the kernel chooses it.
const portEnv = "BENCH_PING_PORT"

// agentAddr is the address of an agent: all of 127.0.0.0/8 is this machine.
func agentAddr(i int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1 + byte(i>>16), byte(i >> 8), byte(i)}), port)
}

// child is this program in another role.
func child(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	command := exec.CommandContext(ctx, self, args...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this one is killed
	return command
}

// startAgents starts the agents' process and makes its port known to the
// askers.
func startAgents(ctx context.Context) (stop func() error, err error) {
	command := child(ctx, "-role=agents")
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the agents: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the agents: %w", err), command.Process.Kill(), command.Wait())
	}
	return func() error {
		err := command.Process.Kill()
		_ = command.Wait() // killed
		return err
	}, os.Setenv(portEnv, strings.TrimSpace(line))
}

// serveAgents answers for all agents until it is killed: the answer is prebuilt,
// and a goroutine for each connection writes it whenever it reads something.
func serveAgents(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "0.0.0.0:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	body := `{"status":"Healthy","time_of_last_update":1795423194}`
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			question := make([]byte, 1024)
			for {
				if _, err := conn.Read(question); err != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// report is what an asker says of its turn.
type report struct {
	Probes     int     `json:"probes"`
	Missed     int     `json:"missed"`
	Failed     int     `json:"failed"`
	CPU        float64 `json:"cpu_us_per_probe"`
	RSS        float64 `json:"rss_mib"`
	EmptyRSS   float64 `json:"empty_rss_mib"` // before the first agent
	CadenceP50 float64 `json:"cadence_error_ms_p50"`
	CadenceP99 float64 `json:"cadence_error_ms_p99"`
}

func startAsker(ctx context.Context, role string, n int, length time.Duration) (report, error) {
	out, err := child(ctx, "-role="+role, "-n="+strconv.Itoa(n), "-length="+length.String()).Output()
	if err != nil {
		return report{}, err
	}
	var r report
	return r, json.Unmarshal(out, &r)
}

// tally counts while a turn is measured; what comes before is to warm up.
type tally struct {
	port      uint16
	measuring atomic.Bool
	probes    atomic.Int64
	missed    atomic.Int64
	failed    atomic.Int64

	mu   sync.Mutex
	late []time.Duration
}

// asked notes a probe that was made, and how late.
func (t *tally) asked(late time.Duration, ok bool) {
	if !t.measuring.Load() {
		return
	}
	t.probes.Add(1)
	if !ok {
		t.failed.Add(1)
	}
	t.mu.Lock()
	t.late = append(t.late, late)
	t.mu.Unlock()
}

func (t *tally) miss(n int) {
	if t.measuring.Load() {
		t.missed.Add(int64(n))
	}
}

// ask is a turn: two periods to connect to everybody, then the measured time.
func ask(ctx context.Context, role string, n int, length time.Duration) error {
	asker, known := askers[role]
	port, err := strconv.ParseUint(os.Getenv(portEnv), 10, 16)
	if !known || err != nil {
		return fmt.Errorf("the role %q is for child processes", role)
	}
	t := &tally{port: uint16(port), late: make([]time.Duration, 0, int(length/period+2)*n)}
	empty := rssMiB()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- asker(ctx, n, t) }()
	time.Sleep(2 * period)
	t.measuring.Store(true)
	before := cpuTime()
	select {
	case err := <-ended:
		return errors.Join(errors.New("it ended before its time"), err)
	case <-time.After(length):
	}
	used := cpuTime() - before
	t.measuring.Store(false)
	r := t.report(used)
	r.RSS, r.EmptyRSS = rssMiB(), empty
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (t *tally) report(used time.Duration) report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := report{Probes: int(t.probes.Load()), Missed: int(t.missed.Load()), Failed: int(t.failed.Load())}
	if r.Probes == 0 {
		return r
	}
	slices.Sort(t.late)
	r.CPU = round(float64(used.Microseconds()) / float64(r.Probes))
	r.CadenceP50 = milliseconds(t.late[len(t.late)/2])
	r.CadenceP99 = milliseconds(t.late[len(t.late)*99/100])
	return r
}

func milliseconds(d time.Duration) float64 { return round(float64(d.Microseconds()) / 1e3) }

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// rssMiB is what this process has in memory, without the room for the tally.
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
