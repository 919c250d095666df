package lint

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// enough is how many answers show whether a stamp moves, and enoughTime in how long:
	// it counts whole seconds.
	enough     = 4
	enoughTime = 4 * time.Second
	// skew is how far two clocks may differ.
	skew = 5 * time.Second
)

func isMilliseconds(p Ping) bool { return p.Answer.Ping.Stamp == contract.StampMilliseconds }
func isNotANumber(p Ping) bool   { return p.Answer.Ping.Stamp == contract.StampNotANumber }
func isOutOfRange(p Ping) bool   { return p.Answer.Ping.Stamp == contract.StampOutOfRange }
func isUnstamped(p Ping) bool    { return p.Answer.Ping.Stamp == contract.StampMissing }
func isStamped(p Ping) bool      { return p.Answer.Ping.Stamp == contract.StampSeconds }

// stamps looks for stamps of a form.
func stamps(is kind) func(*Observation) outcome {
	return answered(func(o *Observation) outcome {
		those := some(o.good(), is)
		if len(those) == 0 {
			return outcome{}
		}
		return seenOutcome("%d of %d pings: %s", len(those), len(o.Pings), lifecycle.Printable(string(those[0].Body)))
	})
}

// stamped is a look at usable stamps.
func stamped(look func(o *Observation, stamped []Ping) outcome) func(*Observation) outcome {
	return answered(func(o *Observation) outcome {
		usable := some(o.good(), isStamped)
		if len(usable) == 0 {
			return unchecked("no answer has a usable time_of_last_update")
		}
		return look(o, usable)
	})
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

func lookAdvances(o *Observation) outcome {
	return stamped(func(o *Observation, usable []Ping) outcome {
		long := false
		for _, part := range o.undisturbed() {
			for _, pulse := range o.pulses(part) {
				if pulse.Advancing() {
					first, last := usable[0], usable[len(usable)-1]
					return seenOutcome("%d times in %s, from %s to %s", moves(usable), rounded(last.Asked.Sub(first.Asked)), clock(first.Answer.Ping.UpdatedAt), clock(last.Answer.Ping.UpdatedAt))
				}
			}
			stamped := some(part, isStamped)
			long = long || len(stamped) >= enough && stamped[len(stamped)-1].Asked.Sub(stamped[0].Asked) >= enoughTime
		}
		if !long {
			return unchecked("it was watched for too short a time: %s", counted(len(usable), "answer"))
		}
		return outcome{}
	})(o)
}

// moves counts how often the stamp was another one, with the same status.
func moves(pings []Ping) (n int) {
	for i := 1; i < len(pings); i++ {
		before, now := pings[i-1].Answer.Ping, pings[i].Answer.Ping
		if before.Status == now.Status && !before.UpdatedAt.Equal(now.UpdatedAt) {
			n++
		}
	}
	return n
}

func lookFrozen(o *Observation) outcome {
	return stamped(func(o *Observation, usable []Ping) outcome {
		for i, pulse := range o.pulses(o.Pings) {
			if pulse.Frozen() {
				p := o.Pings[i].Answer.Ping
				return seenOutcome("the status became %s at %s, with the stamp %s", p.Status, clock(o.Pings[i].Asked), clock(p.UpdatedAt))
			}
		}
		if !changes(usable) {
			return unchecked("the status did not change: --invoke with a payload that has it work in the background")
		}
		return outcome{}
	})(o)
}

func changes(pings []Ping) bool {
	for _, p := range pings {
		if p.Answer.Ping.Status != pings[0].Answer.Ping.Status {
			return true
		}
	}
	return false
}

func lookGoesBack(o *Observation) outcome {
	return stamped(func(_ *Observation, usable []Ping) outcome {
		for i := 1; i < len(usable); i++ {
			before, now := usable[i-1].Answer.Ping.UpdatedAt, usable[i].Answer.Ping.UpdatedAt
			if now.Before(before) {
				return seenOutcome("from %s to %s", clock(before), clock(now))
			}
		}
		return outcome{}
	})(o)
}

func lookFuture(o *Observation) outcome {
	return stamped(func(o *Observation, usable []Ping) outcome {
		those := some(usable, func(p Ping) bool { return p.Answer.Ping.UpdatedAt.After(p.Asked.Add(p.Took + skew)) })
		if len(those) == 0 {
			return outcome{}
		}
		ahead := those[0].Answer.Ping.UpdatedAt.Sub(those[0].Asked)
		return seenOutcome("%d of %d pings, by %s", len(those), len(o.Pings), ahead.Round(time.Second))
	})(o)
}

// lookMissingStamp looks for answers without one. Of an agent that is busy that is worse;
// AWS's own servers of A2A and AG-UI send none, so of theirs it is said more softly.
func lookMissingStamp(o *Observation) outcome {
	return answered(func(o *Observation) outcome {
		good := o.good()
		those := some(good, isUnstamped)
		busy := some(those, Ping.busy)
		switch {
		case len(busy) > 0 && (o.Protocol == v1alpha1.ProtocolA2A || o.Protocol == v1alpha1.ProtocolAGUI):
			return seenOutcome("%d of %d pings, HealthyBusy in %d of them", len(those), len(o.Pings), len(busy)).as(Warning)
		case len(busy) > 0:
			return seenOutcome("%d of %d pings, HealthyBusy in %d of them", len(those), len(o.Pings), len(busy)).as(Error)
		case len(those) == 0 || isLate(good):
			return outcome{}
		}
		return seenOutcome("%d of %d pings", len(those), len(o.Pings))
	})(o)
}

// isLate tells whether stamps come after answers without, and with another status.
func isLate(good []Ping) bool {
	for i, p := range good {
		if isStamped(p) {
			return i > 0 && changes(good[:i+1])
		}
	}
	return false
}

func lookLateStamp(o *Observation) outcome {
	return answered(func(o *Observation) outcome {
		good := o.good()
		switch {
		case len(good) == 0 || isStamped(good[0]):
			return outcome{}
		case isLate(good):
			return seenOutcome("none in the first answers, and one when the status had changed")
		case !changes(good):
			return unchecked("the status did not change: --invoke with a payload that has it work in the background")
		}
		return outcome{}
	})(o)
}
