package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

// fakeCgroups writes files as the kernel shows them.
func fakeCgroups(t *testing.T, files map[string]string) string {
	t.Helper()
	g := NewWithT(t)
	mount := t.TempDir()
	for name, content := range files {
		path := filepath.Join(mount, name)
		g.Expect(os.MkdirAll(filepath.Dir(path), 0o700)).To(Succeed())
		g.Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
	}
	return mount
}

func TestOnlyPodsOfOurCgroupAreOurs(t *testing.T) {
	g := NewWithT(t)
	v1 := fakeCgroups(t, map[string]string{
		"cpu/cgroup.procs": "1\n", "memory/cgroup.procs": "1\n",
		"cpu/agentsession/kubepods/pod1/c/cgroup.procs":    "11\n12\n",
		"memory/agentsession/kubepods/pod1/c/cgroup.procs": "11\n",
		"cpu/kubepods/pod2/cgroup.procs":                   "21\n",
		"cpu/docker/minikube/kubepods/pod3/cgroup.procs":   "31\n",
		"cpu/docker/agentsession/kubepods/cgroup.procs":    "41\n",
	})
	g.Expect(processesIn(v1)).To(ConsistOf(11, 12))
	v2 := fakeCgroups(t, map[string]string{
		"cgroup.controllers": "cpu memory\n", "cgroup.procs": "1\n", "user.slice/cgroup.procs": "2\n",
		"agentsession/kubepods/pod1/cgroup.procs":              "11\n",
		"user.slice/agentsession/kubepods/cgroup.procs":        "21\n",
		"kubepods.slice/kubepods-burstable.slice/cgroup.procs": "31\n",
	})
	g.Expect(processesIn(v2)).To(ConsistOf(11))
}

func TestTheNodesCgroupIsMadeAndDropped(t *testing.T) {
	g := NewWithT(t)
	mount := fakeCgroups(t, map[string]string{
		"cpuset/cgroup.procs": "1\n", "cpuset/cpuset.cpus": "0-1\n", "cpuset/cpuset.mems": "0\n", "pids/cgroup.procs": "1\n",
	})
	g.Expect(makeCgroups(mount)).To(Succeed())
	for name, content := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"} {
		file := filepath.Join(mount, "cpuset", cgroup, name)
		raw, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(raw)).To(Equal(content))
		g.Expect(os.Remove(file)).To(Succeed()) // the kernel's files go with their directory
	}
	for _, dir := range []string{"cpuset/agentsession/kubepods/pod1", "pids/agentsession/kubepods", "pids/kubepods"} {
		g.Expect(os.MkdirAll(filepath.Join(mount, dir), 0o700)).To(Succeed())
	}
	g.Expect(dropCgroups(mount)).To(Succeed())
	g.Expect(filepath.Join(mount, "cpuset", cgroup)).NotTo(BeADirectory())
	g.Expect(filepath.Join(mount, "pids", cgroup)).NotTo(BeADirectory())
	g.Expect(filepath.Join(mount, "pids", "kubepods")).To(BeADirectory(), "another kubelet's")
}

func TestControllersAreDelegated(t *testing.T) {
	g := NewWithT(t)
	mount := fakeCgroups(t, map[string]string{"cgroup.controllers": "cpuset cpu memory\n", "agentsession/cgroup.controllers": "cpuset cpu memory\n"})
	g.Expect(makeCgroups(mount)).To(Succeed())
	for _, dir := range []string{mount, filepath.Join(mount, cgroup)} {
		raw, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(raw)).To(Equal("+cpuset +cpu +memory"))
	}
}

func TestMountsOfOthersStay(t *testing.T) {
	g := NewWithT(t)
	n := node{dir: t.TempDir(), run: "/run/x"}
	g.Expect(n.ownStrays()).To(BeEmpty())
	g.Expect(os.WriteFile(n.path("strays-before"), []byte("/var/lib/kubelet\n/var/lib/cni"), 0o600)).To(Succeed())
	g.Expect(n.ownStrays()).To(And(ContainElement("/etc/cni"), Not(ContainElements("/var/lib/kubelet"))))
	mounts := "tmpfs /run/x/b tmpfs rw 0 0\ntmpfs /run/x/a tmpfs rw 0 0\ntmpfs /run/xy tmpfs rw 0 0\ntmpfs /var/lib/kubelet/pods tmpfs rw 0 0\n"
	g.Expect(mountsBelow(mounts, []string{"/run/x", "/etc/cni"})).To(Equal([]string{"/run/x/a", "/run/x/b"}))
}
