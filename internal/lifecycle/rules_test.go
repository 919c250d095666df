package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var (
	zero    = time.Time{}
	created = time.Unix(1_795_423_200, 0)
	healthy = created.Add(5 * time.Second)
)

// at is a moment of the life of a compute.
func at(seconds float64) time.Time {
	return created.Add(time.Duration(seconds * float64(time.Second)))
}

// living are the facts of a compute that has been Healthy since the fifth
// second of its life, by its own stamp too, and answered a moment before now. That
// it may be stopped for idleness at any moment was announced.
func living(now time.Time, change ...func(*lifecycle.Facts)) lifecycle.Facts {
	f := lifecycle.Facts{
		Policy:     lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1),
		Desired:    v1alpha1.DesiredRunning,
		State:      v1alpha1.StateIdle,
		Activation: 1,
		Created:    true,
		Announced:  created,
		Asked:      true,
		Compute:    lifecycle.Compute{Phase: lifecycle.ComputePresent, CreatedAt: created},
		Pulse: lifecycle.Pulse{
			Status: contract.Healthy, Since: healthy, Stamp: healthy, HealthyAt: healthy, AnsweredAt: now.Add(-time.Second),
		},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func limits(idle, maximum int) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		f.Policy.Idle, f.Policy.Max = time.Duration(idle)*time.Second, time.Duration(maximum)*time.Second
	}
}

func clock(c v1alpha1.IdleClock) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Policy.IdleClock = c }
}

func mcp(f *lifecycle.Facts) { f.Policy.Check = v1alpha1.PingCheckMCP }

// said is the agent's last answer: when the operator first saw it, and what
// the agent stamped (zero: nothing of use).
func said(status contract.Status, seen, stamp time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Pulse.Status, f.Pulse.Since, f.Pulse.Stamp = status, seen, stamp }
}

// erring are those of the failures that the agent answered.
func erring(n int, since time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Pulse.Errors, f.Pulse.ErringSince = n, since }
}

// inUse is a lease until then, and ended an invocation that ended then.
func inUse(until time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Traffic.InUseUntil = until }
}

func ended(then time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Traffic.EndedAt = then }
}

func failing(n int, since time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		f.Pulse.Failures, f.Pulse.FailingSince = n, since
		f.Pulse.LastFailure = lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "connection refused"}
	}
}

func outage(until time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Outage = until }
}

func used(until time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Traffic = lifecycle.Traffic{EndedAt: until, InUseUntil: until} }
}

// gap is time in which nobody saw the agent.
func gap(seconds int, end time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		unseen := time.Duration(seconds) * time.Second
		f.Pulse.Unseen = lifecycle.Unseen{Total: unseen, Gaps: unseen, Until: end}
	}
}

func compute(phase lifecycle.ComputePhase, detail string) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Compute.Phase, f.Compute.Detail = phase, detail }
}

// leaving is a pod that was told to go, and whose grace is over at a moment.
func leaving(goneBy time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		f.Compute.Phase, f.Compute.GoneBy, f.Compute.Where = lifecycle.ComputeLeaving, goneBy, "pod a-1 on node n"
	}
}

// silent is a pod whose node the API server has heard nothing of since a moment.
func silent(since time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Compute.SilentSince = since }
}

// unacknowledged is a pod of which its node has said nothing since it was assigned to it.
func unacknowledged(since time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Compute.UnacknowledgedSince = since }
}

func stuckAfter(seconds int, action v1alpha1.StuckAction) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		f.Policy.StuckAfter, f.Policy.StuckAction = time.Duration(seconds)*time.Second, action
	}
}

// starting is a compute that was never healthy, and whose agent's container started
// when the pod was created.
func starting(f *lifecycle.Facts) {
	f.State, f.Pulse = v1alpha1.StateStarting, lifecycle.Pulse{}
	f.Compute.StartedAt = created
}

// begun is when the agent's container started, by its node's clock; zero if it has not.
func begun(t time.Time) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Compute.StartedAt, f.Asked = t, !t.IsZero() }
}

func provisioning(seconds int) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Policy.Provisioning = time.Duration(seconds) * time.Second }
}

// TestRules: each row is a stop that is due at a moment, and is not a
// nanosecond earlier. never is a row in which it is not due before the maximal
// lifetime.
func TestRules(t *testing.T) {
	never := zero
	for name, row := range map[string]struct {
		facts  []func(*lifecycle.Facts)
		due    time.Time
		reason v1alpha1.StopReason
	}{
		"42: idle counts from first healthy":                               {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, healthy, zero)}, healthy.Add(60 * time.Second), v1alpha1.StopIdleTimeout},
		"43: idle counts from the last invocation":                         {[]func(*lifecycle.Facts){limits(60, 28800), func(f *lifecycle.Facts) { f.Traffic.EndedAt = at(100.5) }}, at(160.5), v1alpha1.StopIdleTimeout},
		"44: busy is not idle":                                             {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.HealthyBusy, at(10), at(10))}, never, ""},
		"45: idle counts from the agent's own stamp of the change":         {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(102), at(101))}, at(161), v1alpha1.StopIdleTimeout},
		"47: busy without a stamp counts as busy":                          {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.HealthyBusy, at(10), zero)}, never, ""},
		"47: by the strict clock it does not":                              {[]func(*lifecycle.Facts){limits(60, 28800), clock(v1alpha1.IdleClockAgentCoreStrict), said(contract.HealthyBusy, at(10), zero), func(f *lifecycle.Facts) { f.Traffic.EndedAt = at(30) }}, at(90), v1alpha1.StopIdleTimeout},
		"by the strict clock busy with a stamp does":                       {[]func(*lifecycle.Facts){limits(60, 28800), clock(v1alpha1.IdleClockAgentCoreStrict), said(contract.HealthyBusy, at(10), at(10))}, never, ""},
		"by the strict clock a change without a stamp does not count":      {[]func(*lifecycle.Facts){limits(60, 28800), clock(v1alpha1.IdleClockAgentCoreStrict), said(contract.Healthy, at(50), zero)}, healthy.Add(60 * time.Second), v1alpha1.StopIdleTimeout},
		"48: without a usable stamp the operator's own moment counts":      {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(102), zero)}, at(162), v1alpha1.StopIdleTimeout},
		"by the observed clock the stamp does not count":                   {[]func(*lifecycle.Facts){limits(60, 28800), clock(v1alpha1.IdleClockObserved), said(contract.Healthy, at(102), at(150))}, at(162), v1alpha1.StopIdleTimeout},
		"a stamp from before the start does not count":                     {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, healthy, time.Unix(0, 0))}, healthy.Add(60 * time.Second), v1alpha1.StopIdleTimeout},
		"nor is it after an invocation":                                    {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(10), zero), used(at(100)), gap(20, at(125))}, at(180), v1alpha1.StopIdleTimeout},
		"an invocation that ended while nobody looked":                     {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(10), zero), used(at(110)), gap(20, at(125))}, at(185), v1alpha1.StopIdleTimeout},
		"an invocation after that is not moved":                            {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(10), zero), used(at(125)), gap(20, at(125))}, at(185), v1alpha1.StopIdleTimeout},
		"a stamp tells what nobody saw":                                    {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(10), at(10)), used(at(100)), gap(20, at(125))}, at(160), v1alpha1.StopIdleTimeout},
		"time in which nobody looked is not idle time":                     {[]func(*lifecycle.Facts){limits(60, 28800), said(contract.Healthy, at(102), zero), func(f *lifecycle.Facts) { f.Pulse.Unseen.Total = 20 * time.Second }}, at(182), v1alpha1.StopIdleTimeout},
		"idle equals max":                                                  {[]func(*lifecycle.Facts){limits(60, 60)}, at(60), v1alpha1.StopMaxLifetime},
		"50: max ends a busy session":                                      {[]func(*lifecycle.Facts){limits(60, 120), said(contract.HealthyBusy, at(10), at(10))}, at(120), v1alpha1.StopMaxLifetime},
		"50: invocations do not extend max":                                {[]func(*lifecycle.Facts){limits(60, 120), func(f *lifecycle.Facts) { f.Traffic.InUseUntil = at(1000) }}, at(120), v1alpha1.StopMaxLifetime},
		"max ends a session that starts":                                   {[]func(*lifecycle.Facts){limits(60, 60), starting}, at(60), v1alpha1.StopMaxLifetime},
		"an outage does not extend max":                                    {[]func(*lifecycle.Facts){limits(60, 120), failing(50, at(10)), outage(at(119))}, at(120), v1alpha1.StopMaxLifetime},
		"54: never healthy, cannot be asked":                               {[]func(*lifecycle.Facts){starting, func(f *lifecycle.Facts) { f.Asked = false }}, at(120), v1alpha1.StopStartTimeout},
		"54: never healthy, refuses":                                       {[]func(*lifecycle.Facts){starting, failing(3, at(10))}, at(120), v1alpha1.StopStartTimeout},
		"54: the time of the start counts from the start of the container": {[]func(*lifecycle.Facts){starting, begun(at(300)), failing(3, at(310))}, at(420), v1alpha1.StopStartTimeout},
		"a node's clock that is behind":                                    {[]func(*lifecycle.Facts){starting, begun(at(-300)), failing(3, at(10))}, at(120), v1alpha1.StopStartTimeout},
		"a node's clock that is ahead":                                     {[]func(*lifecycle.Facts){starting, begun(at(5000)), failing(3, at(10))}, at(720), v1alpha1.StopStartTimeout},
		"not started yet":                                                  {[]func(*lifecycle.Facts){starting, begun(zero)}, at(600), v1alpha1.StopStartFailed},
		"not started yet, with a limit of its own":                         {[]func(*lifecycle.Facts){starting, begun(zero), provisioning(7200)}, at(7200), v1alpha1.StopStartFailed},
		"max ends a session that is provisioned":                           {[]func(*lifecycle.Facts){starting, begun(zero), limits(60, 500)}, at(500), v1alpha1.StopMaxLifetime},
		"not asked yet after a restart":                                    {[]func(*lifecycle.Facts){starting}, never, ""},
		"53: failures in a row":                                            {[]func(*lifecycle.Facts){failing(15, at(100))}, at(130), v1alpha1.StopUnhealthy},
		"one failure too few":                                              {[]func(*lifecycle.Facts){failing(14, at(100))}, never, ""},
		"failures count from the end of an outage":                         {[]func(*lifecycle.Facts){failing(500, at(100)), outage(at(200))}, at(230), v1alpha1.StopUnhealthy},
		"an outage long ago does not matter":                               {[]func(*lifecycle.Facts){failing(15, at(100)), outage(at(50))}, at(130), v1alpha1.StopUnhealthy},
		"stuck counts from first healthy":                                  {[]func(*lifecycle.Facts){stuckAfter(300, v1alpha1.StuckStop), said(contract.HealthyBusy, at(1), at(1))}, healthy.Add(300 * time.Second), v1alpha1.StopStuckBusy},
		"stuck, to be stopped":                                             {[]func(*lifecycle.Facts){stuckAfter(300, v1alpha1.StuckStop), said(contract.HealthyBusy, at(10), at(9))}, at(310), v1alpha1.StopStuckBusy},
		"stuck, to be reported":                                            {[]func(*lifecycle.Facts){stuckAfter(300, v1alpha1.StuckReport), said(contract.HealthyBusy, at(10), at(9))}, never, ""},
		"silent in an invocation":                                          {[]func(*lifecycle.Facts){failing(500, at(100)), inUse(at(5000))}, at(5030), v1alpha1.StopUnhealthy},
		"silent after one":                                                 {[]func(*lifecycle.Facts){failing(20, at(100)), ended(at(140))}, at(170), v1alpha1.StopUnhealthy},
		"silent long after one":                                            {[]func(*lifecycle.Facts){failing(20, at(100)), ended(at(60)), inUse(at(70))}, at(130), v1alpha1.StopUnhealthy},
		"ill in an invocation":                                             {[]func(*lifecycle.Facts){failing(40, at(100)), erring(15, at(140)), inUse(at(5000))}, at(170), v1alpha1.StopUnhealthy},
		"ill too seldom in an invocation":                                  {[]func(*lifecycle.Facts){failing(40, at(100)), erring(14, at(140)), inUse(at(5000))}, at(5030), v1alpha1.StopUnhealthy},
		"ill as well as silent, the silence longer":                        {[]func(*lifecycle.Facts){failing(40, at(100)), erring(15, at(140))}, at(130), v1alpha1.StopUnhealthy},
		"ill, in an outage":                                                {[]func(*lifecycle.Facts){failing(40, at(100)), erring(15, at(140)), inUse(at(5000)), outage(at(200))}, at(170), v1alpha1.StopUnhealthy},
		"silent in an invocation, and its node too":                        {[]func(*lifecycle.Facts){failing(20, at(100)), inUse(at(5000)), silent(at(150))}, at(150), v1alpha1.StopUnhealthy},
		"just silent in an invocation, and its node":                       {[]func(*lifecycle.Facts){failing(15, at(100)), inUse(at(5000)), silent(at(90))}, at(130), v1alpha1.StopUnhealthy},
		"silent in an invocation, its node before":                         {[]func(*lifecycle.Facts){failing(20, at(100)), inUse(at(5000)), silent(at(90))}, at(130), v1alpha1.StopUnhealthy},
		"silent after HealthyBusy, and its node too":                       {[]func(*lifecycle.Facts){failing(20, at(100)), said(contract.HealthyBusy, at(50), at(50)), silent(at(150))}, at(150), v1alpha1.StopUnhealthy},
		"silent with its node, in an outage":                               {[]func(*lifecycle.Facts){failing(20, at(100)), silent(at(150)), outage(at(150))}, at(150), v1alpha1.StopUnhealthy},
		"silent with its node, for a high threshold":                       {[]func(*lifecycle.Facts){failing(20, at(100)), silent(at(150)), func(f *lifecycle.Facts) { f.Policy.FailureThreshold = 1800 }}, at(150), v1alpha1.StopUnhealthy},
		"silent with its node, for too short":                              {[]func(*lifecycle.Facts){failing(14, at(100)), silent(at(110))}, at(28800), v1alpha1.StopMaxLifetime},
		"silent with its node, and never healthy":                          {[]func(*lifecycle.Facts){starting, failing(20, at(20)), silent(at(60))}, at(60), v1alpha1.StopComputeLost},
		"silent with its node, never healthy, for too short":               {[]func(*lifecycle.Facts){starting, failing(14, at(20)), silent(at(60))}, at(120), v1alpha1.StopStartTimeout},
		"a silent node, never healthy, asked by its own process":           {[]func(*lifecycle.Facts){starting, silent(at(60)), func(f *lifecycle.Facts) { f.Blind = true }}, at(60), v1alpha1.StopComputeLost},
		"its node never took it":                                           {[]func(*lifecycle.Facts){starting, begun(zero), unacknowledged(at(20))}, at(80), v1alpha1.StopComputeLost},
		"its node never took it, and the start has less time":              {[]func(*lifecycle.Facts){starting, begun(zero), unacknowledged(at(20)), provisioning(60)}, at(60), v1alpha1.StopStartFailed},
		"a silent node, asked by its own process":                          {[]func(*lifecycle.Facts){silent(at(150)), func(f *lifecycle.Facts) { f.Blind = true }}, at(150), v1alpha1.StopUnhealthy},
		"a lower threshold":                                                {[]func(*lifecycle.Facts){failing(4, at(100)), ended(at(101)), func(f *lifecycle.Facts) { f.Policy.FailureThreshold = 4 }}, at(109), v1alpha1.StopUnhealthy},
		"silent after HealthyBusy":                                         {[]func(*lifecycle.Facts){failing(500, at(100)), said(contract.HealthyBusy, at(50), at(50))}, at(1000), v1alpha1.StopUnhealthy},
		"silent after HealthyBusy, and in an invocation":                   {[]func(*lifecycle.Facts){failing(500, at(100)), said(contract.HealthyBusy, at(50), at(50)), inUse(at(2000))}, at(2030), v1alpha1.StopUnhealthy},
		"silent after HealthyBusy, for a higher threshold":                 {[]func(*lifecycle.Facts){failing(1800, at(100)), said(contract.HealthyBusy, at(50), at(50)), func(f *lifecycle.Facts) { f.Policy.FailureThreshold = 1800 }}, at(3700), v1alpha1.StopUnhealthy},
		"silent after a HealthyBusy that does not count":                   {[]func(*lifecycle.Facts){failing(500, at(100)), said(contract.HealthyBusy, at(50), zero), clock(v1alpha1.IdleClockAgentCoreStrict)}, at(130), v1alpha1.StopUnhealthy},
		"ill after HealthyBusy":                                            {[]func(*lifecycle.Facts){failing(15, at(100)), erring(15, at(100)), said(contract.HealthyBusy, at(50), at(50))}, at(130), v1alpha1.StopUnhealthy},
		"silence does not extend max":                                      {[]func(*lifecycle.Facts){limits(60, 120), failing(50, at(10)), said(contract.HealthyBusy, at(5), at(5)), inUse(at(1000))}, at(120), v1alpha1.StopMaxLifetime},
		"MCP has no stamp that the strict clock could miss":                {[]func(*lifecycle.Facts){limits(60, 28800), clock(v1alpha1.IdleClockAgentCoreStrict), mcp, said(contract.Healthy, at(50), zero)}, at(110), v1alpha1.StopIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if row.reason == "" {
				almost := at(28800).Add(-time.Nanosecond)
				g.Expect(lifecycle.Decide(almost, living(almost, row.facts...)).State).NotTo(Equal(v1alpha1.StateStopping))
				return
			}
			almost := row.due.Add(-time.Nanosecond)
			early := lifecycle.Decide(almost, living(almost, row.facts...))
			g.Expect(early.State).NotTo(Equal(v1alpha1.StateStopping))
			g.Expect(early.Action).To(Equal(lifecycle.ActNone))
			g.Expect(early.LookAgain).To(Equal(row.due))

			verdict := lifecycle.Decide(row.due, living(row.due, row.facts...))
			g.Expect(verdict.State).To(Equal(v1alpha1.StateStopping))
			g.Expect(verdict.Action).To(Equal(lifecycle.ActStop))
			g.Expect(verdict.Stop.Reason).To(Equal(row.reason))
			g.Expect(verdict.Stop.At).To(Equal(row.due))
			g.Expect(verdict.Stop.Message).NotTo(BeEmpty())
		})
	}
}

// TestAnIdleStopIsAnnounced: what gateways have not read stops nobody.
func TestAnIdleStopIsAnnounced(t *testing.T) {
	idle := func(announced time.Time) []func(*lifecycle.Facts) {
		return []func(*lifecycle.Facts){limits(60, 28800), func(f *lifecycle.Facts) { f.Announced = announced }}
	}
	due := healthy.Add(60 * time.Second)
	for name, row := range map[string]struct {
		now, announced, want time.Time
	}{
		"never, and far":                       {at(10), zero, due},
		"never, and near":                      {at(60.5), zero, at(71)},
		"never, and overdue":                   {at(200.5), zero, at(211)},
		"never, and overdue, at whole seconds": {at(200), zero, at(210)},
		"for later, as the timeout was longer": {at(200.5), at(900), at(211)},
		"for later, and near":                  {at(60), at(900), at(70)},
		"for a moment in the notice":           {at(205), at(211), at(211)},
		"for then":                             {at(60), due, due},
		"for before, and used since":           {at(60), at(40), due},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			v := lifecycle.Decide(row.now, living(row.now, idle(row.announced)...))
			g.Expect(v).To(And(HaveField("State", v1alpha1.StateIdle), HaveField("Next.Reason", v1alpha1.StopIdleTimeout), HaveField("Next.At", row.want), HaveField("LookAgain", row.want)))
			announced := living(row.want, idle(row.want)...)
			g.Expect(lifecycle.Decide(row.want, announced).Stop).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout), HaveField("At", row.want)))
		})
	}
}

// TestStopsSayWhy: the message has what the reason alone does not say.
func TestStopsSayWhy(t *testing.T) {
	now := at(28800)
	strictly := clock(v1alpha1.IdleClockAgentCoreStrict)
	busy := said(contract.HealthyBusy, at(10), zero)
	for _, row := range []struct {
		facts []func(*lifecycle.Facts)
		says  string
	}{
		{[]func(*lifecycle.Facts){func(f *lifecycle.Facts) { f.Deleted = true }}, "being deleted"},
		{[]func(*lifecycle.Facts){func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredStopped }}, "spec.desiredState is Stopped"},
		{[]func(*lifecycle.Facts){func(f *lifecycle.Facts) { f.Requested = 3 }}, "spec.activation asks for activation 3"},
		{[]func(*lifecycle.Facts){compute(lifecycle.ComputeExited, "exit code 3")}, "exit code 3"},
		{[]func(*lifecycle.Facts){compute(lifecycle.ComputeLost, "evicted")}, "evicted"},
		{[]func(*lifecycle.Facts){}, "lived for 8h0m0s"},
		{[]func(*lifecycle.Facts){busy}, "not even an agent that is HealthyBusy"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, failing(2, at(10))}, "not healthy within 2m0s of the start of its container: connection refused (it must listen"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, answered("GET /ping was answered with 404")}, "not healthy within 2m0s of the start of its container: GET /ping was answered with 404"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, compute(lifecycle.ComputePresent, "its address is a node's"), func(f *lifecycle.Facts) { f.Asked = false }}, "it was not asked: its address is a node's"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, func(f *lifecycle.Facts) { f.Asked = false }}, "it has not been heard of"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, begun(zero), waiting(v1alpha1.ReasonUnschedulable, "no node takes the pod")}, "did not start within 10m0s of the creation of its pod (spec.provisioningTimeoutSeconds): no node takes the pod"},
		{[]func(*lifecycle.Facts){limits(60, 30000), starting, begun(zero)}, "the pod does not say why"},
		{[]func(*lifecycle.Facts){starting, compute(lifecycle.ComputeFailed, "refused")}, "refused"},
		{[]func(*lifecycle.Facts){limits(60, 30000), failing(15, at(100))}, "15 pings in a row failed: connection refused"},
		{[]func(*lifecycle.Facts){limits(60, 30000), stuckAfter(300, v1alpha1.StuckStop), busy}, "HealthyBusy for 5m0s without a break"},
		{[]func(*lifecycle.Facts){limits(60, 30000)}, "No work for 1m0s: the agent answers Healthy and no invocation"},
		{[]func(*lifecycle.Facts){limits(60, 30000), strictly, busy}, "without a usable time_of_last_update its status does not count"},
	} {
		verdict := lifecycle.Decide(now, living(now, row.facts...))
		NewWithT(t).Expect(verdict.Stop.Message).To(ContainSubstring(row.says))
	}
}

// answered is a failed ping of an agent that answered all the same.
func answered(detail string) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) {
		f.Pulse.Failures, f.Pulse.FailingSince = 1, at(10)
		f.Pulse.LastFailure = lifecycle.Answer{Failure: lifecycle.FailureStatusCode, Detail: detail}
	}
}

func waiting(reason, message string) func(*lifecycle.Facts) {
	return func(f *lifecycle.Facts) { f.Compute.Wait = lifecycle.Wait{Reason: reason, Message: message} }
}

func TestIdlenessNeedsAFreshGoodAnswer(t *testing.T) {
	now := at(1000) // long overdue at 60 s of idleness
	for name, row := range map[string]struct {
		change func(*lifecycle.Facts)
		stops  bool
	}{
		"a good answer two periods ago":       {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt = now.Add(-4 * time.Second) }, true},
		"a good answer longer ago":            {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt = now.Add(-4*time.Second - 1) }, false},
		"the last ping failed":                {failing(1, now.Add(-time.Second)), false},
		"57: back within a period, not asked": {func(f *lifecycle.Facts) { f.Pulse.Restored = true }, false},
		"none since a restart":                {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt, f.Pulse.Restored = zero, true }, false},
		"49: an invocation in flight":         {func(f *lifecycle.Facts) { f.Traffic.InUseUntil = now.Add(1) }, false},
		"a lease that has just ended":         {func(f *lifecycle.Facts) { f.Traffic.InUseUntil = now }, false},
		"a lease that ended long ago":         {func(f *lifecycle.Facts) { f.Traffic.InUseUntil = now.Add(-60 * time.Second) }, true},
		"46: a stamp that moves at each ping": {func(f *lifecycle.Facts) { f.Pulse.Stamp = now.Add(-time.Second) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			verdict := lifecycle.Decide(now, living(now, limits(60, 28800), row.change))
			stops := verdict.State == v1alpha1.StateStopping
			g.Expect(stops).To(Equal(row.stops))
			if !row.stops {
				g.Expect(verdict.LookAgain).To(BeTemporally(">", now))
			}
		})
	}
}

// TestStuckNeedsAFreshGoodAnswer: what was busy when somebody last looked may
// have completed its task since.
func TestStuckNeedsAFreshGoodAnswer(t *testing.T) {
	now := at(1000) // long overdue at 300 s of HealthyBusy
	for name, row := range map[string]struct {
		change func(*lifecycle.Facts)
		stops  bool
	}{
		"a good answer just now":              {func(*lifecycle.Facts) {}, true},
		"a good answer two periods ago":       {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt = now.Add(-4 * time.Second) }, true},
		"a good answer longer ago":            {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt = now.Add(-4*time.Second - 1) }, false},
		"the last ping failed":                {failing(1, now.Add(-time.Second)), false},
		"57: back after a long time":          {func(f *lifecycle.Facts) { f.Pulse.AnsweredAt, f.Pulse.Restored = zero, true }, false},
		"57: back within a period, not asked": {func(f *lifecycle.Facts) { f.Pulse.Restored = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			verdict := lifecycle.Decide(now, living(now, stuckAfter(300, v1alpha1.StuckStop), said(contract.HealthyBusy, at(10), at(9)), row.change))
			g.Expect(verdict.Stuck.Reason == v1alpha1.ReasonBusyTooLong || row.stops).To(BeTrue(), "it is reported all the same")
			if row.stops {
				g.Expect(verdict.Stop.Reason).To(Equal(v1alpha1.StopStuckBusy))
				return
			}
			g.Expect(verdict.State).To(Equal(v1alpha1.StateActive))
			g.Expect(verdict.LookAgain).To(Equal(now.Add(period)))
		})
	}
}

func TestTheOrderOfTheRules(t *testing.T) {
	now := at(200)
	// All at once: from the back, each rule gives way to the one before it.
	facts := living(now, limits(60, 100), said(contract.HealthyBusy, at(10), zero), clock(v1alpha1.IdleClockObserved),
		stuckAfter(60, v1alpha1.StuckStop), compute(lifecycle.ComputeExited, "exit 1"),
		func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredStopped })
	for _, step := range []struct {
		want v1alpha1.StopReason
		undo func(*lifecycle.Facts)
	}{
		{v1alpha1.StopRequested, func(f *lifecycle.Facts) { f.Desired = v1alpha1.DesiredRunning }},
		{v1alpha1.StopAgentExited, compute(lifecycle.ComputeFailed, "rejected after it had answered")},
		{v1alpha1.StopComputeLost, compute(lifecycle.ComputeLost, "evicted")},
		{v1alpha1.StopComputeLost, compute(lifecycle.ComputePresent, "")},
		{v1alpha1.StopMaxLifetime, func(f *lifecycle.Facts) { f.Policy.Max = time.Hour }},
		{v1alpha1.StopStuckBusy, func(f *lifecycle.Facts) { failing(20, at(100))(f); erring(15, at(160))(f) }},
		{v1alpha1.StopUnhealthy, func(f *lifecycle.Facts) {
			f.Pulse.Failures, f.Pulse.Errors = 0, 0
			said(contract.Healthy, at(20), zero)(f)
		}},
		{v1alpha1.StopIdleTimeout, func(*lifecycle.Facts) {}},
	} {
		NewWithT(t).Expect(lifecycle.Decide(now, facts).Stop.Reason).To(Equal(step.want))
		step.undo(&facts)
	}

	// A compute that was never healthy is neither Unhealthy nor idle.
	facts = living(now, limits(60, 100), starting, compute(lifecycle.ComputeFailed, "an init container failed"), failing(50, at(10)))
	NewWithT(t).Expect(lifecycle.Decide(now, facts).Stop.Reason).To(Equal(v1alpha1.StopStartFailed), "before its time is over")
	facts.Compute.Phase = lifecycle.ComputePresent
	NewWithT(t).Expect(lifecycle.Decide(now, facts).Stop.Reason).To(Equal(v1alpha1.StopMaxLifetime))
	facts.Policy.Max = time.Hour
	NewWithT(t).Expect(lifecycle.Decide(now, facts).Stop.Reason).To(Equal(v1alpha1.StopStartTimeout))
	facts.Policy.StartTimeout = time.Hour
	NewWithT(t).Expect(lifecycle.Decide(now, facts).State).To(Equal(v1alpha1.StateStarting))
}

// What an MCP server answers says nothing of work, and so does the stop.
func TestIdleStopOfMCP(t *testing.T) {
	g := NewWithT(t)
	strictly := clock(v1alpha1.IdleClockAgentCoreStrict)
	stop := lifecycle.Decide(at(2000), living(at(2000), strictly, mcp, said(contract.Healthy, healthy, zero))).Stop
	g.Expect(stop).To(And(HaveField("Reason", v1alpha1.StopIdleTimeout),
		HaveField("Message", "No work for 15m0s: no invocation is in flight, and MCP's ping tells of no other work")))
}
