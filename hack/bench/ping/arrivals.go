//go:build linux

package main

import "time"

// arrivals are what the agents noted of the questions while it was measured.
type arrivals struct {
	Asked      int     `json:"asked"`  // agents that were asked at all
	Missed     int     `json:"missed"` // of those
	CadenceP50 float64 `json:"cadence_error_ms_p50"`
	CadenceP99 float64 `json:"cadence_error_ms_p99"`
}

// arrivalLog notes when each agent was asked.
type arrivalLog struct {
	begun  time.Time
	last   []time.Time // by agent; zero if it was not asked
	errors histogram   // |time since the last question - period|
	missed int
}

// begin forgets what was counted, but not when the agents were asked last.
func (l *arrivalLog) begin(now time.Time) {
	l.begun, l.missed = now, 0
	l.errors.reset()
}

func (l *arrivalLog) note(agent int, now time.Time) {
	if agent >= len(l.last) {
		l.last = append(l.last, make([]time.Time, agent+1-len(l.last))...)
	}
	last := l.last[agent]
	l.last[agent] = now
	if last.IsZero() {
		l.missed += periods(now.Sub(l.begun))
		return
	}
	gap := now.Sub(last)
	l.errors.add((gap - period).Abs())
	l.missed += max(periods(gap)-1, 0)
}

func (l *arrivalLog) end(now time.Time) arrivals {
	a := arrivals{Missed: l.missed, CadenceP50: l.errors.milliseconds(.5), CadenceP99: l.errors.milliseconds(.99)}
	for _, last := range l.last {
		if last.After(l.begun) {
			a.Asked++
			a.Missed += max(periods(now.Sub(last))-1, 0)
		}
	}
	return a
}

// periods is how many periods a time is, to the nearest.
func periods(d time.Duration) int { return int((d + period/2) / period) }
