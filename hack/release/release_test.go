package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const tried = "v0.9.0-rc.1"

// made are two releases of this tree, made in two directories: for this machine, and for
// the nodes of its architecture.
var made [2]release

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		panic(err)
	}
	for i := range made {
		if err == nil {
			made[i], err = makeIn(context.Background(), filepath.Join(dir, []string{"here", "in/another/place"}[i]))
		}
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func makeIn(ctx context.Context, dir string) (release, error) {
	r := release{top: filepath.Join(dir, "tree"), dir: filepath.Join(dir, "release"), version: tried}
	r.platforms = slices.Compact([]platform{{runtime.GOOS, runtime.GOARCH}, {"linux", runtime.GOARCH}})
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return r, err
	}
	if err := copyTree(ctx, r.top); err != nil {
		return r, err
	}
	return r, r.make(ctx)
}

// copyTree copies what git has or would add.
func copyTree(ctx context.Context, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-co", "--exclude-standard")
	list.Dir = "../.."
	names, err := output(list)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(names, "\n") {
		data, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// TestReproducible: two directories, the same bytes.
func TestReproducible(t *testing.T) {
	g := NewWithT(t)
	for i, r := range made {
		entries, err := os.ReadDir(r.dir)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(entries).To(HaveLen(len(r.names())), "release %d", i)
	}
	for _, name := range made[0].names() {
		one, other := read(t, made[0].path(name)), read(t, made[1].path(name))
		g.Expect(bytes.Equal(one, other)).To(BeTrue(), "%s is not reproducible", name)
	}
}

// names are the files of a release.
func (r release) names() []string {
	names := []string{
		"install.yaml", "install-gateway.yaml", "install-monitoring.yaml", "install-node.yaml",
		"agentsession-0.9.0-rc.1.tgz", "krew.yaml", "NOTES.md", "SHA256SUMS",
		"agentsession-operator_v0.9.0-rc.1_image.tar", "agentsession-gateway_v0.9.0-rc.1_image.tar",
	}
	for _, p := range r.platforms {
		suffix := "_v0.9.0-rc.1_" + p.os + "_" + p.arch
		for _, file := range []string{"agentsession", "agentsession-operator", "agentsession-gateway"} {
			names = append(names, file+suffix, file+suffix+".cdx.json")
		}
		names = append(names, "agentsession"+suffix+".tar.gz")
	}
	return names
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return data
}

func TestEachBinarySaysItsVersion(t *testing.T) {
	for file, says := range map[string]string{
		"agentsession": "agentsession version " + tried, "agentsession-operator": "agentsession-operator " + tried, "agentsession-gateway": "agentsession-gateway " + tried,
	} {
		t.Run(file, func(t *testing.T) {
			out, err := output(exec.CommandContext(t.Context(), made[0].path(file+"_"+tried+"_"+runtime.GOOS+"_"+runtime.GOARCH), "--version"))
			g := NewWithT(t)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(out).To(Equal(says))
		})
	}
}

// TestLogsBeginWithTheVersion: they say it even where the program can do nothing.
func TestLogsBeginWithTheVersion(t *testing.T) {
	for _, file := range []string{"agentsession-operator", "agentsession-gateway"} {
		t.Run(file, func(t *testing.T) {
			g := NewWithT(t)
			command := exec.CommandContext(t.Context(), made[0].path(file+"_"+tried+"_"+runtime.GOOS+"_"+runtime.GOARCH))
			command.Env = []string{"KUBECONFIG=" + filepath.Join(t.TempDir(), "none")}
			out, err := command.CombinedOutput()
			g.Expect(err).To(HaveOccurred(), "there is no cluster")
			first, _, _ := strings.Cut(string(out), "\n")
			g.Expect(first).To(ContainSubstring(`starts","version":"`+tried+`"`), string(out))
		})
	}
}

// TestNothingNamesTheDirectory: the binaries say nothing of where they were built.
func TestNothingNamesTheDirectory(t *testing.T) {
	for _, file := range []string{"agentsession", "agentsession-operator", "agentsession-gateway"} {
		data := read(t, made[0].path(file+"_"+tried+"_linux_"+runtime.GOARCH))
		NewWithT(t).Expect(bytes.Contains(data, []byte(made[0].top))).To(BeFalse(), file)
	}
}

func TestSums(t *testing.T) {
	g := NewWithT(t)
	var names []string
	for line := range strings.Lines(string(read(t, made[0].path("SHA256SUMS")))) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		g.Expect(ok).To(BeTrue(), line)
		g.Expect(sumOf(made[0].path(name))).To(Equal(sum))
		names = append(names, name)
	}
	g.Expect(append(names, "SHA256SUMS")).To(ConsistOf(made[0].names()))
}
