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
