package lifecycle

import (
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// AgentCore's figures (developer guide, "Lifecycle settings" and "Quotas").
const (
	// DefaultIdle is the idle timeout of a session that sets none.
	DefaultIdle = 900 * time.Second
	// DefaultMax is the maximal lifetime of a session that sets none.
	DefaultMax = 28800 * time.Second
	// StartTimeout is how long an agent may take from the start of its container to
	// its first good answer.
	StartTimeout = 120 * time.Second
	// DefaultProvisioning is how long a pod may take until the agent's container
	// starts. AgentCore has no such limit: it has pulled an image before any session
	// of it starts.
	DefaultProvisioning = 600 * time.Second
	// BusySilence is how long an agent that said HealthyBusy may leave pings
	// unanswered: AgentCore's for one that blocks them.
	BusySilence = 15 * time.Minute
	// DefaultFailureThreshold is how many pings in a row may fail. AWS does
	// not document its own figure; 30 s bridge what a busy Python loop misses.
	DefaultFailureThreshold = 15
	// notice is how many periods an idle stop stands in status at least: what a
	// gateway needs to see it and to write, with an API server that is slow.
	notice = 5
	// minStart is the least that an agent has to start in a scaled time: no scale makes it
	// load its libraries faster, nor a busy machine of CI quiet.
	minStart = 20 * time.Second
	// minPeriod is the shortest ping period of a scaled time.
	minPeriod = 100 * time.Millisecond
	// mergeWindow is how long a change of ping status that was just reported
	// stands before the next is, so that a flapping agent costs few writes.
	mergeWindow = 4 * time.Second
	// reportBurst is how many reports of a living agent are written as they come, and
	// reportEvery how long it takes until another one may be: 40 in the first hour, and
	// 20 in each that follows. It is less than the quarter of the default idle timeout in
	// which gateways write calls first.
	reportBurst = 20
	reportEvery = 3 * time.Minute
	// lostAfter is how long after its grace a compute that was told to go, and has not
	// gone, counts as lost. No time scale divides it: the grace is Kubernetes' own, and the
	// kubelet, which sets it to zero shortly before a pod goes, has no scale.
	lostAfter = 10 * time.Second
	// acknowledgedWithin is how long a kubelet may take to say something of a pod that it was
	// given. Kubernetes' node controller needs 55 s to find that a node is dead; from then on
	// no other pod is put there. No time scale divides it: neither has one.
	acknowledgedWithin = time.Minute
	// maxEnding is how many pods of a session may be ending while another starts: who
	// stops and wakes a session by turns would else have any number.
	maxEnding = 3
	// tellWindow is how long what is told of a session that starts stands at least.
	tellWindow = 10 * time.Second
	// slowTry is how long a try to make a pod takes that is told of when it fails, although it
	// is the first. No time scale divides it: the API server has none.
	slowTry = 2 * time.Second
	// overdueAfter is how late what an operator does may be before it is worth a word: a node
	// that is silent, an API server that is slow and a change of leader take less.
	overdueAfter = time.Minute
)

// Limits are a session's two timeouts as they are in force.
type Limits struct {
	Idle, Max time.Duration
}

// LimitsOf resolves AWS's table: neither given: 900 and 28800; only the
// maximum: idle is the smaller of 900 and it; only idle: the maximum is 28800;
// both: as given.
func LimitsOf(c *v1alpha1.LifecycleConfiguration) Limits {
	limits := Limits{Idle: DefaultIdle, Max: DefaultMax}
	if c == nil {
		return limits
	}
	if c.MaxLifetime > 0 {
		limits.Max = seconds(c.MaxLifetime)
	}
	if c.IdleRuntimeSessionTimeout > 0 {
		limits.Idle = seconds(c.IdleRuntimeSessionTimeout)
	}
	limits.Idle = min(limits.Idle, limits.Max)
	return limits
}

// Policy is what a session's spec asks of the rules, in real durations: the
// time scale is in them already.
type Policy struct {
	Limits
	// Period is the time between two pings.
	Period time.Duration
	// Provisioning is how long after its creation a pod's agent must have started.
	Provisioning time.Duration
	// StartTimeout is how long after that the agent must be healthy.
	StartTimeout time.Duration
	// FailureThreshold is how many pings in a row must fail.
	FailureThreshold int
	// Lease is how long an invocation in flight keeps a session in use. A gateway
	// that dies leaves it in use for no longer.
	Lease time.Duration
	// BusySilence is how long an agent that said HealthyBusy may be silent.
	BusySilence time.Duration
	// Check is how the agent is asked: PingCheckHTTP or PingCheckMCP.
	Check v1alpha1.PingCheck
	// IdleClock chooses the moment from which idleness counts.
	IdleClock v1alpha1.IdleClock
	// StuckAfter is how long HealthyBusy may last; zero: for ever.
	StuckAfter time.Duration
	// StuckAction is what is done then.
	StuckAction v1alpha1.StuckAction
	// TTL is how long a stopped session is kept; negative: for ever.
	TTL time.Duration
	// StorageKept is how long the storage of a stopped session is kept.
	StorageKept time.Duration
	// Merge is how long a reported change of ping status stands at least.
	Merge time.Duration
	// Report is how long it takes until one more report of a living agent may be written.
	Report time.Duration
	// Tell is how long what is told of a session that starts stands at least.
	Tell time.Duration
}

// PolicyOf reads a spec. scale divides every duration, that of a start down to 20 s; 1 leaves
// them.
func PolicyOf(spec *v1alpha1.AgentSessionSpec, scale int) Policy {
	p := Policy{
		Limits:           LimitsOf(spec.LifecycleConfiguration),
		Period:           Period(scale),
		Provisioning:     DefaultProvisioning,
		StartTimeout:     StartTimeout,
		FailureThreshold: DefaultFailureThreshold,
		BusySilence:      BusySilence / time.Duration(scale),
		Check:            checkOf(spec.Ping.Check, v1alpha1.ProtocolHTTP),
		IdleClock:        v1alpha1.IdleClockAgentCore,
		TTL:              -1,
		StorageKept:      StorageKept / time.Duration(scale),
		Merge:            mergeWindow / time.Duration(scale),
		Report:           reportEvery / time.Duration(scale),
		Tell:             tellWindow / time.Duration(scale),
	}
	if spec.ProvisioningTimeoutSeconds > 0 {
		p.Provisioning = seconds(spec.ProvisioningTimeoutSeconds)
	}
	if spec.Ping.FailureThreshold > 0 {
		p.FailureThreshold = int(spec.Ping.FailureThreshold)
	}
	if spec.Ping.IdleClock != "" {
		p.IdleClock = spec.Ping.IdleClock
	}
	if stuck := spec.StuckDetection; stuck != nil {
		p.StuckAfter, p.StuckAction = seconds(stuck.AfterSeconds)/time.Duration(scale), stuck.Action
	}
	if ttl := spec.TTLSecondsAfterStopped; ttl != nil {
		p.TTL = seconds(*ttl) / time.Duration(scale)
	}
	p.Idle /= time.Duration(scale)
	p.Lease = leaseOf(p.Idle, scale)
	p.Max /= time.Duration(scale)
	p.Provisioning /= time.Duration(scale)
	p.StartTimeout = max(p.StartTimeout/time.Duration(scale), minStart)
	return p
}

// Until is the end of a while that began at a moment; now if that moment lies in the
// future, as only a clock said that was set back since.
func Until(now, began time.Time, while time.Duration) time.Time {
	if began.After(now.Add(clockSkew)) {
		return now
	}
	return began.Add(while)
}

// Overdue tells whether what was due at a moment should have been done by now, if an operator
// runs.
func Overdue(now, due time.Time) bool { return now.Sub(due) > overdueAfter }

// patience is how long pings must have failed.
func (p Policy) patience() time.Duration { return time.Duration(p.FailureThreshold) * p.Period }

// leaseOf is half of an idle timeout; of one that is longer than AgentCore's, half of
// that, since a lease hides an agent that has died.
func leaseOf(idle time.Duration, scale int) time.Duration {
	return min(idle, DefaultIdle/time.Duration(scale)) / 2
}

// Period is the time between two pings at a time scale: 2 s at 1, and never
// less than 100 ms.
func Period(scale int) time.Duration {
	return max(contract.PingPeriod/time.Duration(scale), minPeriod)
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
