package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// down stops what up started, by process id, and takes away what the programs
// left on the machine.
func (n node) down(ctx context.Context) error {
	if !n.exists() {
		progress("There is no cluster")
		return nil
	}
	progress("Stopping the node")
	n.dropPods(ctx)
	all := n.components("")
	slices.Reverse(all)
	var failed error
	for _, c := range all {
		if c.name == "containerd" {
			failed = errors.Join(failed, n.killContainers(ctx))
		}
		failed = errors.Join(failed, n.stop(c.name))
	}
	failed = errors.Join(failed, n.unmount(ctx), n.restoreHost(ctx), dropCgroups(cgroups))
	if failed != nil {
		return fmt.Errorf("take the node away: %w", failed)
	}
	for _, dir := range []string{n.dir, n.run} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("take the node away: %w", err)
		}
	}
	progress("The cluster is gone")
	return nil
}

// dropPods has the kubelet end the pods while there is one, which is tidier
// than what follows; that does without it.
func (n node) dropPods(ctx context.Context) {
	if n.pid("kubelet") == 0 || n.pid("kube-apiserver") == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := n.stop("kube-controller-manager"); err != nil { // or it makes new ones
		return
	}
	_, _ = n.kubectl(ctx, "delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--timeout=15s")
}

// killContainers ends every container of our containerd, and the shims that
// hold them.
func (n node) killContainers(ctx context.Context) error {
	if n.pid("containerd") != 0 {
		tasks, err := output(ctx, "ctr", "-a", n.socket(), "-n", "k8s.io", "tasks", "ls", "-q")
		if err == nil {
			for task := range strings.FieldsSeq(tasks) {
				try(ctx, "ctr", "-a", n.socket(), "-n", "k8s.io", "tasks", "kill", "--all", "--signal", "SIGKILL", task)
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		shims := n.shims()
		for _, pid := range shims {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone: the next look tells
		}
		if len(shims) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd's shims %v do not end", shims)
		}
	}
}

// shims are the processes that were told our containerd's socket, and the
// processes in the cgroups of its pods.
func (n node) shims() []int {
	var pids []int
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, file := range commands {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == n.pid("containerd") {
			continue
		}
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte("containerd-shim")) && bytes.Contains(line, []byte(n.socket())) {
			pids = append(pids, pid)
		}
	}
	return append(pids, processesIn(cgroups)...)
}

// unmount takes the mounts below our directories away, the innermost first.
func (n node) unmount(ctx context.Context) error {
	ours := append(n.ownStrays(), n.dir, n.run)
	for range 3 { // a mount may hide another
		raw, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			return fmt.Errorf("read the mounts: %w", err)
		}
		targets := mountsBelow(string(raw), ours)
		if len(targets) == 0 {
			return nil
		}
		for _, target := range slices.Backward(targets) {
			if _, err := output(ctx, "umount", "--lazy", target); err != nil { // not syscall.Unmount, which macOS has not
				return err
			}
		}
	}
	return nil
}

// mountsBelow are the mounts of /proc/self/mounts below some directories, sorted.
func mountsBelow(mounts string, dirs []string) (targets []string) {
	for line := range strings.Lines(mounts) {
		target := strings.Fields(line)[1]
		if slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(target, dir+"/") }) {
			targets = append(targets, target)
		}
	}
	slices.Sort(targets)
	return targets
}

// restoreHost puts network and directories back as they were.
func (n node) restoreHost(ctx context.Context) error {
	if n.sameBoot() {
		if err := n.restoreNetwork(ctx); err != nil {
			return err
		}
	}
	for _, dir := range n.ownStrays() {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}

// sameBoot tells whether the machine runs since up: what up changed of its network
// is gone with a restart, and what is there now is another's.
func (n node) sameBoot() bool {
	noted, err := os.ReadFile(n.path("boot"))
	if err != nil {
		return false // up failed before it started anything
	}
	now, err := os.ReadFile(bootID)
	return err == nil && bytes.Equal(noted, now)
}

func (n node) restoreNetwork(ctx context.Context) error {
	for _, t := range tables() {
		t.dropChains(ctx)
	}
	try(ctx, "ip", "link", "delete", bridge)
	try(ctx, "ip", "address", "delete", address+"/32", "dev", "lo")
	before, err := os.ReadFile(n.path("forwarding-before"))
	if err == nil {
		err = os.WriteFile(forwarding, before, 0o600)
	}
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("restore ip_forward: %w", err)
	}
	return nil
}

// ownStrays are those that were not there before the node: another kubelet of
// this machine may have its own there.
func (n node) ownStrays() (own []string) {
	here, err := os.ReadFile(n.path("strays-before"))
	if err != nil {
		return nil // up failed before it started anything
	}
	before := strings.Split(string(here), "\n")
	for _, dir := range strays {
		if !slices.Contains(before, dir) {
			own = append(own, dir)
		}
	}
	return own
}
