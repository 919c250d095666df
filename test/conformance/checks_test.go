package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestJudge(t *testing.T) {
	same := check{want: "a"}
	differs := check{want: "a", ours: "b", why: "it must"}
	for name, c := range map[string]struct {
		check          check
		golang, python seen
		verdict        string
	}{
		"as one":                       {same, seen{text: "a"}, seen{text: "a"}, "same"},
		"as listed":                    {differs, seen{text: "b"}, seen{text: "a"}, "differs: it must"},
		"not listed":                   {same, seen{text: "b"}, seen{text: "a"}, "FAILED: differs, and"},
		"differs no more":              {differs, seen{text: "a"}, seen{text: "a"}, "FAILED: the table lists a difference, and there is none"},
		"Go differs in another way":    {differs, seen{text: "c"}, seen{text: "a"}, "FAILED: the table says of Go: b"},
		"the SDK differs from before":  {differs, seen{text: "b"}, seen{text: "c"}, "FAILED: the table says of Python: a"},
		"both in the same wrong way":   {same, seen{text: "c"}, seen{text: "c"}, "FAILED: the table says of Go: a"},
		"the difference has no reason": {check{want: "a", ours: "b"}, seen{text: "b"}, seen{text: "a"}, "FAILED: the table lists a difference that is none"},
		"Go was not seen":              {same, seen{err: errors.New("no")}, seen{text: "a"}, "FAILED: not observed"},
		"Python was not seen":          {same, seen{text: "a"}, seen{err: errors.New("no")}, "FAILED: not observed"},
		"neither was seen":             {check{}, seen{err: errors.New("no")}, seen{err: errors.New("no")}, "FAILED: not observed"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(judge(c.check, c.golang, c.python).verdict()).To(HavePrefix(c.verdict))
		})
	}
}

func TestReportCounts(t *testing.T) {
	g := NewWithT(t)
	passed := []result{
		judge(check{id: "1", want: "a"}, seen{text: "a"}, seen{text: "a"}),
		judge(check{id: "1a", want: "a", ours: "b", why: "so"}, seen{text: "b"}, seen{text: "a"}),
	}
	var table strings.Builder
	g.Expect(report(&table, passed)).To(BeTrue())
	g.Expect(table.String()).To(HaveSuffix("\nconformance: 1 checks in 2 rows, 1 same, 1 differ on purpose, 0 failed\n"))

	failed := judge(check{id: "2", want: "a"}, seen{text: "a"}, seen{text: "b"})
	g.Expect(report(&table, append(passed, failed))).To(BeFalse())
	g.Expect(table.String()).To(HaveSuffix("\nconformance: 2 checks in 3 rows, 1 same, 1 differ on purpose, 1 failed\n"))
	g.Expect(report(&table, nil)).To(BeFalse(), "nothing was compared")
}

// All 36 are there, once and in order.
func TestChecksAreComplete(t *testing.T) {
	g := NewWithT(t)
	var ids []string
	numbers := map[int]bool{}
	for _, c := range checks() {
		ids = append(ids, c.id)
		numbers[c.number()] = true
		g.Expect(c.want).NotTo(BeEmpty(), c.id)
	}
	g.Expect(numbers).To(HaveLen(36))
	g.Expect(numbers).To(And(HaveKey(1), HaveKey(36), Not(HaveKey(0))))
	slices.Sort(ids)
	g.Expect(slices.Compact(slices.Clone(ids))).To(HaveLen(len(ids)), "an id is there twice")
}

func TestNormalised(t *testing.T) {
	for body, want := range map[string]string{
		`{"b": 1, "a": 2}`: `{"a":2,"b":1}`,
		`{"status":"Healthy","time_of_last_update":"2026-01-01T00:00:00Z"}`: `{"status":"Healthy","time_of_last_update":"2026-01-01T00:00:00Z"}`,
		`{"time_of_last_update":12.5}`:                                      `{"time_of_last_update":12.5}`,
		`{"jobs": [{"duration": 0.125}]}`:                                   `{"jobs":[{"duration":"…"}]}`,
		`{"duration": -1}`:                                                  `{"duration":-1}`,
		`{"details": ""}`:                                                   `{"details":""}`,
		"Method Not Allowed\n":                                              "Method Not Allowed",
		`{"a":1} {"a":1}`:                                                   `{"a":1} {"a":1}`,
		"NaN":                                                               "NaN",
		"":                                                                  "",
	} {
		NewWithT(t).Expect(normalised([]byte(body))).To(Equal(want))
	}
}

func TestWrap(t *testing.T) {
	g := NewWithT(t)
	g.Expect(wrap("héllo wörld again", 11)).To(Equal([]string{"héllo", "wörld again"}))
	g.Expect(wrap("abcdefgh", 3)).To(Equal([]string{"abc", "def", "gh"}))
	g.Expect(wrap("", 3)).To(BeEmpty())
}
