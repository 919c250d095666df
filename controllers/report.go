package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// outcome is all that a report is made of.
type outcome struct {
	facts   lifecycle.Facts
	verdict lifecycle.Verdict
	pod     *corev1.Pod
	started *v1alpha1.ActivationRuntime
	claim   *corev1.PersistentVolumeClaim // of the session's storage, if it was looked at
	refusal *refused
	now     time.Time
	// counted is until when the session's usage was counted.
	counted time.Time
	// patience is how long a try to make the compute may take.
	patience time.Duration
	// reportedAt is when something was last told of a session that starts; zero if nobody
	// knows.
	reportedAt time.Time
	// flapping: reports of the agent have to wait.
	flapping bool
	// blind: this operator asks nobody. What the agent's node reported stands.
	delegating bool
	// askedBy is who asks the agent.
	askedBy v1alpha1.Asker
	// operator is who looks after the session, if it has a selector.
	operator *v1alpha1.Operator
}

// noteRefusal has a pod whose address is refused say so, as long as it is there.
func (o *outcome) noteRefusal() {
	if o.refusal != nil && o.facts.Compute.Phase == lifecycle.ComputePresent {
		o.facts.Compute.Detail = o.refusal.message
	}
}

// report writes the status if it changed, on the version that was decided on,
// and then sends the events. It returns when to look at the session again.
func (r *AgentSessionReconciler) report(ctx context.Context, session *v1alpha1.AgentSession, o outcome) (time.Time, error) {
	old := session.DeepCopy()
	if counted := lifecycle.CountedUntil(&old.Status, o.pod); !counted.IsZero() {
		o.counted = r.Clock.Past(counted)
	}
	due := r.compose(session, old, o)
	lookAgain := o.verdict.LookAgain
	for _, until := range []time.Time{o.coalesceUntil(&old.Status), o.progress(&old.Status).Due(o.now), due} {
		if o.now.Before(until) {
			lookAgain = earliest(lookAgain, until)
		}
	}
	if equality.Semantic.DeepEqual(old.Status, session.Status) {
		reserved.ensureSeries(session)
		return lookAgain, nil
	}
	if err := r.write(ctx, session, &old.Status); err != nil {
		return time.Time{}, fmt.Errorf("patch status: %w", err)
	}
	key := client.ObjectKeyFromObject(session)
	r.reports.note(key, session.Status.State, o.now)
	if agentOnly(&old.Status, &session.Status) {
		r.reports.pay(key, o.now, o.facts.Policy)
	}
	reserved.count(session, old.Status.Reserved, session.Status.Reserved)
	r.traceLife(session, &old.Status, o) //nolint:contextcheck // it begins a trace of its own
	if recordsEnd(&old.Status, &session.Status) {
		stopsTotal.WithLabelValues(string(session.Status.LastTermination.Reason)).Inc()
	}
	for _, e := range eventsOf(&old.Status, &session.Status) {
		r.Recorder.Eventf(session, nil, e.kind, e.reason, e.action, "%s", e.note)
		ctrl.LoggerFrom(ctx).Info("Session changed", "reason", e.reason, "note", e.note,
			"state", session.Status.State, "activation", session.Status.Activation)
	}
	return lookAgain, nil
}

// write writes what became of a status. The object that is written has no spec: the
// session's is the one in force, which nobody wrote there.
func (r *AgentSessionReconciler) write(ctx context.Context, session *v1alpha1.AgentSession, old *v1alpha1.AgentSessionStatus) error {
	base := &v1alpha1.AgentSession{ObjectMeta: session.ObjectMeta, Status: *old}
	written := &v1alpha1.AgentSession{ObjectMeta: *session.ObjectMeta.DeepCopy(), Status: *session.Status.DeepCopy()}
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, written, patch, r.consistency(session)...); err != nil {
		return err //nolint:wrapcheck // the caller's words
	}
	session.ResourceVersion, session.Status = written.ResourceVersion, written.Status
	return nil
}

// compose makes the status that an outcome amounts to, or leaves the old one where only
// the agent changed, too often. It returns when the session is to be looked at for that.
func (r *AgentSessionReconciler) compose(session, old *v1alpha1.AgentSession, o outcome) (due time.Time) {
	policy := o.facts.Policy
	left := r.reports.budget(client.ObjectKeyFromObject(old), &old.Status, o.now, policy)
	if o.flapping = left.Hold(o.now, lifecycle.Flapping(&old.Status), policy); o.flapping {
		due = left.Easy(policy)
	}
	session.Status = statusOf(old, o, r.TimeScale)
	if equality.Semantic.DeepEqual(old.Status, session.Status) || !agentOnly(&old.Status, &session.Status) {
		return due
	}
	if may := left.Due(o.facts, o.verdict); o.now.Before(may) {
		session.Status = old.Status
		return may
	}
	if !o.flapping && left.Pay(o.now, policy).Spent(o.now, policy) {
		o.flapping = true
		session.Status = statusOf(old, o, r.TimeScale)
	}
	return due
}

// recordsEnd tells whether a report is the one that records the end of an activation.
func recordsEnd(old, next *v1alpha1.AgentSessionStatus) bool {
	return len(next.History) > 0 && (len(old.History) == 0 || old.History[0].Activation != next.History[0].Activation)
}

// consistency has the session's next read wait until the cache shows a report, but on
// a node for one that does not name it: its cache (NodeManagerOptions) never shows that.
func (r *AgentSessionReconciler) consistency(session *v1alpha1.AgentSession) []client.SubResourcePatchOption {
	if pod := session.Status.Pod; r.mode() == onNode && (pod == nil || pod.Node != r.Node) {
		return []client.SubResourcePatchOption{client.DisableReadYourWritesConsistency}
	}
	return nil
}

// coalesceUntil is until when the old report stands.
func (o outcome) coalesceUntil(old *v1alpha1.AgentSessionStatus) time.Time {
	return lifecycle.CoalesceUntil(o.now, old, o.facts, o.verdict.State)
}

// others tells of a session whose node's process reports what its agent says.
func (o outcome) others(session *v1alpha1.AgentSession) bool {
	return o.delegating && o.pod != nil && lifecycle.NodeReports(&session.Status, o.verdict.State, startedAt(o.pod))
}

// statusOf is the status that an outcome amounts to.
func statusOf(session *v1alpha1.AgentSession, o outcome, scale int) v1alpha1.AgentSessionStatus {
	old := &session.Status
	next := *old.DeepCopy()
	limits := lifecycle.LimitsOf(session.Spec.LifecycleConfiguration)
	next.ObservedGeneration = session.Generation
	next.RuntimeSessionID = runtimeSessionID(session)
	next.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{
		IdleRuntimeSessionTimeout: int32(limits.Idle.Seconds()),
		MaxLifetime:               int32(limits.Max.Seconds()),
	}
	next.TimeScale = 0
	if scale > 1 {
		next.TimeScale = int32(scale) //nolint:gosec // the flag bounds it
	}
	if o.started != nil {
		next.Runtime = o.started
	}
	next.Storage = storageStatusOf(old, o)
	if lifecycle.Living(o.verdict.State) {
		next.AskedBy, next.Operator = o.askedBy, o.operator
	}
	if o.others(session) {
		return next
	}
	next.State, next.Activation = o.verdict.State, o.verdict.Activation
	if old.State == v1alpha1.StateStopping && next.Activation != old.Activation { // woken before the last compute had gone
		endStatus(&next, old, o)
	}

	switch next.State {
	case v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle:
		livingStatus(&next, old, o)
	case v1alpha1.StateStopping:
		next.NextStop, next.IdleSince = nil, nil
		next.Pod = podStatusOf(o)
		if !stopping(old, &next) {
			next.LastTermination = terminationOf(old, o)
		}
	case v1alpha1.StateStopped:
		stoppedStatus(&next, old, o)
	}
	next.Usage = usageOf(old, next.State, o.counted, o.now)
	next.Reserved = lifecycle.ReservedOf(old, &next, o.pod, o.counted, o.now)
	setConditions(&next, session, o)
	if !o.progress(old).Reportable(o.now) {
		next = unchanged(old, next)
	}
	return withConnections(old, next)
}

func livingStatus(next, old *v1alpha1.AgentSessionStatus, o outcome) {
	pulse := o.facts.Pulse
	next.Pod = podStatusOf(o)
	if o.now.Before(o.coalesceUntil(old)) {
		next.State = old.State
		return
	}
	next.HealthyAt = timePtr(pulse.HealthyAt)
	next.PingStatus, next.PingStatusSince = string(pulse.Status), timePtr(pulse.Since)
	if pulse.Restored && old.NextStop != nil {
		return // nothing new is known before the agent has answered
	}
	next.IdleSince = timePtr(o.verdict.IdleSince)
	next.NextStop = nil
	if stop := o.verdict.Next; !stop.At.IsZero() {
		next.NextStop = &v1alpha1.NextStop{At: *timePtr(stop.At), Reason: stop.Reason}
	}
}

func stoppedStatus(next, old *v1alpha1.AgentSessionStatus, o outcome) {
	next.NextStop, next.IdleSince = nil, nil
	next.Pod, next.PingStatus, next.PingStatusSince, next.HealthyAt = nil, "", nil, nil
	if o.verdict.Stop.Reason == "" || old.State == v1alpha1.StateStopped {
		return // never had a compute, or it was reported before
	}
	if !stopping(old, next) {
		next.LastTermination = terminationOf(old, o)
	}
	endStatus(next, old, o)
}

// stopping tells whether the stop of an activation was reported before.
func stopping(old, next *v1alpha1.AgentSessionStatus) bool {
	return old.State == v1alpha1.StateStopping && old.Activation == next.Activation
}

// endStatus records the end of an activation: its compute has gone or counts as lost, or
// the next one begins beside it.
func endStatus(next, old *v1alpha1.AgentSessionStatus, o outcome) {
	if next.Traffic != nil { // or it would keep the next compute, which nobody calls
		next.Traffic.InUseUntil = nil
	}
	last := next.LastTermination
	last.At = timePtr(o.now)
	if o.verdict.Remains != "" {
		remains := ". " + o.verdict.Remains
		last.Message = lifecycle.Cut(last.Message, maxMessage-len(remains)) + remains
	}
	next.History = historyOf(old, last, o.counted, o.now)
}

func terminationOf(old *v1alpha1.AgentSessionStatus, o outcome) *v1alpha1.Termination {
	return &v1alpha1.Termination{
		Reason:     o.verdict.Stop.Reason,
		Message:    lifecycle.Cut(o.verdict.Stop.Message, maxMessage),
		Activation: o.verdict.Activation,
		PingStatus: cmp.Or(string(o.facts.Pulse.Status), old.PingStatus),
		DueAt:      timePtr(o.verdict.Stop.At),
	}
}

// podStatusOf leaves address and node out until the agent has answered on it: that
// saves a write at every start. An address that is not asked is nobody's to call.
func podStatusOf(o outcome) *v1alpha1.PodStatus {
	if o.pod == nil {
		return nil
	}
	status := &v1alpha1.PodStatus{Name: o.pod.Name, UID: o.pod.UID, CreatedAt: o.pod.CreationTimestamp}
	if !o.facts.Pulse.HealthyAt.IsZero() && o.refusal == nil {
		status.IP, status.Node = o.pod.Status.PodIP, o.pod.Spec.NodeName
		status.OneConnection = o.facts.Pulse.Connections == lifecycle.ConnectionsOne
	}
	return status
}

func setConditions(next *v1alpha1.AgentSessionStatus, session *v1alpha1.AgentSession, o outcome) {
	for _, c := range []metav1.Condition{ready(next, o), pingContract(next, o), stuck(next, session, o)} {
		c.ObservedGeneration = session.Generation
		c.LastTransitionTime = metav1.NewTime(o.now.Truncate(time.Second))
		meta.SetStatusCondition(&next.Conditions, c)
	}
}

func ready(next *v1alpha1.AgentSessionStatus, o outcome) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(next.State)}
	refusal := o.refusal
	if refusal != nil && lifecycle.Living(next.State) {
		c.Reason, c.Message = refusal.reason, refusal.message
		return c
	}
	switch next.State {
	case v1alpha1.StateStarting:
		c.Reason, c.Message = cmp.Or(o.verdict.Wait.Reason, c.Reason), cmp.Or(o.verdict.Wait.Message, "The compute is about to be made")+"."
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		c.Status, c.Message = metav1.ConditionTrue, "The agent answers pings."+leftOut(o.facts.LeftOut)
		if o.flapping {
			c.Reason = v1alpha1.ReasonFlapping
			c.Message += fmt.Sprintf(" Its status changes so often that what is said of it may be %s old.", o.facts.Policy.Report)
		}
		if wait := o.verdict.Wait; wait.Reason != "" {
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, wait.Reason, wait.Message+"."
		}
	case v1alpha1.StateStopping:
		c.Message = "The compute is being taken away." + delay(o.verdict.Wait)
	case v1alpha1.StateStopped:
		c.Message = "The session has no compute. " + howToWake(next)
		if o.verdict.Wait.Message != "" {
			c.Message = "The session has no compute." + delay(o.verdict.Wait)
		}
		if lifecycle.GivenUp(next) {
			c.Message = "The session has no compute: " + next.LastTermination.Message + ". " + howToWake(next)
		}
	}
	return c
}

// leftOut says why the stops of a session come later than its moments say.
func leftOut(by time.Duration) string {
	if by == 0 {
		return ""
	}
	return fmt.Sprintf(" The cluster's clock was set forward by %s since the compute was created: that counts for none of its timeouts.", by.Round(time.Second))
}

// delay says what keeps a session that was woken from starting.
func delay(wait lifecycle.Wait) string {
	if wait.Message == "" {
		return ""
	}
	return " The next one waits: " + wait.Message + "."
}

func howToWake(status *v1alpha1.AgentSessionStatus) string {
	if status.LastTermination == nil || lifecycle.StopAsked(status) {
		return "Set spec.desiredState to Running to start it."
	}
	return fmt.Sprintf("Set spec.activation to %d to wake it.", status.Activation+1)
}

// pingContract keeps what was found of a compute that is going or gone.
func pingContract(next *v1alpha1.AgentSessionStatus, o outcome) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionPingContract, Status: metav1.ConditionUnknown,
		Reason: v1alpha1.ReasonPingUnknown, Message: "The agent has not answered a ping yet.",
	}
	pulse := o.facts.Pulse
	known := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionPingContract)
	if pulse.Finding != "" {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(pulse.Finding), pulse.Finding.Message(pulse.FindingDetail)
		if pulse.Finding.Conforms() {
			c.Status = metav1.ConditionTrue
		}
	}
	switch {
	case known == nil:
	case pulse.Finding == "" && next.State != v1alpha1.StateStarting:
		return *known
	case pulse.FindingDetail == "" && known.Status == c.Status && known.Reason == c.Reason:
		return *known // since a restart it is not known what was answered
	}
	return c
}

func stuck(next *v1alpha1.AgentSessionStatus, session *v1alpha1.AgentSession, o outcome) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionStuck, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonNotStuck, Message: "The session is not busy for longer than spec.stuckDetection allows.",
	}
	known := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionStuck)
	switch {
	case session.Spec.StuckDetection == nil:
		c.Reason, c.Message = v1alpha1.ReasonDetectionOff, "spec.stuckDetection is not set."
	case (next.State == v1alpha1.StateStopping || next.State == v1alpha1.StateStopped) && known != nil:
		return *known
	case known != nil && o.facts.Pulse.Restored:
		return *known // nobody knows whether it was busy while nobody looked
	case known != nil && stillStuck(known, next, o):
		return *known
	case o.verdict.Stuck != lifecycle.Stuck{}:
		stuck := o.verdict.Stuck
		c.Status, c.Reason = metav1.ConditionTrue, stuck.Reason
		c.Message = "The agent is busy for longer than it should be: " + stuck.Message + ". It costs until its maximal lifetime; set spec.desiredState to Stopped to end it."
	}
	return c
}

// stillStuck tells whether a condition Stuck that was reported says it still.
func stillStuck(known *metav1.Condition, next *v1alpha1.AgentSessionStatus, o outcome) bool {
	busy := next.State == v1alpha1.StateActive && o.facts.Pulse.Status == contract.HealthyBusy
	if busy && known.Reason == v1alpha1.ReasonTaskForgotten && o.facts.Work.ToldAt.IsZero() {
		return true // since a restart the agent has not told what became of the task
	}
	stuck := o.verdict.Stuck
	sameTask := stuck.Task.Name == "" || strings.Contains(known.Message, strconv.Quote(stuck.Task.Name))
	return known.Reason == stuck.Reason && sameTask // only older, which is not worth a write
}

// timePtr is nil for the zero time. The API holds whole seconds.
func timePtr(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}
