package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// TestReadEnv reads files and flags, and shows no value that it refuses.
func TestReadEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	write := func(g *WithT, text string) { g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed()) }
	t.Run("what is read", func(t *testing.T) {
		g := NewWithT(t)
		write(g, "# a comment\n\nA=1\r\nexport B=\"two words # no comment\"\nC='x=y'\nD=\nE=\"\n A.B-c=dotted\n"+
			"G=\"quoted\" # a comment\nH='x'\t# it's \"one\"\nI=\"a\"b\"\nJ=\"a\"#b\nK=bare # no comment\nL='a # b'\n")
		env, err := readEnv([]string{file}, []string{"A=2", "F= kept "})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(env).To(Equal([]corev1.EnvVar{
			{Name: "A", Value: "1"},
			{Name: "B", Value: "two words # no comment"},
			{Name: "C", Value: "x=y"},
			{Name: "D"},
			{Name: "E", Value: `"`},
			{Name: "A.B-c", Value: "dotted"},
			{Name: "G", Value: "quoted"},
			{Name: "H", Value: "x"},
			{Name: "I", Value: `a"b`},
			{Name: "J", Value: `"a"#b`},
			{Name: "K", Value: "bare # no comment"},
			{Name: "L", Value: "a # b"},
			{Name: "A", Value: "2"},
			{Name: "F", Value: " kept "},
		}))
	})
	for says, text := range map[string]string{
		"line 2: there is no = in it": "A=1\nsecret\n",
		"line 1: what stands before":  "1A=secret\n",
		"line 2: what stands before":  "A=1\nnew/secret+base64==\n",
		"a NUL in it":                 "A=secret\x00\n",
		"PORT is another for each":    "PORT=1\n",
		"TMPDIR is another for each":  "TMPDIR=/tmp\n",
	} {
		t.Run(says, func(t *testing.T) {
			g := NewWithT(t)
			write(g, text)
			_, err := readEnv([]string{file}, nil)
			g.Expect(err).To(MatchError(And(ContainSubstring(says), ContainSubstring("--env-file "+file), Not(ContainSubstring("secret")))))
		})
	}
	t.Run("a flag", func(t *testing.T) {
		_, err := readEnv(nil, []string{"secret"})
		g := NewWithT(t)
		g.Expect(err).To(MatchError("--env: there is no = in it: it must be NAME=VALUE"))
		_, err = readEnv(nil, []string{"a secret=x"})
		g.Expect(err).To(MatchError(And(ContainSubstring("--env: what stands before the = is no name"), Not(ContainSubstring("a secret")))))
	})
}
