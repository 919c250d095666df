package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

// TestTablesOfWideText line up on a terminal, where ideographs and emoji take two columns.
func TestTablesOfWideText(t *testing.T) {
	g := NewWithT(t)
	lines := table([][]cell{plain("NAME", "X"), plain("名前", "x"), plain("🚀", "x"), plain("u\u0308", "x"), plain("a\x1b", "x")}, func(_, text string) string { return text })
	g.Expect(lines).To(HaveExactElements("NAME   X", "名前   x", "🚀     x", "u\u0308      x", "a?     x"))
	g.Expect(widest(lines)).To(Equal(8))
	g.Expect(fitting("名前x", 4)).To(Equal("名前"))
	g.Expect(fitting("名前x", 3)).To(Equal("名"))
	g.Expect(fitting("名前x", 5)).To(Equal("名前x"))
}
