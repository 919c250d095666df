package lint_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lint"
)

// startedTwice is an observation of two starts, half a minute apart, each of which was called
// for two sessions.
func startedTwice(answers ...string) *lint.Observation {
	o := asked(healthy(5)...)
	for start := range 2 {
		at := time.Duration(start) * 30 * time.Second
		s := lint.Start{Began: begun.Add(at), Ready: begun.Add(at + time.Second)}
		for session := range 2 {
			c := call(at+time.Duration(2+session)*time.Second, 200, answers[2*start+session])
			c.SessionID = fmt.Sprintf("session-%d-%d", start, session)
			s.Calls = append(s.Calls, c)
		}
		o.Starts = append(o.Starts, s)
	}
	return o
}

// TestMadeAtStart: what answers of two starts show, and what they do not.
func TestMadeAtStart(t *testing.T) {
	const (
		one, two    = `{"instance":"3fa85f64-5717-4562-b3fc-2c963f66afa6","n":1}`, `{"instance":"0b6e2c1d-9a41-4c8e-8d1f-6f2b7c93e5aa","n":1}`
		hexA, hexB  = `{"id":"9f86d081884c7d65"}`, `{"id":"2c26b46b68ffc68f"}`
		first, next = `{"id":"a591a6d40bf42040"}`, `{"id":"4a44dc15364204a8"}`
	)
	at := func(layout string, seconds int) string {
		return fmt.Sprintf(`{"startedAt":%q}`, begun.Add(time.Duration(seconds)*time.Second).Format(layout))
	}
	unix := func(seconds int) string { return fmt.Sprintf(`{"expires":%d}`, begun.Unix()+int64(seconds)) }
	for name, row := range map[string]struct {
		answers []string
		severe  lint.Severity // empty: nothing is found
		seen    string        // or why it was not checked
	}{
		"an id of the start": {[]string{one, one, two, two}, lint.Warning, "instance (3fa8..., 36 characters): the same for two sessions of one start, and another after the next start"},
		"in a text":          {[]string{"I am AbC3dEf6HiJ9kLm2", "you are AbC3dEf6HiJ9kLm2", "XyZ1wVu4TsR7qPo0", "XyZ1wVu4TsR7qPo0"}, lint.Warning, "a value (AbC3..., 16 characters): "},
		"in base32":          {[]string{`{"id":"KJHGF2DSAQWERTYUIOP7"}`, `{"id":"KJHGF2DSAQWERTYUIOP7"}`, `{"id":"MNBVCX3ZLKJHGFDSA5QW"}`, `{"id":"MNBVCX3ZLKJHGFDSA5QW"}`}, lint.Warning, "id (KJHG..., 20 characters): "},
		"many of them": {
			[]string{`{"a":"3fa85f6457174562","b":"3fa85f6457174563","c":"3fa85f6457174564","d":"3fa85f6457174565"}`, `{"a":"3fa85f6457174562","b":"3fa85f6457174563","c":"3fa85f6457174564","d":"3fa85f6457174565"}`, hexA, hexA},
			lint.Warning, "a (3fa8..., 16 characters), b (3fa8..., 16 characters), c (3fa8..., 16 characters), 1 more: ",
		},
		"an id of the image":               {[]string{one, one, one, one}, "", ""},
		"an id of each call":               {[]string{hexA, hexB, first, next}, "", ""},
		"an id that the next answer lacks": {[]string{one, "{}", two, "{}"}, "", ""},
		"equal in two fields":              {[]string{`{"a":"9f86d081884c7d65"}`, `{"b":"9f86d081884c7d65"}`, hexB, hexB}, "", ""},
		"the same random numbers":          {[]string{first, next, first, next}, lint.Warning, "id (a591..., 16 characters): the same in the first answers of two starts, and so are the next"},
		"the first answer has more":        {[]string{first, "{}", first, "{}"}, "", ""},
		"a time of the start":              {[]string{at(time.RFC3339Nano, 0), at(time.RFC3339Nano, 0), at(time.RFC3339Nano, 30), at(time.RFC3339Nano, 30)}, lint.Note, "startedAt (2026-11-29T03:00:00Z): a time that is taken at the start"},
		"without a zone":                   {[]string{at(time.DateTime, 0), at(time.DateTime, 0), at(time.DateTime, 30), at(time.DateTime, 30)}, lint.Note, "startedAt (2026-11-29 03:00:00): "},
		"a time an hour after the start":   {[]string{unix(3600), unix(3600), unix(3631), unix(3631)}, lint.Note, "expires (1795924800): "},
		"a time that is not the start's":   {[]string{unix(3600), unix(3600), unix(7200), unix(7200)}, "", ""},
		"times of calls":                   {[]string{unix(2), unix(3), unix(32), unix(33)}, "", ""},
		"its directory and port": {
			[]string{`{"dir":"/tmp/agentsession-local-3412341234/567","port":"45123"}`, `{"dir":"/tmp/agentsession-local-3412341234/567"}`, `{"dir":"/tmp/agentsession-local-1112341234/567"}`, `{"dir":"/tmp/agentsession-local-1112341234/567"}`},
			"", "no value that looks random",
		},
		"its session": {[]string{`{"s":"session-0-0"}`, `{"s":"session-0-1"}`, "{}", "{}"}, "", "no value that looks random"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			severity, text := madeAtStart(startedTwice(row.answers...))
			g.Expect(severity).To(Equal(row.severe), text)
			if row.seen == "" {
				g.Expect(text).To(BeEmpty(), "it was looked at")
			}
			g.Expect(text).To(ContainSubstring(row.seen))
		})
	}
}

// madeAtStart is what the rule says: how severe it is and what was seen, or why it was not checked.
func madeAtStart(o *lint.Observation) (lint.Severity, string) {
	const id = "made-at-start"
	r := lint.Judge("it", o)
	for _, f := range r.Findings {
		if f.ID == id {
			return f.Severity, f.Seen
		}
	}
	for _, u := range r.Unchecked {
		if u.Rule == id {
			return "", u.Why
		}
	}
	return "", ""
}

// TestNotComparedAtStart: of what was not started twice, or did not answer, nothing is said.
func TestNotComparedAtStart(t *testing.T) {
	g := NewWithT(t)
	once := startedTwice("{}", "{}", "{}", "{}")
	once.Starts = once.Starts[:1]
	_, why := madeAtStart(once)
	g.Expect(why).To(Equal("the agent was not started twice (--snapshot)"))
	once.NotAgain = "it has ended"
	_, why = madeAtStart(once)
	g.Expect(why).To(Equal("it could not be started again: it has ended"))

	failed := startedTwice("{}", "{}", "{}", "{}")
	failed.Starts[1].Calls[1].Code = 500
	_, why = madeAtStart(failed)
	g.Expect(why).To(ContainSubstring("must be answered with 2xx"))
}

// TestTargetsOfSARIF: what was started has a name that is no URI.
func TestTargetsOfSARIF(t *testing.T) {
	for target, uri := range map[string]string{
		"http://127.0.0.1:8080": "http://127.0.0.1:8080/ping", "team/research": "agentsession:team/research", "python my agent.py": "agentsession:python%20my%20agent.py",
	} {
		g := NewWithT(t)
		text, err := lint.Formats["sarif"](lint.Judge(target, asked(`{"status":"x"}`)))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(text).To(ContainSubstring(`"uri": "` + uri + `"`))
	}
}
