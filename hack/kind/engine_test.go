// Package kind holds the tests of the scripts here.
package kind

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// machine is a PATH on which all that needs root is a stand-in that succeeds, or
// does what its line of shell says.
func machine(t *testing.T, does map[string]string) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	for _, program := range []string{"bash", "cat", "cksum", "cut", "dirname", "grep", "mktemp", "rm", "tail"} {
		path, err := exec.LookPath(program)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.Symlink(path, filepath.Join(dir, program))).To(Succeed())
	}
	lines := map[string]string{
		"id": "echo 0", "ldconfig": "echo libdevmapper.so.1.02.1", "ip": `[ "$2" != show ]`, // there is no docker0
		"apt-get": "", "containerd": "", "runc": "", "iptables": "", "jq": "", "debootstrap": "", "unshare": "", "mkdir": "", "rmdir": "",
	}
	maps.Copy(lines, does)
	for name, line := range lines {
		if line != "missing" {
			g.Expect(os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+line+"\n"), 0o700)).To(Succeed())
		}
	}
	cache := t.TempDir()
	g.Expect(os.MkdirAll(filepath.Join(cache, "agentsession", "kind"), 0o700)).To(Succeed()) // mkdir is a stand-in
	t.Setenv("PATH", dir)
	t.Setenv("XDG_CACHE_HOME", cache)
}

func TestWhatAMachineLacks(t *testing.T) {
	for name, row := range map[string]struct {
		does map[string]string
		want []string // the beginnings of lines
	}{
		"nothing":          {nil, nil},
		"root":             {map[string]string{"id": "echo 1000"}, []string{"root"}},
		"Debian":           {map[string]string{"apt-get": "missing"}, []string{"Debian's apt-get"}},
		"mounts":           {map[string]string{"unshare": `case $* in *tmpfs*) exit 1; esac`}, []string{"mounts in"}},
		"overlays":         {map[string]string{"unshare": `case $* in *lowerdir*) exit 1; esac`}, []string{"overlay mounts in"}},
		"networks":         {map[string]string{"unshare": `case $* in *--net*) exit 1; esac`}, []string{"bridges", "pairs of veth", "iptables"}},
		"cgroups":          {map[string]string{"mkdir": `case $* in */sys/fs/cgroup/*) exit 1; esac`}, []string{"cgroups that can be written"}},
		"another's bridge": {map[string]string{"ip": `echo 3: docker0 inet 172.17.0.1/16`}, []string{"the name docker0"}},
		"no other bridge":  {map[string]string{"ip": `echo 3: docker0 inet 172.29.0.1/24`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			machine(t, row.does)
			out, err := exec.CommandContext(t.Context(), "./engine", "lacks").Output()
			g.Expect(err).NotTo(HaveOccurred())
			var lines []string
			for line := range strings.Lines(string(out)) {
				lines = append(lines, line)
			}
			g.Expect(lines).To(HaveLen(len(row.want)))
			for i := range row.want {
				g.Expect(lines[i]).To(HavePrefix(row.want[i]))
			}
		})
	}
}

// A machine that can, and where something fails, is not one that cannot.
func TestAFaultIsNotALack(t *testing.T) {
	g := NewWithT(t)
	machine(t, map[string]string{"jq": "missing", "apt-get": "echo no mirror answers >&2; exit 100"})
	out, err := exec.CommandContext(t.Context(), "./engine", "lacks").Output()
	failed, ok := errors.AsType[*exec.ExitError](err)
	g.Expect(ok).To(BeTrue(), "%v", err)
	g.Expect(string(failed.Stderr)).To(ContainSubstring("no mirror answers"))
	g.Expect(out).To(BeEmpty())
}
