package lifecycle_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestPrintable(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.Printable("connection refused")).To(Equal("connection refused"))
	g.Expect(lifecycle.Printable("a\nb\x1b[31m\u202e\xff")).To(Equal("a b?[31m?\ufffd"))
	g.Expect(lifecycle.Printable(strings.Repeat("é", 300))).To(Equal(strings.Repeat("é", 200)))
}

func TestLastWords(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.LastWords("")).To(BeEmpty())
	g.Expect(lifecycle.LastWords("Traceback:\n  File \"a.py\"\n\nKeyError: 'x'\x1b[31m\n")).To(Equal(`Traceback: File "a.py" KeyError: 'x'?[31m`))
	g.Expect(lifecycle.LastWords(strings.Repeat("noise\n", 1000) + "the cause")).To(And(HavePrefix("…"), HaveSuffix(" noise the cause"), HaveLen(300+len("…"))))
	g.Expect(lifecycle.LastWords(strings.Repeat("é", 2000) + "x")).To(Equal("…" + strings.Repeat("é", 149) + "x"))
	g.Expect(lifecycle.LastWords(strings.Repeat("x", 300))).To(Equal(strings.Repeat("x", 300)), "as long as they may be")
	g.Expect(lifecycle.LastWords(strings.Repeat("\x80", 2000))).To(Equal("…"+strings.Repeat("\ufffd", 100)), "no text at all")
	g.Expect(lifecycle.LastWords("the cause" + strings.Repeat("\n", 900))).To(Equal("the cause"))
}

func TestCut(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.Cut("short", 5)).To(Equal("short"))
	g.Expect(lifecycle.Cut("longer", 5)).To(Equal("lo…"))
	g.Expect(lifecycle.Cut("éééé", 7)).To(Equal("éé…"))
	g.Expect(lifecycle.Cut("éééé", 6)).To(Equal("é…"))
	g.Expect(lifecycle.Cut(strings.Repeat("\x80", 9), 5)).To(Equal("…"), "no character begins")
}
