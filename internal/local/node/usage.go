package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/prometheus/procfs"
	corev1 "k8s.io/api/core/v1"
)

// UsageWindow is for how long it is looked at what processes consume.
const UsageWindow = time.Second

// ErrUntold is that this system does not tell what processes consume.
var ErrUntold = errors.New("this system has no /proc that tells what processes consume")

// Usage is what the processes of a pod consume.
type Usage struct {
	Pod *corev1.Pod
	// CPU is the time of processors within UsageWindow.
	CPU time.Duration
	// Memory is what is resident, in bytes; what processes share counts for each of them.
	Memory int64
}

// Usage looks for a while at what the pods consume that run as processes. What a container
// consumes is its engine's to tell.
func (n *Node) Usage(ctx context.Context) (all []Usage, err error) {
	before, err := stats()
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(UsageWindow):
	case <-ctx.Done():
		return nil, ctx.Err() //nolint:wrapcheck // the caller's own
	}
	now, err := stats()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		if p.group.id == 0 {
			continue
		}
		u := Usage{Pod: p.pod}
		for pid, stat := range now {
			if isOf(pid, p.group, now) {
				u.CPU += cpuTime(before[pid], stat)
				u.Memory += int64(stat.ResidentMemory())
			}
		}
		all = append(all, u)
	}
	return all, nil
}

// cpuTime is the time of processors that a process took since it was looked at, or since its start.
func cpuTime(before, now procfs.ProcStat) time.Duration {
	ticks := now.CPUTime()
	if before.Starttime == now.Starttime {
		ticks -= before.CPUTime()
	}
	return time.Duration(ticks * float64(time.Second))
}

// stats are all processes of this machine, by pid.
func stats() (map[int]procfs.ProcStat, error) {
	processes, err := procfs.AllProcs()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUntold
	} else if err != nil {
		return nil, fmt.Errorf("look at the processes of this machine: %w", err)
	}
	all := map[int]procfs.ProcStat{}
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil { // it may have ended
			all[process.PID] = stat
		}
	}
	return all, nil
}
