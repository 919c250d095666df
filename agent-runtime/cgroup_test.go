package agentruntime

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
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
		if got, err := row.machine.memoryShare(); err != nil || math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%s: %v, %v, not %v", name, got, err, row.want)
		}
	}
	for name, broken := range map[string]machine{
		"no Linux":  host(nil),
		"no number": host(map[string]string{"proc/meminfo": "MemTotal: much kB\nMemAvailable: 1 kB\n"}),
		"no stat":   containerV2.with(map[string]string{"sys/fs/cgroup/memory.stat": ""}),
		"no usage":  containerV2.with(map[string]string{"sys/fs/cgroup/memory.current": "?\n"}),
	} {
		if got, err := broken.memoryShare(); err == nil {
			t.Errorf("%s: %v, not an error", name, got)
		}
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
		if want := min(row.limit, all); err != nil || used != time.Second || limit != want {
			t.Errorf("%s: %v of %v CPUs, %v, not 1s of %v", name, used, limit, err, want)
		}
	}
	for name, broken := range map[string]machine{
		"no Linux":      host(nil),
		"no accounting": containerV2.with(map[string]string{"sys/fs/cgroup/cpu.stat": ""}),
		"not mounted":   containerV2.with(map[string]string{"proc/self/mountinfo": "junk\n"}),
		"in no cgroup":  containerV2.with(map[string]string{"proc/self/cgroup": "junk\n"}),
	} {
		if used, limit, err := broken.cpuTime(); err == nil {
			t.Errorf("%s: %v of %v CPUs, not an error", name, used, limit)
		}
	}
}

func TestBusyAboveMemory(t *testing.T) {
	for share, want := range map[float64]Status{0.79: HealthyBusy, 0.81: Healthy} {
		if got, err := containerV2.busyAboveMemory(share)(t.Context()); err != nil || got != want {
			t.Errorf("above %v: %q, %v, not %q", share, got, err, want)
		}
	}
	_, err := host(nil).busyAboveMemory(0.5)(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "measure memory") {
		t.Errorf("without /proc: %v", err)
	}
}

// Half a CPU is the limit, of which 80 % are 0.8 s in 2.
func TestBusyAboveCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := containerV2.with(nil)
		busy := now.busyAboveCPU(0.8)
		ask := func(microseconds string, want Status, why string) {
			t.Helper()
			now.FS.(fstest.MapFS)["sys/fs/cgroup/cpu.stat"] = &fstest.MapFile{Data: []byte("usage_usec " + microseconds + "\n")}
			if got, err := busy(t.Context()); err != nil || got != want {
				t.Errorf("%s: %q, %v, not %q", why, got, err, want)
			}
		}
		ask("5000000", Healthy, "nothing to compare with")
		time.Sleep(2 * time.Second)
		ask("5790000", Healthy, "0.79 s in 2")
		time.Sleep(2 * time.Second)
		ask("6600000", HealthyBusy, "0.81 s in 2")
		time.Sleep(cpuWindow / 2)
		ask("6600000", HealthyBusy, "too soon to measure again")
		time.Sleep(cpuWindow)
		ask("6600000", Healthy, "nothing since")
	})
}
