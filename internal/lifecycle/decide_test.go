package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestDecide(t *testing.T) {
	now := at(100)
	verdict := func(state v1alpha1.SessionState, action lifecycle.Action, activation int32) types.GomegaMatcher {
		return And(HaveField("State", state), HaveField("Action", action), HaveField("Activation", activation))
	}
	stopped := func(reason v1alpha1.StopReason, change ...func(*lifecycle.Facts)) lifecycle.Facts {
		f := living(now)
		f.State, f.Created, f.Asked = v1alpha1.StateStopped, false, false
		f.Compute, f.Pulse = lifecycle.Compute{}, lifecycle.Pulse{}
		f.LastStop, f.StoppedAt = lifecycle.Stop{At: at(80), Reason: reason}, at(90)
		for _, c := range change {
			c(&f)
		}
		return f
	}
	going := func(change ...func(*lifecycle.Facts)) lifecycle.Facts {
		f := living(now, inState(v1alpha1.StateStopping))
		f.LastStop = lifecycle.Stop{At: at(95), Reason: v1alpha1.StopIdleTimeout, Message: "it was idle"}
		for _, c := range change {
			c(&f)
		}
		return f
	}
	asking := func(activation int32) func(*lifecycle.Facts) {
		return func(f *lifecycle.Facts) { f.Requested = activation }
	}
	volume := func(f *lifecycle.Facts) { f.Compute.Volume = "the volume" }
	ending := func(n int) func(*lifecycle.Facts) { return func(f *lifecycle.Facts) { f.Ending = n } }
	occupied := func(f *lifecycle.Facts) { f.Occupied = "an earlier volume" }
	unmade := func(f *lifecycle.Facts) { f.Unmade = "the webhook is down" }
	took := func(d time.Duration) func(*lifecycle.Facts) { return func(f *lifecycle.Facts) { f.UnmadeAfter = d } }
	until := func(t time.Time) func(*lifecycle.Facts) { return func(f *lifecycle.Facts) { f.UnmadeUntil = t } }
	fresh := lifecycle.Facts{Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1)}
	refused := fresh
	refused.State, refused.Activation = v1alpha1.StateStarting, 3

	for name, row := range map[string]struct {
		facts lifecycle.Facts
		want  types.GomegaMatcher
	}{
		"a new session starts": {fresh, verdict(v1alpha1.StateStarting, lifecycle.ActStart, 1)},
		"a new session starts with the activation that is asked for": {with(fresh, func(f *lifecycle.Facts) { f.Requested = 7 }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 7)},
		"a new session that is to be stopped does not":               {with(fresh, func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredStopped }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 0)},
		"a new session that is deleted does not":                     {with(fresh, func(f *lifecycle.Facts) { f.Deleted = true }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 0)},
		"a pod that was refused is tried again":                      {refused, verdict(v1alpha1.StateStarting, lifecycle.ActStart, 3)},
		"a pod that was refused is given up": {
			with(refused, func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredStopped }),
			And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 3), HaveField("Stop.Reason", v1alpha1.StopRequested)),
		},

		"and the stop says why it was refused": {
			with(refused, func(f *lifecycle.Facts) {
				f.Desired, f.Refusal = v1alpha1.DesiredStopped, "PodRefused: the quota is full"
			}),
			And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 3), HaveField("Stop.Reason", v1alpha1.StopStartFailed),
				HaveField("Stop.Message", "PodRefused: the quota is full (given up: spec.desiredState is Stopped)")),
		},
		"a refused pod follows a higher activation": {with(refused, func(f *lifecycle.Facts) { f.Requested = 5 }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 5)},
		"a refused pod of a deleted session":        {with(refused, func(f *lifecycle.Facts) { f.Deleted = true }), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 3), HaveField("Stop.Reason", v1alpha1.StopRequested))},
		"a pod that cannot be made, the first time": {
			with(fresh, unmade), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 1), HaveField("Wait", lifecycle.Wait{}),
				HaveField("Next", HaveField("At", at(700))), HaveField("LookAgain", at(700))),
		},
		"and after little": {with(fresh, unmade, took(1999*time.Millisecond)), HaveField("Wait", lifecycle.Wait{})},
		"and after long": {
			with(fresh, unmade, took(2*time.Second)), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 1), HaveField("Wait.Reason", v1alpha1.ReasonPodNotMade),
				HaveField("Wait.Message", HaveSuffix("the webhook is down")), HaveField("Next.At", at(700))),
		},
		"and again": {
			with(refused, unmade, until(at(101))), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 3), HaveField("Wait.Reason", v1alpha1.ReasonPodNotMade),
				HaveField("Wait.Message", "The pod could not be created, which is tried again: the webhook is down"),
				HaveField("Next", lifecycle.Stop{At: at(101), Reason: v1alpha1.StopStartFailed, Message: "The pod could not be created within 10m0s (spec.provisioningTimeoutSeconds): the webhook is down"})),
		},
		"and at the limit of its start": {
			with(refused, unmade, until(now)), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 3), HaveField("Stop.Reason", v1alpha1.StopStartFailed), HaveField("Stop.At", now)),
		},
		"and at its limit, if it was asked for":          {with(refused, unmade, until(now), asking(3)), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 3), HaveField("Stop.At", now))},
		"which ends no start that was not tried":         {with(refused, until(at(50))), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 3)},
		"nor another activation":                         {with(refused, unmade, until(at(50)), asking(4)), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 4), HaveField("Next.At", at(700)))},
		"woken beside its last pod, and not made":        {going(leaving(at(110)), asking(2), unmade), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 2), HaveField("Next.At", at(700)))},
		"woken, and not made":                            {stopped(v1alpha1.StopIdleTimeout, asking(2), unmade), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 2), HaveField("Next.At", at(700)))},
		"a start that is given up was ended by no limit": {with(refused, until(at(101)), func(f *lifecycle.Facts) { f.Desired, f.Refusal = v1alpha1.DesiredStopped, "PodNotMade: so it is" }), HaveField("Stop.At", zero)},
		"a lease that has lapsed":                        {living(now, func(f *lifecycle.Facts) { f.Traffic.InUseUntil = at(90) }), And(verdict(v1alpha1.StateIdle, lifecycle.ActNone, 1), HaveField("IdleSince", at(90)))},

		"used, and not healthy yet":                {living(now, starting, used(at(50))), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 1), HaveField("IdleSince", zero), HaveField("Next.Reason", v1alpha1.StopStartTimeout))},
		"a compute that is not healthy yet":        {living(now, starting), verdict(v1alpha1.StateStarting, lifecycle.ActNone, 1)},
		"a compute without work":                   {living(now), verdict(v1alpha1.StateIdle, lifecycle.ActNone, 1)},
		"a busy agent":                             {living(now, said(contract.HealthyBusy, at(10), at(10))), verdict(v1alpha1.StateActive, lifecycle.ActNone, 1)},
		"an invocation in flight":                  {living(now, func(f *lifecycle.Facts) { f.Traffic.InUseUntil = at(110) }), And(verdict(v1alpha1.StateActive, lifecycle.ActNone, 1), HaveField("LookAgain", at(110)), HaveField("IdleSince", zero), HaveField("Next.Reason", v1alpha1.StopMaxLifetime))},
		"a compute that is gone":                   {living(now, compute(lifecycle.ComputeAbsent, "")), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Stop.Reason", v1alpha1.StopComputeLost))},
		"a compute that somebody else deletes":     {living(now, compute(lifecycle.ComputeLeaving, "gone")), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("Stop.Reason", v1alpha1.StopComputeLost))},
		"a higher activation replaces the compute": {living(now, func(f *lifecycle.Facts) { f.Requested = 2 }), And(verdict(v1alpha1.StateStopping, lifecycle.ActStop, 1), HaveField("Stop.Reason", v1alpha1.StopRequested))},
		"the activation that runs does not":        {living(now, func(f *lifecycle.Facts) { f.Requested = 1 }), verdict(v1alpha1.StateIdle, lifecycle.ActNone, 1)},
		"a deleted session's compute goes":         {living(now, func(f *lifecycle.Facts) { f.Deleted = true }), And(verdict(v1alpha1.StateStopping, lifecycle.ActStop, 1), HaveField("Stop.Reason", v1alpha1.StopRequested))},

		"stopping, the pod not deleted yet":        {living(now, inState(v1alpha1.StateStopping)), verdict(v1alpha1.StateStopping, lifecycle.ActStop, 1)},
		"stopping, the pod on its way":             {going(leaving(at(110))), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("LookAgain", at(120)))},
		"stopping, the agent has ended":            {living(now, inState(v1alpha1.StateStopping), compute(lifecycle.ComputeExited, "")), verdict(v1alpha1.StateStopping, lifecycle.ActStop, 1)},
		"stopping, the pod gone":                   {going(compute(lifecycle.ComputeAbsent, "")), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Remains", ""))},
		"stopping, not gone in its grace":          {going(leaving(at(90).Add(1))), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("LookAgain", at(100).Add(1)))},
		"stopping, not gone 10 s after its grace":  {going(leaving(at(90))), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Stop.Reason", v1alpha1.StopIdleTimeout), HaveField("Remains", "pod a-1 on node n is still there"))},
		"stopping, its node silent":                {going(leaving(at(900)), silent(at(99))), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Remains", "pod a-1 on node n is still there"))},
		"a pod that was not told to go is told so": {going(compute(lifecycle.ComputePresent, ""), silent(at(10)), asking(2)), verdict(v1alpha1.StateStopping, lifecycle.ActStop, 1)},
		"56: woken while its pod is on its way":    {going(leaving(at(110)), asking(2)), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"woken when its pod is gone":               {going(compute(lifecycle.ComputeAbsent, ""), asking(2)), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"woken when its pod is lost":               {going(leaving(at(10)), asking(5)), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 5)},
		"its stop taken back while its pod is on its way": {
			going(leaving(at(110)), func(f *lifecycle.Facts) { f.LastStop.Reason = v1alpha1.StopRequested }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2),
		},
		"its stop stands, whatever activation is asked for": {
			going(leaving(at(110)), asking(2), func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredStopped }), verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1),
		},
		"deleted while its pod is on its way": {
			going(leaving(at(110)), asking(2), func(f *lifecycle.Facts) { f.Deleted = true }), verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1),
		},
		"woken, its pod on its way with a volume": {
			going(leaving(at(110)), asking(2), volume), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("Wait.Message", "the volume"), HaveField("LookAgain", at(120))),
		},
		"woken, its pod lost with a volume": {
			going(leaving(at(90)), asking(2), volume), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Wait.Message", "the volume")),
		},
		"woken, its pod with a volume gone": {going(compute(lifecycle.ComputeAbsent, ""), asking(2), volume), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"woken, an earlier pod with a volume there": {
			going(leaving(at(110)), asking(2), occupied), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("Wait.Message", "an earlier volume")),
		},
		"stopping, an earlier pod with a volume there": {
			going(leaving(at(110)), occupied), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("Wait.Message", "")),
		},
		"woken, two pods on their way before it":   {going(leaving(at(110)), asking(2), ending(2)), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"woken, three pods on their way before it": {going(leaving(at(110)), asking(2), ending(3)), And(verdict(v1alpha1.StateStopping, lifecycle.ActNone, 1), HaveField("Wait.Message", ContainSubstring("more than 3 pods")))},
		"stopped, and woken, three pods there":     {stopped(v1alpha1.StopIdleTimeout, asking(2), ending(3)), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"stopped, and woken, four pods there":      {stopped(v1alpha1.StopIdleTimeout, asking(2), ending(4)), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("LookAgain", at(110)))},
		"refused, four pods there":                 {with(refused, ending(4)), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 3), HaveField("LookAgain", at(110)))},
		"stopped, and woken, a lost pod with a volume there": {
			stopped(v1alpha1.StopIdleTimeout, asking(2), occupied, func(f *lifecycle.Facts) { f.Policy.TTL = 0 }),
			And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Wait.Message", "an earlier volume")),
		},
		"stopped, a lost pod with a volume there": {stopped(v1alpha1.StopIdleTimeout, occupied), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("Wait.Message", ""))},
		"refused, a lost pod with a volume there": {with(refused, occupied), And(verdict(v1alpha1.StateStarting, lifecycle.ActNone, 3), HaveField("Wait.Message", "an earlier volume"))},

		"a stopped session stays so":                        {stopped(v1alpha1.StopIdleTimeout), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"a stopped session stays so at the same activation": {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Requested = 1 }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"51: a higher activation wakes it":                  {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Requested = 2 }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"a stop that is taken back wakes it":                {stopped(v1alpha1.StopRequested), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"a start that was given up, taken back":             {stopped(v1alpha1.StopStartFailed, func(f *lifecycle.Facts) { f.GivenUp = true }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"a start that failed is not tried again":            {stopped(v1alpha1.StopStartFailed), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"both ways of waking agree":                         {stopped(v1alpha1.StopRequested, func(f *lifecycle.Facts) { f.Requested = 2 }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
		"a stop that stands keeps it stopped":               {stopped(v1alpha1.StopRequested, func(f *lifecycle.Facts) { f.Desired, f.Requested = v1alpha1.DesiredStopped, 9 }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"a deleted session is not woken":                    {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Deleted, f.Requested = true, 2 }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"its time to live is for ever":                      {stopped(v1alpha1.StopIdleTimeout), HaveField("LookAgain", zero)},
		"its time to live, wanted running after an error":   {stopped(v1alpha1.StopUnhealthy, func(f *lifecycle.Facts) { f.Policy.TTL = 0 }), verdict(v1alpha1.StateStopped, lifecycle.ActExpire, 1)},
		"a deleted session is not deleted again":            {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Policy.TTL, f.Deleted = 0, true }), verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1)},
		"its time to live runs":                             {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Policy.TTL = 10*time.Second + 1 }), And(verdict(v1alpha1.StateStopped, lifecycle.ActNone, 1), HaveField("LookAgain", at(100).Add(1)))},
		"its time to live is over":                          {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Policy.TTL = 10 * time.Second }), And(verdict(v1alpha1.StateStopped, lifecycle.ActExpire, 1), HaveField("LookAgain", zero))},
		"a wake comes before the end of its time":           {stopped(v1alpha1.StopIdleTimeout, func(f *lifecycle.Facts) { f.Policy.TTL, f.Requested = 0, 2 }), verdict(v1alpha1.StateStarting, lifecycle.ActStart, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.Decide(now, row.facts)).To(row.want)
		})
	}
}

// TestSuperseded: a pod that is a compute, or will be one, is never called superseded,
// by any status that was true before.
func TestSuperseded(t *testing.T) {
	at := func(state v1alpha1.SessionState, activation int32, pod string) *v1alpha1.AgentSessionStatus {
		status := &v1alpha1.AgentSessionStatus{State: state, Activation: activation}
		if pod != "" {
			status.Pod = &v1alpha1.PodStatus{UID: apitypes.UID(pod)}
		}
		return status
	}
	for name, row := range map[string]struct {
		status     *v1alpha1.AgentSessionStatus
		activation int32
		want       bool
	}{
		"of a session that has not begun":      {at("", 0, ""), 1, false},
		"of an earlier activation":             {at("Idle", 3, "other"), 2, true},
		"of an earlier one, while none runs":   {at("Starting", 3, ""), 2, true},
		"the compute":                          {at("Idle", 3, "ours"), 3, false},
		"the compute that is stopping":         {at("Stopping", 3, "ours"), 3, false},
		"created, and not reported":            {at("Starting", 3, ""), 3, false},
		"created beside one that is stopping":  {at("Stopping", 2, "other"), 3, false},
		"created after a stop":                 {at("Stopped", 2, ""), 3, false},
		"lost":                                 {at("Stopped", 3, ""), 3, true},
		"of an activation that another is of":  {at("Idle", 3, "other"), 3, true},
		"of a later activation than is known":  {at("Idle", 2, "other"), 3, false},
		"of one that is stopping, and another": {at("Stopping", 3, "other"), 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.Superseded(row.status, row.activation, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "ours"}})).To(Equal(row.want))
		})
	}
}

// TestARestartAloneChangesNoState: until the agent has answered, the state
// that was reported stands, whatever is not known of its stamp.
func TestARestartAloneChangesNoState(t *testing.T) {
	now := at(100)
	for name, row := range map[string]struct {
		clock  v1alpha1.IdleClock
		status contract.Status
		state  v1alpha1.SessionState
	}{
		"57: idle":                         {v1alpha1.IdleClockAgentCore, contract.Healthy, v1alpha1.StateIdle},
		"57: busy":                         {v1alpha1.IdleClockAgentCore, contract.HealthyBusy, v1alpha1.StateActive},
		"57: busy, observed":               {v1alpha1.IdleClockObserved, contract.HealthyBusy, v1alpha1.StateActive},
		"57: idle, strict":                 {v1alpha1.IdleClockAgentCoreStrict, contract.Healthy, v1alpha1.StateIdle},
		"57: busy with a stamp, strict":    {v1alpha1.IdleClockAgentCoreStrict, contract.HealthyBusy, v1alpha1.StateActive},
		"57: busy, does not count, strict": {v1alpha1.IdleClockAgentCoreStrict, contract.HealthyBusy, v1alpha1.StateIdle},
	} {
		t.Run(name, func(t *testing.T) {
			restored := living(now, clock(row.clock), said(row.status, at(10), zero), inState(row.state), func(f *lifecycle.Facts) {
				f.Pulse.Restored, f.Pulse.AnsweredAt = true, now.Add(-time.Second)
			})
			v := lifecycle.Decide(now, restored)
			NewWithT(t).Expect(v).To(And(HaveField("State", row.state), HaveField("Action", lifecycle.ActNone)))
		})
	}
}

// TestWhatKeepsASessionFromBeingReady is said, and from a quarter of the time on it has
// a reason of its own that the agent does not answer.
func TestWhatKeepsASessionFromBeingReady(t *testing.T) {
	unscheduled := waiting(v1alpha1.ReasonUnschedulable, "no node takes the pod")
	for name, row := range map[string]struct {
		now     time.Time
		facts   []func(*lifecycle.Facts)
		reason  string
		message string
		again   time.Time
	}{
		"a session that has started": {at(40), nil, "", "", healthy.Add(15 * time.Minute)},
		"one whose start is known":   {at(40), []func(*lifecycle.Facts){begun(at(20))}, "", "", healthy.Add(15 * time.Minute)},
		"its pod waits":              {at(40), []func(*lifecycle.Facts){starting, begun(zero), unscheduled}, v1alpha1.ReasonUnschedulable, "not started yet: no node takes the pod", at(600)},
		"its pod was just made":      {at(9), []func(*lifecycle.Facts){starting, begun(zero), waiting("", "no scheduler has looked at the pod")}, "", "The pod was made; the agent's container has not started yet", at(600)},
		"nobody looks at it":         {at(10), []func(*lifecycle.Facts){starting, begun(zero), waiting("", "no scheduler has looked at the pod")}, "", "not started yet: no scheduler has looked at the pod", at(600)},
		"nobody knows why":           {at(40), []func(*lifecycle.Facts){starting, begun(zero)}, "", "not started yet: the pod does not say why", at(600)},
		"an agent that is slow":      {at(49), []func(*lifecycle.Facts){starting, begun(at(20)), failing(3, at(30)), unscheduled}, "", "not healthy yet: connection refused", at(50)},
		"an agent that is too slow":  {at(50), []func(*lifecycle.Facts){starting, begun(at(20)), failing(3, at(30))}, v1alpha1.ReasonNoGoodAnswer, "not healthy yet: connection refused", at(140)},
		"silent in an outage":        {at(140), []func(*lifecycle.Facts){failing(20, at(100)), outage(at(140))}, v1alpha1.ReasonMassFailure, "not answered for 15 pings or more", at(170)},
		"not for long enough":        {at(129), []func(*lifecycle.Facts){failing(20, at(100)), outage(at(129))}, "", "", at(159)},
		"not asked since a restart":  {at(50), []func(*lifecycle.Facts){starting, begun(at(20))}, v1alpha1.ReasonNoGoodAnswer, "it has not been heard of", at(140)},
	} {
		t.Run(name, func(t *testing.T) {
			v := lifecycle.Decide(row.now, living(row.now, row.facts...))
			NewWithT(t).Expect(v).To(And(HaveField("Wait.Reason", row.reason), HaveField("Wait.Message", ContainSubstring(row.message)), HaveField("LookAgain", row.again)))
		})
	}
}

// TestWhoAsksNobodyWaitsForNoAnswer: an operator that asks nobody knows the agent as it
// was last reported, and looks again for nothing that takes a fresh answer.
func TestWhoAsksNobodyWaitsForNoAnswer(t *testing.T) {
	now := at(5000)
	for name, status := range map[string]contract.Status{"idle for long": contract.Healthy, "busy for long": contract.HealthyBusy} {
		t.Run(name, func(t *testing.T) {
			f := living(now, said(status, at(10), zero), func(f *lifecycle.Facts) {
				f.Blind, f.Asked, f.Pulse.Restored = true, false, true
				f.Policy.StuckAfter, f.Policy.StuckAction = time.Minute, v1alpha1.StuckStop
			})
			v := lifecycle.Decide(now, f)
			NewWithT(t).Expect(v).To(And(HaveField("Action", lifecycle.ActNone), HaveField("LookAgain", f.Compute.CreatedAt.Add(f.Policy.Max))))
		})
	}
}

func TestNextStopAndStuck(t *testing.T) {
	g := NewWithT(t)
	now := at(100)
	g.Expect(lifecycle.Decide(now, living(now)).Next).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("At", healthy.Add(15*time.Minute))))
	busy := said(contract.HealthyBusy, at(10), at(10))
	g.Expect(lifecycle.Decide(now, living(now, busy)).Next).To(And(HaveField("Reason", v1alpha1.StopMaxLifetime), HaveField("At", at(28800))))
	g.Expect(lifecycle.Decide(now, living(now, busy, stuckAfter(300, v1alpha1.StuckStop))).Next.Reason).To(Equal(v1alpha1.StopStuckBusy))
	g.Expect(lifecycle.Decide(now, living(now, starting)).Next).To(And(HaveField("Reason", v1alpha1.StopStartTimeout), HaveField("At", at(120))))
	g.Expect(lifecycle.Decide(now, living(now, starting, begun(zero))).Next).To(And(HaveField("Reason", v1alpha1.StopStartFailed), HaveField("At", at(600))))
	g.Expect(lifecycle.Decide(now, living(now, failing(20, at(99)))).Next.Reason).To(Equal(v1alpha1.StopIdleTimeout), "a failure is no announcement")

	advancing, heard := hear(lifecycle.Pulse{}, at(10), 10, func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now) })
	last := heard.Add(-period)
	never := func(f *lifecycle.Facts) { f.Pulse = advancing }
	g.Expect(lifecycle.Decide(last, living(last, never))).To(And(HaveField("Next.Reason", v1alpha1.StopMaxLifetime), HaveField("IdleSince", zero)))
	g.Expect(lifecycle.Decide(last, living(last, never, clock(v1alpha1.IdleClockObserved))).Next.Reason).To(Equal(v1alpha1.StopIdleTimeout))

	slow, heard := hear(lifecycle.Pulse{}, at(2000), 10, func(now time.Time) lifecycle.Answer { return answer(contract.Healthy, now.Add(-20*time.Minute)) })
	last = heard.Add(-period)
	late := living(last, func(f *lifecycle.Facts) { f.Pulse, f.Pulse.HealthyAt, f.Announced = slow, healthy, zero })
	g.Expect(lifecycle.Decide(last, late).Next).To(HaveField("Reason", v1alpha1.StopIdleTimeout), "its clock is twenty minutes late")

	before, after := at(310).Add(-1), at(310)
	stuck := func(f *lifecycle.Facts) {
		stuckAfter(300, v1alpha1.StuckReport)(f)
		f.Work.AskedAt = at(309)
	}
	g.Expect(lifecycle.Decide(before, living(before, busy, stuck))).To(And(HaveField("Stuck", lifecycle.Stuck{}), HaveField("LookAgain", after)))
	g.Expect(lifecycle.Decide(after, living(after, busy, stuck))).To(And(
		HaveField("Stuck.Reason", v1alpha1.ReasonBusyTooLong), HaveField("Stuck.At", after), HaveField("State", v1alpha1.StateActive)))
}

func with(f lifecycle.Facts, change ...func(*lifecycle.Facts)) lifecycle.Facts {
	for _, c := range change {
		c(&f)
	}
	return f
}

func inState(state v1alpha1.SessionState) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.State = state }
}
