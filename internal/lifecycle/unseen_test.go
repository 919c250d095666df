package lifecycle

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestUnseen(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	seconds := func(total, gaps time.Duration, until float64) Unseen {
		return Unseen{Total: total * time.Second, Gaps: gaps * time.Second, Until: at(until)}
	}
	some := seconds(29, 9, 60)
	for name, row := range map[string]struct{ got, want Unseen }{
		"a first gap":                          {Unseen{}.with(9*time.Second, at(10), at(60)), seconds(9, 9, 60)},
		"beside what status held":              {Unseen{Total: 20 * time.Second}.with(9*time.Second, at(10), at(60)), some},
		"in whole seconds, ended by then":      {Unseen{}.with(9900*time.Millisecond, at(10), at(59.5)), seconds(9, 9, 60)},
		"no longer than the status has lasted": {some.with(40*time.Second, at(10), at(70)), seconds(60, 49, 70)},
		"of a late report":                     {some.late(30*time.Second, at(10), at(100)), seconds(59, 9, 60)},
		"but not beyond now":                   {some.late(90*time.Second, at(10), at(100)), seconds(90, 9, 60)},
		"nor less than it was":                 {some.late(90*time.Second, at(10), at(20)), some},
		"the clock is set back":                {some.setBack(at(10), at(30)), seconds(20, 9, 30)},
		"and that is longer ago":               {some.setBack(at(10), at(70)), some},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(row.got).To(Equal(row.want)) })
	}
	for name, row := range map[string]struct{ moment, want float64 }{
		"before all gaps":      {40, 49},
		"never past the last":  {55, 60},
		"at the end of it":     {60, 60},
		"after it nothing was": {61, 61},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(some.past(at(row.moment))).To(Equal(at(row.want))) })
	}
}
