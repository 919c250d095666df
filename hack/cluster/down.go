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
	failed = errors.Join(failed, n.unmount(ctx), n.restoreHost(ctx), n.dropCgroups())
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
	return append(pids, podProcesses()...)
}

// podProcesses are in the cgroup that a kubelet makes for pods. There is one
// kubelet on a machine.
func podProcesses() []int {
	var pids []int
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() != "cgroup.procs" || !strings.Contains(path, "/kubepods") {
			return nil //nolint:nilerr // cgroups come and go
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // cgroups come and go
		}
		for id := range strings.FieldsSeq(string(raw)) {
			if pid, err := strconv.Atoi(id); err == nil && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// unmount takes the mounts below our directories away, the innermost first.
func (n node) unmount(ctx context.Context) error {
	for range 3 { // a mount may hide another
		raw, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			return fmt.Errorf("read the mounts: %w", err)
		}
		var ours []string
		for line := range strings.Lines(string(raw)) {
			if target := strings.Fields(line)[1]; strings.HasPrefix(target, n.dir+"/") || strings.HasPrefix(target, n.run+"/") || strings.HasPrefix(target, "/var/lib/kubelet/") {
				ours = append(ours, target)
			}
		}
		if len(ours) == 0 {
			return nil
		}
		slices.Sort(ours)
		for _, target := range slices.Backward(ours) {
			if _, err := output(ctx, "umount", "--lazy", target); err != nil { // not syscall.Unmount, which macOS has not
				return err
			}
		}
	}
	return nil
}

// restoreHost puts network and directories back as they were.
func (n node) restoreHost(ctx context.Context) error {
	for _, iptables := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"filter", "nat", "mangle"} {
			dropChains(ctx, iptables, table)
		}
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
	here, err := os.ReadFile(n.path("strays-before"))
	if err != nil {
		return nil //nolint:nilerr // up failed before it started anything
	}
	for _, dir := range strays {
		if !slices.Contains(strings.Split(string(here), "\n"), dir) {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove %s: %w", dir, err)
			}
		}
	}
	return nil
}

// dropChains removes the chains of kube-proxy and the kubelet, and the rules
// that lead to them.
func dropChains(ctx context.Context, iptables, table string) {
	rules, err := output(ctx, iptables, "-w", "-t", table, "-S")
	if err != nil {
		return // no such table: nothing to remove
	}
	var chains []string
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "-N" && strings.HasPrefix(fields[1], "KUBE-"):
			chains = append(chains, fields[1])
		case fields[0] == "-A" && !strings.HasPrefix(fields[1], "KUBE-") && strings.Contains(line, "-j KUBE-"):
			try(ctx, "sh", "-c", iptables+" -w -t "+table+" -D "+strings.TrimPrefix(strings.TrimSpace(line), "-A ")) // quotes as iptables printed them
		}
	}
	for _, flag := range []string{"-F", "-X"} {
		for _, chain := range chains {
			try(ctx, iptables, "-w", "-t", table, flag, chain)
		}
	}
}

// dropCgroups removes the empty cgroups of the pods, the innermost first.
func (n node) dropCgroups() error {
	var dirs []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, "/kubepods") {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := os.Remove(dir)
			if err == nil || os.IsNotExist(err) {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove the cgroup: %w", err)
			}
		}
	}
	return nil
}
