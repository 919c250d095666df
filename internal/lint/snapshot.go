package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// lookMadeAtStart holds the answers of two starts against each other. What is the same for two
// sessions of one start, and another after the next, was made when the agent started: sessions
// that are restored from one snapshot would share it. What is another for the next session,
// and begins again with each start, comes from a generator that has the same seed each time.
func lookMadeAtStart(o *Observation) outcome {
	switch {
	case o.NotAgain != "":
		return unchecked("it could not be started again: %s", o.NotAgain)
	case len(o.Starts) < 2:
		return unchecked("the agent was not started twice (--snapshot)")
	}
	one, two := o.Starts[0], o.Starts[1]
	if !one.answered() || !two.answered() {
		return unchecked("the calls after both starts must be answered with 2xx to be compared")
	}
	a, b, c, d := valuesIn(one.Calls[0]), valuesIn(one.Calls[1]), valuesIn(two.Calls[0]), valuesIn(two.Calls[1])
	made, remade := a.and(b).without(c, d), c.and(d).without(a, b)
	begun, next := a.and(c).without(b), b.and(d).without(a)
	switch shared := made.random(); {
	case len(shared) > 0:
		return seenOutcome("%s: the same for two sessions of one start, and another after the next start", nameValues(shared))
	case len(begun.random()) > 0 && len(next.random()) > 0:
		return seenOutcome("%s: the same in the first answers of two starts, and so are the next: the random numbers begin alike", nameValues(begun.random()))
	}
	if times := madeTimes(made, remade, one, two); len(times) > 0 {
		return seenOutcome("%s: a time that is taken at the start, and is the same for all sessions of it", nameValues(times)).as(Note)
	}
	if len(a)+len(b)+len(c)+len(d) == 0 {
		return unchecked("the answers have no value that looks random, and no time")
	}
	return outcome{}
}

// answered tells whether both calls were served.
func (s Start) answered() bool {
	return len(s.Calls) == 2 && s.Calls[0].answered() && s.Calls[1].answered()
}

// value is one in an answer that looks random, or a time.
type value struct {
	// where it stands: the name before it, empty if there is none.
	where, text string
	time        time.Time // zero if it is none
}

type values map[value]bool

var (
	randomForm = regexp.MustCompile(`[A-Za-z0-9+/_=-]{16,}`)
	timeForm   = regexp.MustCompile(`(?:^|[^\w/.-])(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?|1\d{9}(?:\d{3}|\d{6}|\d{9})?\b)`)
	nameForm   = regexp.MustCompile(`"((?:[^"\\]|\\.){1,64})"\s*:\s*"?[^"]*$`)
)

// valuesIn are those of an answer, but for its session's id.
func valuesIn(c Call) values {
	all, body := values{}, bytes.ReplaceAll(c.Body, []byte(c.SessionID), nil)
	for _, at := range randomForm.FindAllIndex(body, -1) {
		if text := string(body[at[0]:at[1]]); looksRandom(text) {
			all[value{where: nameBefore(body[:at[0]]), text: text}] = true
		}
	}
	for _, at := range timeForm.FindAllSubmatchIndex(body, -1) {
		text := string(body[at[2]:at[3]])
		if t, ok := timeOf(text); ok {
			all[value{nameBefore(body[:at[2]]), text, t}] = true
		}
	}
	return all
}

// nameBefore is the name of the field of JSON whose value begins after some text.
func nameBefore(text []byte) string {
	const most = 200
	found := nameForm.FindSubmatch(text[max(0, len(text)-most):])
	if found == nil {
		return ""
	}
	return string(found[1])
}

// looksRandom tells whether letters, small letters and digits follow each other as they do in
// a UUID, in hex, in base32 and in base64, and not as in words and numbers: at every eighth
// place at least.
func looksRandom(text string) bool {
	kind := func(r rune) int {
		switch {
		case unicode.IsDigit(r):
			return 1
		case unicode.IsUpper(r):
			return 2
		case unicode.IsLower(r):
			return 3
		}
		return 0
	}
	last, changes := 0, 0
	for _, r := range text {
		k := kind(r)
		if k == 0 {
			continue
		}
		if last != 0 && k != last {
			changes++
		}
		last = k
	}
	return changes*8 >= len(text)
}

// timeOf reads a time of ISO 8601, in UTC if it names no zone, or of Unix, in seconds or parts
// of them.
func timeOf(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700"} {
		if t, err := time.Parse(layout, strings.Replace(text, " ", "T", 1)); err == nil {
			return t.UTC(), true
		}
	}
	n, err := strconv.ParseInt((text + "000000000")[:19], 10, 64) // nanoseconds
	return time.Unix(0, n).UTC(), err == nil
}

// and are those that others have too.
func (v values) and(others values) values {
	both := maps.Clone(v)
	maps.DeleteFunc(both, func(one value, _ bool) bool { return !others[one] })
	return both
}

// without are those that none of others has.
func (v values) without(others ...values) values {
	rest := maps.Clone(v)
	maps.DeleteFunc(rest, func(one value, _ bool) bool {
		return slices.ContainsFunc(others, func(other values) bool { return other[one] })
	})
	return rest
}

// random are those that are no times, in the order of their names.
func (v values) random() (all []value) {
	for one := range v {
		if one.time.IsZero() {
			all = append(all, one)
		}
	}
	return sorted(all)
}

func sorted(all []value) []value {
	return slices.SortedFunc(slices.Values(all), func(a, b value) int { return cmp.Or(cmp.Compare(a.where, b.where), cmp.Compare(a.text, b.text)) })
}

// madeTimes are times of one start that moved as far as the start did, so also those at which
// something expires.
func madeTimes(made, remade values, one, two Start) (all []value) {
	const rounding = time.Second
	least, most := two.Began.Sub(one.Ready)-rounding, two.Ready.Sub(one.Began)+rounding
	for before := range made {
		for after := range remade {
			moved := after.time.Sub(before.time)
			if !before.time.IsZero() && !after.time.IsZero() && before.where == after.where && moved >= least && moved <= most {
				all = append(all, before)
				break
			}
		}
	}
	return sorted(all)
}

// nameValues names some values, without telling what may be a secret.
func nameValues(all []value) string {
	const most = 3
	var names []string
	for _, one := range all[:min(most, len(all))] {
		shown := one.text
		if one.time.IsZero() {
			shown = fmt.Sprintf("%s..., %s", one.text[:4], counted(len(one.text), "character"))
		}
		names = append(names, fmt.Sprintf("%s (%s)", cmp.Or(one.where, "a value"), shown))
	}
	if left := len(all) - most; left > 0 {
		names = append(names, fmt.Sprintf("%d more", left))
	}
	return strings.Join(names, ", ")
}
