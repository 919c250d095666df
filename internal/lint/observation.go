package lint

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Observation is what was seen of an agent.
type Observation struct {
	// Protocol that it speaks, and Question that it was asked.
	Protocol v1alpha1.ServerProtocol
	Question lifecycle.Question
	// Period is the time between two pings, and Slow from when on an answer is late.
	Period, Slow time.Duration
	// Pings in the order in which they were made.
	Pings []Ping
	// Otherwise is the one that named another host than these; nil if there was none.
	Otherwise *Ping
	// Calls in theirs; none if it was not to be called.
	Calls []Call
	// Starts of an agent that was started for this; two if their answers are to be compared.
	Starts []Start
	// NotAgain is why it could not be started for a second time; empty if it was, or was not to be.
	NotAgain string
	// OwnPayload tells that the user said what the calls carry.
	OwnPayload bool
	// Listens is where, as far as is known.
	Listens Listens
	// TLS tells that the agent speaks that, in the place of plain HTTP.
	TLS bool
	// Incomplete tells that the watch was ended before its time.
	Incomplete bool
}

// Listens is on which addresses an agent does.
type Listens int

const (
	// ListensUnknown is what was not looked at.
	ListensUnknown Listens = iota
	// ListensWide is not on loopback alone.
	ListensWide
	// ListensLoopback is on loopback alone, as seen from its own machine.
	ListensLoopback
	// ListensNotToPod is an agent that answers within its pod, and never did at its address.
	ListensNotToPod
)

// Ping is one ping.
type Ping struct {
	Asked time.Time
	Took  time.Duration
	// Host that it named.
	Host string
	// Code and ContentType of the answer; 0 and empty if none came.
	Code        int
	ContentType string
	// Body is the answer's, contract.MaxPingBytes at most.
	Body []byte
	// Answer is what the operator makes of it.
	Answer lifecycle.Answer
	// Unconnected tells that there was no connection.
	Unconnected bool
	// ErrorType is the header by which AWS's services, and the gateway, name an error.
	ErrorType string
}

// good tells whether the answer is one of an agent that is alive, and an object.
func (p Ping) good() bool {
	switch p.Answer.Finding {
	case v1alpha1.ReasonPingNotJSON, v1alpha1.ReasonPingEncoded, v1alpha1.ReasonPingTooLarge:
		return false
	}
	return p.Answer.Failure == ""
}

// busy tells whether it says that there is work.
func (p Ping) busy() bool {
	return p.Answer.Failure == "" && p.Answer.Ping.Status == contract.HealthyBusy
}

// Call is one invocation.
type Call struct {
	// SessionHeader is the name of the session's header as it was spelled, and SessionID
	// its value.
	SessionHeader, SessionID string
	Asked                    time.Time
	// Took is until the end of the answer, and First until the first byte of its body.
	Took, First time.Duration
	Code        int
	ContentType string
	// Length is the answer's Content-Length; -1 if it has none.
	Length int64
	// Body is the beginning of the answer's.
	Body []byte
	// Cut tells that it had not ended when its time was over.
	Cut bool
	// Err is why there is no whole answer; empty if there is, or if it was cut.
	Err string
}

func (c Call) ended() time.Time { return c.Asked.Add(c.Took) }

// answered tells whether the call was served as callers want it.
func (c Call) answered() bool { return c.Err == "" && c.Code >= 200 && c.Code <= 299 }

// calledDuring tells whether a call was in flight while a ping was.
func (o *Observation) calledDuring(p Ping) bool {
	for _, c := range o.Calls {
		if p.Asked.Before(c.ended()) && c.Asked.Before(p.Asked.Add(p.Took)) {
			return true
		}
	}
	return false
}

// pulses are what the operator knows after each of some pings.
func (o *Observation) pulses(pings []Ping) []lifecycle.Pulse {
	pulses := make([]lifecycle.Pulse, 0, len(pings))
	var pulse lifecycle.Pulse
	for _, p := range pings {
		answer := p.Answer
		answer.Took = p.Took
		pulse = pulse.Observe(answer, p.Asked.Add(p.Took), o.Period)
		pulses = append(pulses, pulse)
	}
	return pulses
}

// undisturbed are the pings between which no call began or ended: what changed there, no call
// did.
func (o *Observation) undisturbed() (parts [][]Ping) {
	begun := 0
	for i := 1; i < len(o.Pings); i++ {
		if o.disturbed(o.Pings[i-1].Asked, o.Pings[i].Asked) {
			parts, begun = append(parts, o.Pings[begun:i]), i
		}
	}
	return append(parts, o.Pings[begun:])
}

func (o *Observation) disturbed(from, until time.Time) bool {
	for _, c := range o.Calls {
		for _, at := range []time.Time{c.Asked, c.ended()} {
			if !at.Before(from) && at.Before(until) {
				return true
			}
		}
	}
	return false
}

// good are the pings that were answered well enough to look at what they say.
func (o *Observation) good() (pings []Ping) {
	for _, p := range o.Pings {
		if p.good() {
			pings = append(pings, p)
		}
	}
	return pings
}

// Answered is for how long the agent is known to have answered.
func (o *Observation) Answered() time.Duration {
	good := some(o.Pings, func(p Ping) bool { return p.Answer.Failure == "" })
	if len(good) == 0 {
		return 0
	}
	return good[len(good)-1].Asked.Sub(good[0].Asked)
}
