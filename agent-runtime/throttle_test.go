package agentruntime

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"runtime"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

// host is a file system as the kernel shows it.
func host(files map[string]string) machine {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return machine{tree}
}

// with is m with some files changed; empty is removed.
func (m machine) with(files map[string]string) machine {
	tree := fstest.MapFS{}
	maps.Copy(tree, m.FS.(fstest.MapFS))
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
		if content == "" {
			delete(tree, name)
		}
	}
	return machine{tree}
}

const meminfo = "MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:   400 kB\n"

var (
	// containerV2 is a container with a cgroup namespace: it sees itself as the root.
	containerV2 = host(map[string]string{
		"proc/meminfo":                 meminfo,
		"proc/self/cgroup":             "0::/\n",
		"proc/self/mountinfo":          "1 0 0:1 / / rw - overlay none rw\n30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 none rw\n",
		"sys/fs/cgroup/memory.max":     "102400\n",
		"sys/fs/cgroup/memory.current": "92160\n",
		"sys/fs/cgroup/memory.stat":    "anon 61440\ninactive_file 10240\nactive_file 1\n",
		"sys/fs/cgroup/cpu.max":        "50000 100000\n",
		"sys/fs/cgroup/cpu.stat":       "usage_usec 1000000\nuser_usec 1\n",
	})
	// hostV2 is a process that sees the machine's whole tree: the limit is not its
	// own cgroup's.
	hostV2 = host(map[string]string{
		"proc/meminfo":                                 meminfo,
		"proc/self/cgroup":                             "0::/kubepods/pod1/agent\n",
		"proc/self/mountinfo":                          "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 none rw,nsdelegate\n",
		"sys/fs/cgroup/cgroup.procs":                   "1\n",
		"sys/fs/cgroup/kubepods/memory.max":            "512000\n",
		"sys/fs/cgroup/kubepods/memory.current":        "1\n",
		"sys/fs/cgroup/kubepods/memory.stat":           "inactive_file 0\n",
		"sys/fs/cgroup/kubepods/pod1/memory.max":       "102400\n",
		"sys/fs/cgroup/kubepods/pod1/memory.current":   "51200\n",
		"sys/fs/cgroup/kubepods/pod1/memory.stat":      "inactive_file 0\n",
		"sys/fs/cgroup/kubepods/pod1/cpu.max":          "100000 100000\n",
		"sys/fs/cgroup/kubepods/pod1/agent/memory.max": "max\n",
		"sys/fs/cgroup/kubepods/pod1/agent/cpu.max":    "max 100000\n",
		"sys/fs/cgroup/kubepods/pod1/agent/cpu.stat":   "usage_usec 1000000\n",
	})
	// containerV1 is a container without a cgroup namespace: its path cannot be
	// seen, and the mounts show its own cgroup.
	containerV1 = host(map[string]string{
		"proc/meminfo":     meminfo,
		"proc/self/cgroup": "4:memory:/kubepods/pod1/agent\n3:cpu,cpuacct:/kubepods/pod1/agent\n0::/\n",
		"proc/self/mountinfo": "40 30 0:32 /kubepods/pod1/agent /sys/fs/cgroup/memory ro - cgroup none rw,memory\n" +
			"41 30 0:33 /kubepods/pod1/agent /sys/fs/cgroup/cpu,cpuacct ro - cgroup none rw,cpu,cpuacct\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes":  "102400\n",
		"sys/fs/cgroup/memory/memory.usage_in_bytes":  "92160\n",
		"sys/fs/cgroup/memory/memory.stat":            "inactive_file 1\ntotal_inactive_file 10240\n",
		"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":  "50000\n",
		"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
		"sys/fs/cgroup/cpu,cpuacct/cpuacct.usage":     "1000000000\n",
	})
)

func TestMemoryShare(t *testing.T) {
	for name, row := range map[string]struct {
		machine machine
		want    float64
	}{
		"v2":                     {containerV2, 0.8},
		"v2, tightest limit":     {hostV2, 0.5},
		"v2, path not visible":   {containerV2.with(map[string]string{"proc/self/cgroup": "0::/../../other\n"}), 0.8},
		"v2, no limit":           {containerV2.with(map[string]string{"sys/fs/cgroup/memory.max": "max\n"}), 0.6},
		"v2, limit above memory": {containerV2.with(map[string]string{"sys/fs/cgroup/memory.max": "2048000\n"}), 0.6},
		"v2, outside of the namespace, and a namesake inside": {containerV2.with(map[string]string{
			"proc/self/cgroup":                   "0::/../other\n",
			"sys/fs/cgroup/other/memory.max":     "1000\n",
			"sys/fs/cgroup/other/memory.current": "1000\n",
			"sys/fs/cgroup/other/memory.stat":    "inactive_file 0\n",
		}), 0.8},
		"v2, limit not a number": {containerV2.with(map[string]string{"sys/fs/cgroup/memory.max": "nan\n"}), 0.6},
		"v1":                     {containerV1, 0.8},
		"v1, another pod's root": {containerV1.with(map[string]string{
			"proc/self/cgroup": "4:memory:/kubepods/pod1/agent-2\n",
			"sys/fs/cgroup/memory/-2/memory.limit_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/-2/memory.usage_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/-2/memory.stat":           "total_inactive_file 0\n",
		}), 0.8},
		"v1, negative limit": {containerV1.with(map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "-1\n"}), 0.6},
		"v1, no limit": {containerV1.with(map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}), 0.6},
		"no cgroups": {host(map[string]string{"proc/meminfo": meminfo}), 0.6},
	} {
		got, err := row.machine.memoryShare()
		g := NewWithT(t)
		g.Expect(err).NotTo(HaveOccurred(), name)
		g.Expect(got).To(BeNumerically("~", row.want, 1e-9), name)
	}
	for name, broken := range map[string]machine{
		"no Linux":  host(nil),
		"no number": host(map[string]string{"proc/meminfo": "MemTotal: much kB\nMemAvailable: 1 kB\n"}),
		"no stat":   containerV2.with(map[string]string{"sys/fs/cgroup/memory.stat": ""}),
		"no usage":  containerV2.with(map[string]string{"sys/fs/cgroup/memory.current": "?\n"}),
	} {
		_, err := broken.memoryShare()
		NewWithT(t).Expect(err).To(HaveOccurred(), name)
	}
}

func TestCPUTime(t *testing.T) {
	all := float64(runtime.NumCPU())
	for name, row := range map[string]struct {
		machine machine
		limit   float64
	}{
		"v2":                 {containerV2, 0.5},
		"v2, tightest limit": {hostV2, 1},
		"v2, no limit":       {containerV2.with(map[string]string{"sys/fs/cgroup/cpu.max": "max 100000\n"}), all},
		"v1":                 {containerV1, 0.5},
		"v1, no limit":       {containerV1.with(map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}), all},
	} {
		used, limit, err := row.machine.cpuTime()
		g := NewWithT(t)
		g.Expect(err).NotTo(HaveOccurred(), name)
		g.Expect(used).To(Equal(time.Second), name)
		g.Expect(limit).To(Equal(min(row.limit, all)), name)
	}
	for name, broken := range map[string]machine{
		"no Linux":      host(nil),
		"no accounting": containerV2.with(map[string]string{"sys/fs/cgroup/cpu.stat": ""}),
		"not mounted":   containerV2.with(map[string]string{"proc/self/mountinfo": "junk\n"}),
		"in no cgroup":  containerV2.with(map[string]string{"proc/self/cgroup": "junk\n"}),
	} {
		_, _, err := broken.cpuTime()
		NewWithT(t).Expect(err).To(HaveOccurred(), name)
	}
}

func TestBusyAboveMemory(t *testing.T) {
	for share, want := range map[float64]Status{0.79: HealthyBusy, 0.81: Healthy} {
		got, err := containerV2.busyAboveMemory(share)(t.Context())
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(got).To(Equal(want))
	}
	_, err := host(nil).busyAboveMemory(0.5)(t.Context())
	NewWithT(t).Expect(err).To(And(MatchError(ContainSubstring("measure memory")), MatchError(fs.ErrNotExist)))
}

// Half a CPU is the limit, of which 80 % are 0.8 s in 2.
func TestBusyAboveCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		now := containerV2.with(nil)
		busy := now.busyAboveCPU(0.8)
		ask := func(microseconds string) Status {
			now.FS.(fstest.MapFS)["sys/fs/cgroup/cpu.stat"] = &fstest.MapFile{Data: []byte("usage_usec " + microseconds + "\n")}
			status, err := busy(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			return status
		}
		g.Expect(ask("5000000")).To(Equal(Healthy), "nothing to compare with")
		time.Sleep(2 * time.Second)
		g.Expect(ask("5790000")).To(Equal(Healthy))
		time.Sleep(2 * time.Second)
		g.Expect(ask("6600000")).To(Equal(HealthyBusy))
		time.Sleep(cpuWindow / 2)
		g.Expect(ask("6600000")).To(Equal(HealthyBusy), "too soon to measure again")
		time.Sleep(cpuWindow)
		g.Expect(ask("6600000")).To(Equal(Healthy))
	})
}

func TestThisMachine(t *testing.T) {
	g := NewWithT(t)
	h := AnyBusy(BusyAboveMemory(1), BusyAboveCPU(1))
	status, err := h(t.Context())
	if runtime.GOOS != "linux" {
		g.Expect(err).To(HaveOccurred())
		return
	}
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(status).To(Equal(Healthy))
}

func TestAnyBusyAndBusyWhile(t *testing.T) {
	is := func(busy bool, err error) PingHandler {
		return BusyWhile(func(context.Context) (bool, error) { return busy, err })
	}
	boom := errors.New("boom")
	yes, no, fails := is(true, nil), is(false, nil), is(true, boom)
	panics := func(context.Context) (Status, error) { panic("boom") }
	junk := func(context.Context) (Status, error) { return "Splendid", nil }
	for name, row := range map[string]struct {
		handlers []PingHandler
		want     Status
		err      string
	}{
		"none":             {nil, Healthy, ""},
		"all healthy":      {[]PingHandler{no, no}, Healthy, ""},
		"one busy":         {[]PingHandler{no, yes, no}, HealthyBusy, ""},
		"busy after error": {[]PingHandler{fails, yes}, HealthyBusy, ""},
		"error":            {[]PingHandler{no, fails, no}, "", "boom"},
		"panic":            {[]PingHandler{panics, no}, "", "panic: boom"},
		"junk":             {[]PingHandler{no, junk}, "", "Splendid"},
	} {
		g := NewWithT(t)
		got, err := AnyBusy(row.handlers...)(t.Context())
		if row.err != "" {
			g.Expect(err).To(MatchError(ContainSubstring(row.err)), name)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), name)
		g.Expect(got).To(Equal(row.want), name)
	}
}

func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		calls, takes, answer := 0, 50*time.Millisecond, Healthy
		h := Sampled(10*time.Second, func(ctx context.Context) (Status, error) {
			calls++
			status := answer
			select {
			case <-time.After(takes):
				return status, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
		ask := func(want Status) {
			t.Helper()
			status, err := h(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(status).To(Equal(want))
		}
		ask(Healthy) // waits for the first
		answer, takes = HealthyBusy, 5*time.Second
		ask(Healthy)
		synctest.Wait()
		g.Expect(calls).To(Equal(1), "once in an interval")
		time.Sleep(10 * time.Second)
		ask(Healthy) // begins the second, and does not wait
		time.Sleep(6 * time.Second)
		ask(HealthyBusy)
		synctest.Wait()
		g.Expect(calls).To(Equal(2))

		takes = time.Hour
		time.Sleep(10 * time.Second)
		ask(HealthyBusy)
		time.Sleep(29 * time.Second)
		_, err := h(t.Context())
		g.Expect(err).To(MatchError(ContainSubstring("the last answer is")))
		time.Sleep(2 * time.Second)
		_, err = h(t.Context())
		g.Expect(err).To(MatchError(context.DeadlineExceeded), "after three intervals it is told")
		synctest.Wait()
		g.Expect(calls).To(Equal(4), "and asked again")
		time.Sleep(time.Minute)
	})
}

// Nobody asked for longer than an answer holds: pings may be rarer than the
// interval, and the operator may have been away. That is no fault of h.
func TestSampledAfterAPause(t *testing.T) {
	for name, pause := range map[string]time.Duration{"rare pings": 2 * time.Second, "nobody asked": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			answers := []Status{Healthy, HealthyBusy, Healthy}
			calls := 0
			h := Sampled(500*time.Millisecond, func(context.Context) (Status, error) {
				time.Sleep(20 * time.Millisecond)
				calls++
				return answers[calls-1], nil
			})
			for i, want := range answers {
				ctx, cancel := context.WithTimeoutCause(t.Context(), pingHandlerBudget, errPingTimeout)
				status, err := h(ctx)
				cancel()
				g.Expect(err).NotTo(HaveOccurred(), name)
				g.Expect(status).To(Equal(want), "%s: answer %d, not one from before the pause", name, i)
				time.Sleep(pause)
			}
			g.Expect(calls).To(Equal(len(answers)), name)
		})
	}
}

func TestSampledThatFailsOrIsSlowAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		panics := Sampled(time.Second, func(context.Context) (Status, error) { panic("boom") })
		_, err := panics(t.Context())
		g.Expect(err).To(MatchError("panic: boom"))
		exits := Sampled(time.Second, func(context.Context) (Status, error) {
			runtime.Goexit()
			return "", nil
		})
		_, err = exits(t.Context())
		g.Expect(err).To(MatchError(errGoexit))

		slow := Sampled(time.Second, func(context.Context) (Status, error) {
			time.Sleep(time.Second)
			return HealthyBusy, nil
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), pingHandlerBudget, errPingTimeout)
		defer cancel()
		_, err = slow(ctx)
		g.Expect(err).To(MatchError(errPingTimeout))
		time.Sleep(time.Second)
		status, err := slow(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(status).To(Equal(HealthyBusy))
		synctest.Wait()
		time.Sleep(5 * time.Second)
	})
}

func TestMistakesInTheProgram(t *testing.T) {
	for _, share := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1)} {
		NewWithT(t).Expect(func() { BusyAboveMemory(share) }).To(PanicWith(ContainSubstring("agentruntime.BusyAboveMemory: share is")))
		NewWithT(t).Expect(func() { BusyAboveCPU(share) }).To(PanicWith(ContainSubstring("must be more than 0 and at most 1")))
	}
	healthy := func(context.Context) (Status, error) { return Healthy, nil }
	for _, interval := range []time.Duration{0, -time.Second} {
		NewWithT(t).Expect(func() { Sampled(interval, healthy) }).To(PanicWith(ContainSubstring(interval.String() + ", and must be more than 0")))
	}
	NewWithT(t).Expect(func() { Sampled(time.Second, nil) }).To(PanicWith("agentruntime.Sampled: h is nil, and must be a function"))
	NewWithT(t).Expect(func() { BusyWhile(nil) }).To(PanicWith("agentruntime.BusyWhile: busy is nil, and must be a function"))
	NewWithT(t).Expect(func() { AnyBusy(healthy, nil) }).To(PanicWith("agentruntime.AnyBusy: handler 2 of 2 is nil, and must be a function"))
}
