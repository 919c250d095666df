package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestThePythonBaseIsFoundAgain(t *testing.T) {
	g := NewWithT(t)
	cache := t.TempDir()
	requirements := filepath.Join(t.TempDir(), "requirements.txt")
	write := func(content string) string {
		g.Expect(os.WriteFile(requirements, []byte(content), 0o600)).To(Succeed())
		return filepath.Join(cache, archiveName([]byte(content)))
	}
	made := write("six==1.17.0")
	g.Expect(os.WriteFile(made, nil, 0o600)).To(Succeed())
	g.Expect(pythonBase(t.Context(), cache, requirements)).To(Equal(made))
	g.Expect(write("six==1.16.0")).NotTo(Equal(made), "other requirements want another base")
}

func TestImagePythonWantsItsArguments(t *testing.T) {
	g := NewWithT(t)
	g.Expect(run(t.Context(), []string{"image-python", "only-a-tag"})).To(MatchError(ContainSubstring("a tag, a directory")))
}
