package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cgroups = "/sys/fs/cgroup"
	// cgroup is the root of the node's own: what is not below it belongs to another
	// kubelet, as that of minikube, k3d or kind.
	cgroup = "agentsession"
)

// roots are the directories of our cgroup: one, or with cgroup v1 one of each
// controller.
func roots(mount string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(mount, cgroup)}, nil
	}
	controllers, err := filepath.Glob(filepath.Join(mount, "*", "cgroup.procs"))
	var dirs []string
	for _, file := range controllers {
		dirs = append(dirs, filepath.Join(filepath.Dir(file), cgroup))
	}
	return dirs, err
}

// makeCgroups makes it: the kubelet wants to find it, with all controllers.
func makeCgroups(mount string) error {
	dirs, err := roots(mount)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the node's cgroup: %w", err)
		}
		// A new cpuset is empty, and takes no process.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(filepath.Dir(dir), dir, file); err != nil {
				return fmt.Errorf("make the node's cgroup: %w", err)
			}
		}
	}
	for _, dir := range []string{mount, filepath.Join(mount, cgroup)} { // cgroup v2
		if err := delegate(dir); err != nil {
			return fmt.Errorf("make the node's cgroup: %w", err)
		}
	}
	return nil
}

// inherit gives a cgroup the value of its parent, where cgroup v1 has one.
func inherit(parent, dir, file string) error {
	value, err := os.ReadFile(filepath.Join(parent, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), value, 0o600)
}

// delegate gives all controllers of a cgroup to those below it.
func delegate(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var wanted []string
	for controller := range strings.FieldsSeq(string(raw)) {
		wanted = append(wanted, "+"+controller)
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(strings.Join(wanted, " ")), 0o600)
}

// processesIn are those of our pods.
func processesIn(mount string) []int {
	var pids []int
	dirs, _ := roots(mount) // the pattern is right
	for _, root := range dirs {
		_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
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
	}
	return pids
}

// dropCgroups removes ours, which are empty now, the innermost first.
func dropCgroups(mount string) error {
	var all []string
	dirs, err := roots(mount)
	if err != nil {
		return err
	}
	for _, root := range dirs {
		_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return nil
		})
	}
	for _, dir := range slices.Backward(all) {
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
