package controllers

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestCreations: tries never take all workers, those that were told of few, and first ones
// wait for none of them.
func TestCreations(t *testing.T) {
	g := NewWithT(t)
	c := newCreations(16)
	try := func(refusal string) *outcome {
		return &outcome{verdict: lifecycle.Verdict{Action: lifecycle.ActStart}, facts: lifecycle.Facts{Refusal: refusal}}
	}
	taken := func(refusal string) (n int, end func()) {
		for {
			o := try(refusal)
			last, free := c.begin(o)
			if !free {
				return n, end
			}
			n, end = n+1, last
		}
	}
	later, endLater := taken("PodNotMade: so it is")
	g.Expect(later).To(Equal(4))
	first, endFirst := taken("")
	g.Expect(first).To(Equal(8))
	for range 100 {
		_, free := c.begin(&outcome{verdict: lifecycle.Verdict{Action: lifecycle.ActStop}})
		g.Expect(free).To(BeTrue(), "what makes nothing needs no place")
	}
	endFirst()
	o := try("")
	_, free := c.begin(o)
	g.Expect(free).To(BeTrue())
	g.Expect(o.patience).To(Equal(firstCreation))
	endLater()
	o = try("PodRefused: a quota")
	_, free = c.begin(o)
	g.Expect(free).To(BeTrue())
	g.Expect(o.patience).To(Equal(laterCreation))

	end, free := newCreations(1).begin(try(""))
	g.Expect(free).To(BeTrue(), "one worker makes one")
	end()
}
