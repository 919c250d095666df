package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestSilent(t *testing.T) {
	for name, row := range map[string]struct {
		failures int
		last     lifecycle.Failure
		want     bool
	}{
		"two":                {2, lifecycle.FailureTimeout, false},
		"three":              {3, lifecycle.FailureTimeout, true},
		"no connection":      {4, lifecycle.FailureConnect, true},
		"three bad answers":  {3, lifecycle.FailureStatusCode, false},
		"it has not failed":  {0, "", false},
		"answers without it": {15, lifecycle.FailureBody, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := lifecycle.Pulse{Failures: row.failures, LastFailure: lifecycle.Answer{Failure: row.last}}
			NewWithT(t).Expect(p.Silent()).To(Equal(row.want))
		})
	}
}

func TestMassFailure(t *testing.T) {
	type crowds map[string]lifecycle.Crowd
	for name, row := range map[string]struct {
		spaces crowds
		want   bool
	}{
		"nobody":                                 {nil, false},
		"nine, all silent":                       {crowds{"a": {Known: 9, Silent: 9}}, false},
		"ten, all silent":                        {crowds{"a": {Known: 10, Silent: 10}}, true},
		"half":                                   {crowds{"a": {Known: 20, Silent: 10}}, false},
		"more than half":                         {crowds{"a": {Known: 20, Silent: 11}}, true},
		"one namespace's own, three others tell": {crowds{"a": {Known: 20, Silent: 20}, "b": {Known: 3}}, false},
		"two others cannot tell":                 {crowds{"a": {Known: 20, Silent: 20}, "b": {Known: 2}}, true},
		"others in two namespaces":               {crowds{"a": {Known: 20, Silent: 20}, "b": {Known: 2}, "c": {Known: 1}}, false},
		"most others are silent too":             {crowds{"a": {Known: 20, Silent: 20}, "b": {Known: 3, Silent: 2}}, true},
		"of two that tie, the smaller is left":   {crowds{"a": {Known: 6, Silent: 6}, "b": {Known: 11, Silent: 6}}, true},
		"of two that tie, the larger can tell":   {crowds{"a": {Known: 6, Silent: 6}, "b": {Known: 16, Silent: 6}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var all lifecycle.Crowd
			for _, space := range row.spaces {
				all.Known, all.Silent = all.Known+space.Known, all.Silent+space.Silent
			}
			for range 20 { // the order of namespaces is chance
				g.Expect(lifecycle.MassFailure(all, row.spaces)).To(Equal(row.want))
			}
		})
	}
}

// An outage that does not end protects each agent for ten minutes, and then lets go
// of a few at a time, until half an hour later nobody is left.
func TestAnOutageProtectsForAWhile(t *testing.T) {
	g := NewWithT(t)
	began := time.Unix(1000, 0)
	o := lifecycle.Outage{}.Observe(true, began)
	protected := func(after time.Duration) (n int) {
		for i := range 1000 {
			if now := began.Add(after); o.ProtectedUntil(now, fmt.Sprintf("%032x", rand.New(rand.NewPCG(1, uint64(i))).Uint64())).Equal(now) {
				n++
			}
		}
		return n
	}
	g.Expect(protected(10 * time.Minute)).To(Equal(1000))
	for minutes := 11; minutes < 40; minutes++ {
		g.Expect(protected(time.Duration(minutes)*time.Minute)).To(BeNumerically("~", 1000*(40-minutes)/30, 60), "after %d minutes", minutes)
	}
	g.Expect(protected(40 * time.Minute)).To(BeZero())
	end := o.ProtectedUntil(began.Add(time.Hour), "uid-0")
	g.Expect(end).To(And(BeTemporally(">=", began.Add(10*time.Minute)), BeTemporally("<", began.Add(40*time.Minute))), "its failures count from then on")
	g.Expect(o.ProtectedUntil(began.Add(2*time.Hour), "uid-0")).To(Equal(end), "which stays where it is")
}

// One agent that comes and goes does not make an outage begin anew all the time.
func TestAnOutageThatComesAndGoes(t *testing.T) {
	g := NewWithT(t)
	began := time.Unix(1000, 0)
	const uid = "uid-0"
	end := lifecycle.Outage{}.Observe(true, began).ProtectedUntil(began.Add(time.Hour), uid)
	o := lifecycle.Outage{}.Observe(true, began).Observe(false, began.Add(time.Second))
	g.Expect(o.ProtectedUntil(began.Add(time.Hour), uid)).To(Equal(began.Add(time.Second)), "it ended")
	now := began
	for range 60 {
		o = o.Observe(true, now).Observe(false, now.Add(30*time.Second))
		now = now.Add(time.Minute)
	}
	g.Expect(o.ProtectedUntil(now, uid)).To(Equal(end))
	o = o.Observe(true, o.Ended.Add(10*time.Minute))
	g.Expect(o.ProtectedUntil(now.Add(time.Hour), uid)).To(Equal(end), "it comes just soon enough")
	o = o.Observe(false, now)
	now = now.Add(time.Hour)
	o = o.Observe(true, now)
	g.Expect(o.ProtectedUntil(now, uid)).To(Equal(now), "another one, long after")
}

// Whatever comes and goes: nobody is protected in the future, nor for longer than 40 minutes
// after an outage began, nor without one.
func TestProtectionIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		var o lifecycle.Outage
		for range rapid.IntRange(0, 30).Draw(t, "turns") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			o = o.Observe(rapid.Bool().Draw(t, "failing"), now)
		}
		until := o.ProtectedUntil(now, rapid.String().Draw(t, "uid"))
		switch {
		case o.Began.IsZero() && !until.IsZero():
			t.Fatalf("protected until %s, and there was no outage", until)
		case until.After(now):
			t.Fatalf("protected until %s, and it is %s", until, now)
		case until.After(o.Began.Add(40 * time.Minute)):
			t.Fatalf("protected until %s by an outage of %s", until, o.Began)
		}
	})
}
