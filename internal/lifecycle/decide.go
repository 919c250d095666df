package lifecycle

import (
	"fmt"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Action is what is to be done with the compute.
type Action int

const (
	// ActNone leaves everything as it is.
	ActNone Action = iota
	// ActStart creates the pod of Verdict.Activation.
	ActStart
	// ActStop deletes the pod, once status says Stopping.
	ActStop
	// ActExpire deletes the session, which was stopped long enough ago.
	ActExpire
	// ActDropStorage deletes the session's storage, which was last used long enough ago.
	ActDropStorage
)

// Verdict is what is decided of a session at a moment.
type Verdict struct {
	// State is the state that the session is in with this verdict.
	State v1alpha1.SessionState
	// Action is to be done now.
	Action Action
	// Activation is the number of the compute that State is about.
	Activation int32
	// Stop is why the compute is or was taken away; zero unless State is
	// Stopping, or Stopped after a compute.
	Stop Stop
	// IdleSince is when the idle time began; zero while there is work.
	IdleSince time.Time
	// Next is the stop that will come if nothing changes; zero if there is none.
	Next Stop
	// Stuck tells that the session has been busy for too long, and why.
	Stuck Stuck
	// Wait is what keeps a session that starts from being healthy, one that was woken
	// from starting, or one whose agent is silent in an outage from being stopped.
	Wait Wait
	// Remains says of a compute that is lost that its pod is still there, and where;
	// empty of any other.
	Remains string
	// Ask tells that the agent should be asked for its tasks.
	Ask bool
	// LookAgain is when to decide again if nothing happens before; zero: never.
	LookAgain time.Time
}

// Decide says what becomes of a session. It is called with the same facts any
// number of times and gives the same verdict.
func Decide(now time.Time, f Facts) Verdict {
	switch {
	case f.State == "" || f.State == v1alpha1.StateStopped:
		return f.decideStopped(now)
	case f.State == v1alpha1.StateStopping:
		return f.decideStopping(now)
	case f.Compute.Phase == ComputeAbsent && !f.Created:
		return f.decideRefused(now)
	case f.Compute.Phase == ComputeAbsent:
		stop := Stop{now, v1alpha1.StopComputeLost, "The pod is gone: somebody else deleted it"}
		return Verdict{State: v1alpha1.StateStopped, Activation: f.Activation, Stop: stop}
	}
	return f.decideLiving(now)
}

// wanted is the activation that is to run in the place of one that was stopped; 0 if
// none is. A session is woken by a higher activation, or when the stop that
// desiredState had asked for is withdrawn.
func (f Facts) wanted() int32 {
	wanted := max(f.Requested, 1)
	if f.LastStop.Reason == v1alpha1.StopRequested || f.GivenUp {
		wanted = max(wanted, f.Activation+1)
	}
	if f.Desired == v1alpha1.DesiredStopped || f.Deleted || wanted <= f.Activation {
		return 0
	}
	return wanted
}

// decideStopped: no compute.
func (f Facts) decideStopped(now time.Time) Verdict {
	wanted, blocked := f.wanted(), f.blocked()
	if wanted > 0 && blocked == "" {
		return f.start(now, wanted)
	}
	v := Verdict{State: v1alpha1.StateStopped, Activation: f.Activation, Stop: f.LastStop}
	if wanted > 0 {
		v.Wait.Message, v.LookAgain = blocked, now.Add(lostAfter)
		return v
	}
	if f.Deleted || f.StoppedAt.IsZero() {
		return v
	}
	if expires := f.StoppedAt.Add(f.Policy.TTL); f.Policy.TTL >= 0 {
		if !now.Before(expires) {
			v.Action = ActExpire
			return v
		}
		v.LookAgain = expires
	}
	switch due := f.storageDue(); {
	case due.IsZero():
	case now.Before(due):
		v.lookAt(now, due)
	default:
		v.Action = ActDropStorage
	}
	return v
}

// start makes the pod of an activation. Where that has just been tried in vain it is
// foreseen when the start is over; the first failure is worth no word, unless it was slow.
func (f Facts) start(now time.Time, activation int32) Verdict {
	v := Verdict{State: v1alpha1.StateStarting, Action: ActStart, Activation: activation}
	if f.Unmade == "" {
		return v
	}
	v.Action = ActNone
	if f.State == v1alpha1.StateStarting || f.UnmadeAfter >= slowTry {
		v.Wait = Wait{Reason: v1alpha1.ReasonPodNotMade, Message: "The pod could not be created, which is tried again: " + f.Unmade}
	}
	until := f.UnmadeUntil
	if until.IsZero() {
		until = ceil(now.Add(f.Policy.Provisioning)) // status holds whole seconds
	}
	message := fmt.Sprintf("The pod could not be created within %s (spec.provisioningTimeoutSeconds): %s", f.Policy.Provisioning, f.Unmade)
	v.Next = Stop{until, v1alpha1.StopStartFailed, message}
	v.lookAt(now, until)
	return v
}

// decideRefused: the pod could not be created so far.
func (f Facts) decideRefused(now time.Time) Verdict {
	if f.Requested > f.Activation {
		f.Activation, f.UnmadeUntil = f.Requested, time.Time{}
	}
	f.Activation = max(f.Activation, 1)
	if d := stopRequested(now, f); !d.At.IsZero() {
		if f.Refusal != "" {
			d.Stop = Stop{Reason: v1alpha1.StopStartFailed, Message: f.Refusal + " (given up: " + d.Message + ")"}
		}
		return Verdict{State: v1alpha1.StateStopped, Activation: f.Activation, Stop: d.Stop}
	}
	if blocked := f.blocked(); blocked != "" {
		return Verdict{State: v1alpha1.StateStarting, Activation: f.Activation, Wait: Wait{Message: blocked}, LookAgain: now.Add(lostAfter)}
	}
	v := f.start(now, f.Activation)
	if f.Unmade != "" && !now.Before(v.Next.At) {
		return Verdict{State: v1alpha1.StateStopped, Activation: f.Activation, Stop: v.Next}
	}
	return v
}

// decideStopping: the reason is recorded already; only the pod has to go. From the
// moment at which it was told to, nobody asks or calls it, so the next activation does
// not wait for it, unless it has a volume that the next one must not use beside it.
func (f Facts) decideStopping(now time.Time) Verdict {
	v := Verdict{State: v1alpha1.StateStopping, Activation: f.Activation, Stop: f.LastStop}
	leaving := f.Compute.Phase == ComputeLeaving
	if !leaving && f.Compute.Phase != ComputeAbsent {
		v.Action = ActStop
		return v
	}
	wanted, blocked := f.wanted(), f.blocked()
	switch lost := f.lostAt(now); {
	case wanted > 0 && blocked == "":
		return f.start(now, wanted)
	case !leaving:
		v.State = v1alpha1.StateStopped
	case !now.Before(lost):
		v.State, v.Remains = v1alpha1.StateStopped, f.Compute.Where+" is still there"
	default:
		v.LookAgain = lost
	}
	if wanted > 0 {
		v.Wait.Message = blocked
	}
	return v
}

// blocked says which pods of the session that have not gone yet keep the next one from
// starting; empty if none do.
func (f Facts) blocked() string {
	ending, leaving := f.Ending, f.Compute.Phase == ComputeLeaving
	if leaving {
		ending++
	}
	switch {
	case f.Occupied != "":
		return f.Occupied
	case leaving && f.Compute.Volume != "":
		return f.Compute.Volume
	case ending > maxEnding:
		return fmt.Sprintf("more than %d pods of the session have not gone yet", maxEnding)
	}
	return ""
}

// lostAt is when a compute that was told to go counts as lost: some time after its
// grace, or at once if the API server hears nothing of its node.
func (f Facts) lostAt(now time.Time) time.Time {
	if !f.Compute.SilentSince.IsZero() {
		return now
	}
	return f.Compute.GoneBy.Add(lostAfter)
}

func (f Facts) decideLiving(now time.Time) Verdict {
	v := Verdict{Activation: f.Activation, State: f.stateOf(now)}
	if !f.advancing() {
		v.IdleSince = f.idleSince(now)
	}
	for _, rule := range rules {
		d := rule(now, f)
		switch {
		case d.At.IsZero():
		case d.unproven && f.Blind: // nobody here will have a fresh answer
		case !d.unproven && !now.Before(d.At):
			return Verdict{Activation: f.Activation, State: v1alpha1.StateStopping, Action: f.stopAction(), Stop: d.come(now, f)}
		default:
			v.foresee(now, d, f.Policy.Period)
		}
	}
	v.Stuck, v.Wait = f.stuck(now), f.wait(now)
	v.lookAt(now, f.stuckAt())
	v.lookAt(now, f.slowAt(now))
	if at := f.askAt(); !at.IsZero() {
		if v.Ask = !now.Before(at); v.Ask {
			at = now.Add(f.Policy.Period) // for want of a place it may not be asked now
		}
		v.lookAt(now, at)
	}
	v.lookAt(now, f.Traffic.InUseUntil)
	return v
}

// stopAction: a pod that somebody else is deleting needs no second deletion.
func (f Facts) stopAction() Action {
	if f.Compute.Phase == ComputeLeaving {
		return ActNone
	}
	return ActStop
}

func (f Facts) stateOf(now time.Time) v1alpha1.SessionState {
	switch {
	case f.starting():
		return v1alpha1.StateStarting
	case f.busy() || f.inUse(now):
		return v1alpha1.StateActive
	}
	return v1alpha1.StateIdle
}

// foresee takes a stop that has not come yet into the verdict.
func (v *Verdict) foresee(now time.Time, d due, period time.Duration) {
	if !d.hidden && (v.Next.At.IsZero() || d.At.Before(v.Next.At)) {
		v.Next = d.Stop
	}
	if d.unproven && !now.Before(d.At) {
		v.lookAt(now, now.Add(period)) // overdue, for want of a fresh answer
		return
	}
	v.lookAt(now, d.At)
}

// lookAt makes sure that the session is looked at again at a future moment.
func (v *Verdict) lookAt(now, at time.Time) {
	if at.After(now) && (v.LookAgain.IsZero() || at.Before(v.LookAgain)) {
		v.LookAgain = at
	}
}
