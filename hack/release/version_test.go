package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestVersionThatIsGiven(t *testing.T) {
	for version, right := range map[string]bool{
		"v0.1.0": true, "v1.2.3-rc.1": true, "v10.0.0-alpha": true,
		"0.1.0": false, "v1": false, "v1.2": false, "v01.2.3": false, "v1.2.3+build": false, "v1.2.3-": false,
		"v1.2.3-rc_1": false, "latest": false, "agent-runtime/v0.1.0": false, "v1.2.3 ": false, "../v1.2.3": false,
		"v1.2.3-" + strings.Repeat("a", 64): false,
	} {
		t.Run(version, func(t *testing.T) {
			g := NewWithT(t)
			got, err := versionOf(t.Context(), t.TempDir(), []string{version})
			if right {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(got).To(Equal(version))
				return
			}
			g.Expect(err).To(MatchError(And(HavePrefix("VERSION is "), ContainSubstring("it must be a semantic version"))))
		})
	}
	_, err := versionOf(t.Context(), t.TempDir(), []string{"v0.1.0", "v0.2.0"})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("one version is wanted")))
}

func TestVersionOfTheTag(t *testing.T) {
	const plain, replaced = "module m\n\ngo 1.26.0\n", "module m\n\ngo 1.26.0\n\nreplace a => ./a\n"
	for name, row := range map[string]struct {
		tags    []string
		mod     string
		changed bool
		version string
		says    string
	}{
		"a tag":              {tags: []string{"v0.1.0"}, mod: plain, version: "v0.1.0"},
		"the module's too":   {tags: []string{"agent-runtime/v0.1.0", "v0.1.0"}, mod: plain, version: "v0.1.0"},
		"no tag":             {mod: plain, says: "this commit has no tag of a version"},
		"the module's only":  {tags: []string{"agent-runtime/v0.1.0"}, mod: plain, says: "this commit has no tag of a version"},
		"a short tag":        {tags: []string{"v0.1"}, mod: plain, says: `VERSION is "v0.1"`},
		"changed since then": {tags: []string{"v0.1.0"}, mod: plain, changed: true, says: "v0.1.0 is not what is here"},
		"a replace":          {tags: []string{"v0.1.0"}, mod: replaced, says: "go.mod has a replace"},
	} {
		t.Run(name, func(t *testing.T) {
			g, dir := NewWithT(t), t.TempDir()
			git := func(args ...string) {
				command := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"}, args...)...)
				command.Dir = dir
				_, err := output(command)
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(row.mod), 0o644)).To(Succeed())
			git("init", "-q")
			git("add", ".")
			git("commit", "-qm", "one")
			for _, tag := range row.tags {
				git("tag", tag)
			}
			if row.changed {
				g.Expect(os.WriteFile(filepath.Join(dir, "new.go"), nil, 0o644)).To(Succeed())
			}
			got, err := versionOf(t.Context(), dir, []string{""})
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(row.version))
		})
	}
}

func TestNotes(t *testing.T) {
	g := NewWithT(t)
	const changelog = "# Changelog\n\n## Unreleased\n\n- new ([docs](docs/local.md#ports)).\n\n## v0.1.0 (2026-12-01)\n\nThe first.\n\n### Known\n- [site](https://example.com)\n\n## v0.0.9\nold\n"
	text, ok := section(changelog, "v0.1.0")
	g.Expect(ok).To(BeTrue())
	g.Expect(text).To(Equal("The first.\n\n### Known\n- [site](https://example.com)\n"))
	_, ok = section(changelog, "v0.1")
	g.Expect(ok).To(BeFalse())
	r := release{top: t.TempDir(), dir: t.TempDir(), version: "v0.2.0"}
	g.Expect(os.WriteFile(filepath.Join(r.top, "CHANGELOG.md"), []byte(changelog), 0o644)).To(Succeed())
	g.Expect(r.writeNotes(t.Context())).To(Succeed())
	g.Expect(string(read(t, r.path("NOTES.md")))).To(Equal("- new ([docs](https://github.com/agentsession/agentsession/blob/v0.2.0/docs/local.md#ports)).\n"))
}
