package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

// TestWhatIsWrittenDown: each known mutant has its place in the code, and each explanation
// its mutant.
func TestWhatIsWrittenDown(t *testing.T) {
	t.Chdir("../..")
	groups, err := planned()
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(groups).To(HaveLen(1 + len(rules)))
	for _, group := range groups {
		g.Expect(group.mutants).NotTo(BeEmpty())
	}
}
