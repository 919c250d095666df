package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// thought is how long events must have taken to tell a stream that was collected from one
// that was quick.
const thought = time.Second

func uncalled() outcome { return unchecked("the agent was not called (--invoke)") }

// called is a look at calls.
func called(look func(o *Observation) outcome) func(*Observation) outcome {
	return func(o *Observation) outcome {
		if len(o.Calls) == 0 {
			return uncalled()
		}
		return look(o)
	}
}

// lookBusy looks whether the agent was at rest before it was called, and never since.
func lookBusy(o *Observation) outcome {
	return answered(called(func(o *Observation) outcome {
		last := o.Calls[len(o.Calls)-1]
		if last.Cut {
			return unchecked("a call was not answered within the time of the watch (--for)")
		}
		rested, since := false, []Ping(nil)
		for _, p := range o.good() {
			rested = rested || p.Asked.Before(o.Calls[0].Asked) && !p.busy()
			if p.Asked.After(last.ended()) {
				since = append(since, p)
			}
		}
		switch working := some(since, Ping.busy); {
		case len(since) == 0 || len(working) < len(since):
			return outcome{}
		case !rested:
			return unchecked("it was HealthyBusy before it was called")
		default:
			return seenOutcome("%s after the last call was answered, in %d of %d answers since", rounded(since[len(since)-1].Asked.Sub(last.ended())), len(working), len(since))
		}
	}))(o)
}

func lookCallMissing(o *Observation) outcome {
	return called(func(o *Observation) outcome {
		if c := o.Calls[0]; missing(c.Code) {
			return seenOutcome("POST was answered with %d", c.Code)
		}
		return outcome{}
	})(o)
}

// lookCallFails: of a payload that nobody chose, an agent may say that it is none.
func lookCallFails(o *Observation) outcome {
	return called(func(o *Observation) outcome {
		for _, c := range o.Calls {
			switch {
			case c.Cut:
				return unchecked("a call was not answered within the time of the watch (--for)")
			case c.answered(), missing(c.Code), missesSession(c):
			case c.Err != "":
				return seenOutcome("%s", c.Err)
			case !o.OwnPayload:
				return unchecked("the payload {} was answered with %d: say with --payload what the agent takes", c.Code)
			case c.Code < 500:
				return seenOutcome("a call was answered with %d: %s", c.Code, beginning(c.Body)).as(Warning)
			default:
				return seenOutcome("a call was answered with %d: %s", c.Code, beginning(c.Body))
			}
		}
		return outcome{}
	})(o)
}

func beginning(body []byte) string {
	return lifecycle.Line(string(body[:min(len(body), maxSeen)]), maxSeen/2)
}

// missesSession tells whether an answer says that the call named no session.
func missesSession(c Call) bool {
	said := bytes.ToLower(c.Body[:min(len(c.Body), maxSeen)])
	return c.Code >= 400 && c.Code <= 499 && bytes.Contains(said, []byte("session")) &&
		(bytes.Contains(said, []byte("missing")) || bytes.Contains(said, []byte("required")) || bytes.Contains(said, []byte("no session")))
}

// lookSession looks whether answers show that the agent saw which session it is. Most do
// not tell.
func lookSession(o *Observation) outcome {
	return called(func(o *Observation) outcome {
		tell, misses := sessionsSeen(o.Calls)
		switch {
		case len(misses) > 0 && len(tell) > 0:
			return seenOutcome("spelled %s it is seen, and spelled %s it is not", tell[0].SessionHeader, misses[0].SessionHeader)
		case len(misses) > 0:
			return seenOutcome("the answer to a call with %s: %s", misses[0].SessionHeader, beginning(misses[0].Body))
		case len(tell) == 0:
			return unchecked("the agent's answers do not tell which session it saw")
		}
		return outcome{}
	})(o)
}

// sessionsSeen are the calls whose answers tell the session, and those whose answers show
// that it was not seen: if one tells it, any that does not.
func sessionsSeen(calls []Call) (tell, misses []Call) {
	for _, c := range calls {
		if c.answered() && bytes.Contains(c.Body, []byte(c.SessionID)) {
			tell = append(tell, c)
		}
	}
	for _, c := range calls {
		silent := c.answered() && !bytes.Contains(c.Body, []byte(c.SessionID))
		if missesSession(c) || silent && (len(tell) > 0 || namesNone(c.Body)) {
			misses = append(misses, c)
		}
	}
	return tell, misses
}

// namesNone tells whether an answer has a field for the session's id, and nothing in it.
func namesNone(body []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return false
	}
	for name, value := range fields {
		name = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
		if (name == "sessionid" || name == "runtimesessionid") && (string(value) == "null" || string(value) == `""`) {
			return true
		}
	}
	return false
}

// lookStream looks whether the events of a stream came one by one.
func lookStream(o *Observation) outcome {
	return called(func(o *Observation) outcome {
		why := "the answer is no stream of events"
		for _, c := range o.Calls {
			media, _, err := mime.ParseMediaType(c.ContentType)
			if err != nil || media != "text/event-stream" || !c.answered() {
				continue
			}
			events := bytes.Count(c.Body, []byte("data:"))
			switch {
			case events < 2:
				why = "the stream has fewer than two events"
			case c.Length >= 0:
				return seenOutcome("%s, with a Content-Length of %d: it was known before the first was sent", eventsIn(events, c), c.Length)
			case c.First >= thought && c.Took-c.First < c.First/10:
				return seenOutcome("%s, the first after %s", eventsIn(events, c), rounded(c.First))
			case c.Took < thought:
				why = "the stream was over within a second"
			default:
				return outcome{}
			}
		}
		return unchecked("%s", why)
	})(o)
}

func eventsIn(n int, c Call) string { return fmt.Sprintf("%d events in %s", n, rounded(c.Took)) }

func lookListens(o *Observation) outcome {
	switch o.Listens {
	case ListensLoopback:
		return seenOutcome("on this machine it answers on loopback, and on no other address (or what forwards to it does)")
	case ListensNotToPod:
		return seenOutcome("it answers within its pod, and never did at the pod's address").as(Error)
	case ListensWide:
		return outcome{}
	case ListensUnknown:
	}
	return unchecked("that cannot be seen from here")
}
