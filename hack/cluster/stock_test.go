package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheStockBaseIsFoundAgain(t *testing.T) {
	g := NewWithT(t)
	cache, dir := t.TempDir(), t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
		archive, err := archiveName(dir)
		g.Expect(err).NotTo(HaveOccurred())
		return filepath.Join(cache, archive)
	}
	for _, name := range recipe {
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte("first"), 0o600)).To(Succeed())
	}
	made := write("requirements.txt", "first")
	g.Expect(os.WriteFile(made, nil, 0o600)).To(Succeed())
	g.Expect(stockBase(t.Context(), cache, dir)).To(Equal(made))
	for _, name := range recipe {
		g.Expect(write(name, "another")).NotTo(Equal(made), "another %s wants another base", name)
		g.Expect(write(name, "first")).To(Equal(made))
	}
}

func TestImageStockWantsItsArguments(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("USE_CLUSTER", "current")
	g.Expect(run(t.Context(), []string{"image-stock", "only-a-tag"})).To(MatchError(ContainSubstring("a tag and a directory")))
}
