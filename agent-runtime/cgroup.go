package agentruntime

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// machine is a root file system: what the kernel tells in /proc and
// /sys/fs/cgroup about the memory and CPU of this process's container. Sources:
// the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/{memory,cpuacct}.rst,
// proc_pid_mountinfo(5).
type machine struct{ fs.FS }

// memoryShare is the memory in use as a share of the tightest limit of the
// process's cgroups, or of the machine's memory if there is none. Files that the
// kernel may drop at any time do not count.
func (m machine) memoryShare() (float64, error) {
	total, available, err := m.meminfo()
	if err != nil {
		return 0, err
	}
	if group, err := m.cgroup("memory"); err == nil {
		names := memoryFilesV1
		if group.v2 {
			names = memoryFilesV2
		}
		for _, dir := range group.dirs {
			limit, err := m.number(path.Join(dir, names.limit)) // v2 has the word "max" for none, v1 a huge number
			if err != nil || !(limit > 0 && limit < total) {
				continue
			}
			used, err := m.number(path.Join(dir, names.used))
			if err != nil {
				return 0, err
			}
			droppable, err := m.entry(path.Join(dir, "memory.stat"), names.droppable)
			if err != nil {
				return 0, err
			}
			total, available = limit, limit-used+min(droppable, used)
		}
	}
	return 1 - available/total, nil
}

type memoryFiles struct{ limit, used, droppable string }

var (
	memoryFilesV1 = memoryFiles{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
	memoryFilesV2 = memoryFiles{"memory.max", "memory.current", "inactive_file"}
)

// meminfo is the machine's memory in bytes.
func (m machine) meminfo() (total, available float64, err error) {
	if total, err = m.entry("proc/meminfo", "MemTotal:"); err != nil {
		return 0, 0, err
	}
	if available, err = m.entry("proc/meminfo", "MemAvailable:"); err != nil {
		return 0, 0, err
	}
	return total * 1024, available * 1024, nil
}

// cpuTime is how long CPUs have worked for the process's cgroup, and how many
// may work for it at once.
func (m machine) cpuTime() (used time.Duration, limit float64, err error) {
	quota, err := m.cgroup("cpu")
	if err != nil {
		return 0, 0, err
	}
	if quota.v2 {
		microseconds, err := m.entry(path.Join(quota.dirs[0], "cpu.stat"), "usage_usec")
		return time.Duration(microseconds) * time.Microsecond, m.cpuLimit(quota), err
	}
	account, err := m.cgroup("cpuacct")
	if err != nil {
		return 0, 0, err
	}
	nanoseconds, err := m.number(path.Join(account.dirs[0], "cpuacct.usage"))
	return time.Duration(nanoseconds), m.cpuLimit(quota), err
}

// cpuLimit is the tightest of the cgroups' limits, and the number of CPUs if
// there is none.
func (m machine) cpuLimit(group cgroup) float64 {
	limit := float64(runtime.NumCPU())
	for _, dir := range group.dirs {
		var quota, period float64
		var err error
		if group.v2 {
			err = m.scan(path.Join(dir, "cpu.max"), &quota, &period) // fails for "max 100000", no limit
		} else {
			err = errors.Join(
				m.scan(path.Join(dir, "cpu.cfs_quota_us"), &quota), // -1 is no limit
				m.scan(path.Join(dir, "cpu.cfs_period_us"), &period))
		}
		if err == nil && quota > 0 && period > 0 {
			limit = min(limit, quota/period)
		}
	}
	return limit
}

// cgroup is where a controller's files of this process are.
type cgroup struct {
	v2   bool
	dirs []string // its own first, then those around it as far as they can be seen
}

func (m machine) cgroup(controller string) (cgroup, error) {
	own, v2, err := m.cgroupPath(controller)
	if err != nil {
		return cgroup{}, err
	}
	mountPoint, root, err := m.cgroupMount(controller, v2)
	if err != nil {
		return cgroup{}, err
	}
	// In a container the mount shows the container's cgroup only, and the path
	// may be one that cannot be seen from inside.
	inside, visible := strings.CutPrefix(own+"/", strings.TrimSuffix(root, "/")+"/")
	if !visible || strings.HasPrefix(own, "/..") { // outside of the cgroup namespace
		inside = ""
	}
	found := cgroup{v2: v2}
	for dir := path.Join(mountPoint, path.Clean("/"+inside)); ; dir = path.Dir(dir) {
		if info, err := fs.Stat(m, dir); err == nil && info.IsDir() {
			found.dirs = append(found.dirs, dir)
		}
		if dir == mountPoint {
			break
		}
	}
	if len(found.dirs) == 0 {
		return cgroup{}, fmt.Errorf("no directory of the cgroup controller %s", controller)
	}
	return found, nil
}

// cgroupPath reads the cgroup of the process: that of version 1 if the
// controller is there, else that of version 2.
func (m machine) cgroupPath(controller string) (own string, v2 bool, err error) {
	err = m.lines("proc/self/cgroup", func(line string) bool {
		fields := strings.SplitN(line, ":", 3) // 4:cpu,cpuacct:/path, or 0::/path
		switch {
		case len(fields) != 3:
		case slices.Contains(strings.Split(fields[1], ","), controller):
			own, v2 = fields[2], false
			return false
		case fields[0] == "0" && fields[1] == "":
			own, v2 = fields[2], true
		}
		return true
	})
	if err == nil && own == "" {
		err = fmt.Errorf("this process is in no cgroup of the controller %s", controller)
	}
	return own, v2, err
}

// cgroupMount finds where a hierarchy is mounted, and which of its cgroups that
// shows.
func (m machine) cgroupMount(controller string, v2 bool) (mountPoint, root string, err error) {
	err = m.lines("proc/self/mountinfo", func(line string) bool {
		mount, super, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(super)
		if len(fields) < 5 || len(kind) < 3 {
			return true
		}
		if v2 && kind[0] == "cgroup2" || !v2 && kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), controller) {
			root, mountPoint = fields[3], strings.TrimPrefix(fields[4], "/")
			return false
		}
		return true
	})
	if err == nil && mountPoint == "" {
		err = fmt.Errorf("the cgroup controller %s is not mounted", controller)
	}
	return mountPoint, root, err
}

// number reads a file that is one number.
func (m machine) number(name string) (float64, error) {
	var n float64
	return n, m.scan(name, &n)
}

// entry reads the number behind a key, in a file of keys and numbers.
func (m machine) entry(name, key string) (value float64, err error) {
	missing := true
	err = m.lines(name, func(line string) bool {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != key {
			return true
		}
		n, parseErr := strconv.ParseFloat(fields[1], 64)
		value, missing = n, parseErr != nil
		return false
	})
	if err == nil && missing {
		err = fmt.Errorf("%s has no number %s", name, key)
	}
	return value, err
}

// scan reads the numbers of a file.
func (m machine) scan(name string, numbers ...*float64) error {
	content, err := fs.ReadFile(m, name)
	if err != nil {
		return err
	}
	fields := strings.Fields(string(content))
	if len(fields) < len(numbers) {
		return fmt.Errorf("%s has %d fields, not %d", name, len(fields), len(numbers))
	}
	for i, n := range numbers {
		if *n, err = strconv.ParseFloat(fields[i], 64); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// lines hands out the lines of a file until take wants no more.
func (m machine) lines(name string, take func(line string) bool) error {
	file, err := m.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it is only read
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if !take(scanner.Text()) {
			return nil
		}
	}
	return nil
}
