package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/prober"
)

// ownerIndex finds pods by the controller that owns them: by its UID, and by the name
// that a session had.
const ownerIndex = "owner"

// cacheTimeout is how long a read waits for the cache to show a write. It never shows
// one to a pod that has lost our label meanwhile.
const cacheTimeout = 5 * time.Second

func ownerOf(object client.Object) []string {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return nil
	}
	return []string{string(owner.UID), owner.Kind + "/" + owner.Name}
}

// get reads a session. The cache of a node does not hold those that are not known to be
// there yet.
func (r *AgentSessionReconciler) get(ctx context.Context, key client.ObjectKey, session *v1alpha1.AgentSession) error {
	err := r.Client.Get(ctx, key, session)
	if r.mode() == onNode && apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, key, session)
	}
	return err
}

// owns tells whether the session is this process's to look at.
func (r *AgentSessionReconciler) owns(session *v1alpha1.AgentSession, pod *corev1.Pod) bool {
	return r.mode() != onNode || pod != nil && lifecycle.NodeAsks(r.Node, &session.Status, pod, startedAt(pod))
}

// asker is who asks the agents of an operator's sessions. A process on a node leaves what
// the operator says.
func (r *AgentSessionReconciler) asker(session *v1alpha1.AgentSession) v1alpha1.Asker {
	switch r.mode() {
	case onNode:
		return session.Status.AskedBy
	case delegating:
		return v1alpha1.AskedByNode
	case central:
	}
	return v1alpha1.AskedByOperator
}

// stopAsking has the agent of a session that is not ours asked no more, if it was.
func (r *AgentSessionReconciler) stopAsking(session *v1alpha1.AgentSession, pod *corev1.Pod) ctrl.Result {
	r.forget(client.ObjectKeyFromObject(session))
	if session.Status.AskedBy == v1alpha1.AskedByOperator {
		r.yields.Do(func() {
			ctrl.Log.WithName("agentsession").Info("The operator asks the agents of this node itself: this process asks none whose session has status.askedBy Operator. " +
				"Run the operator with --probe=none, or take the processes on the nodes away")
		})
	}
	if status := &session.Status; pod != nil && (status.Pod == nil || status.Pod.Node == "" && status.AskedBy == v1alpha1.AskedByOperator) {
		return ctrl.Result{RequeueAfter: unwatchedPeriod} // no event will tell when it is named
	}
	return ctrl.Result{}
}

// forget ends the asking of a session's agent.
func (r *AgentSessionReconciler) forget(key client.ObjectKey) {
	r.reports.forget(key)
	if r.Prober != nil {
		r.Prober.Forget(key)
	}
}

// pods are those of a session that are there.
type pods struct {
	// compute is the session's compute; nil if there is none.
	compute *corev1.Pod
	// unwatched: nobody tells of changes of the compute.
	unwatched bool
	// earlier are those that status has gone past. They have to go, or are going.
	earlier []*corev1.Pod
	// claim of the session's storage, where something depends on it; else nil.
	claim *corev1.PersistentVolumeClaim
}

// podsOf finds the pods of a session. The owner's UID is what makes a pod the
// session's, never its name or labels alone.
func (r *AgentSessionReconciler) podsOf(ctx context.Context, session *v1alpha1.AgentSession) (found pods, err error) {
	var list corev1.PodList
	if err := r.Client.List(ctx, &list, client.InNamespace(session.Namespace),
		client.MatchingFields{ownerIndex: string(session.UID)}, client.DisableReadYourWritesConsistency); err != nil {
		return pods{}, fmt.Errorf("list the session's pods: %w", err)
	}
	var newest int32
	for i := range list.Items {
		pod := &list.Items[i]
		switch activation := activationOf(pod, session); {
		case activation == 0:
		case lifecycle.Superseded(&session.Status, activation, pod):
			found.earlier = append(found.earlier, pod)
		case activation > newest: // unless it is recorded, an operator made it that died before it could say so
			found.compute, newest = pod, activation
		}
	}
	if recorded := session.Status.Pod; recorded != nil {
		found.compute, found.unwatched, err = r.recordedPod(ctx, session, recorded)
	}
	return found, err
}

// replace has another compute in the place of one that was told to go; nil if it could
// not be had.
func (p *pods) replace(with *corev1.Pod) {
	if p.compute != nil {
		p.earlier = append(p.earlier, p.compute)
	}
	p.compute, p.unwatched = with, false
}

// ending are those of the earlier pods that do not count as lost.
func (p *pods) ending(now time.Time) (list []*corev1.Pod) {
	for _, pod := range p.earlier {
		if lifecycle.Terminating(now, pod) {
			list = append(list, pod)
		}
	}
	return list
}

func (r *AgentSessionReconciler) recordedPod(ctx context.Context, session *v1alpha1.AgentSession, recorded *v1alpha1.PodStatus) (*corev1.Pod, bool, error) {
	key := client.ObjectKey{Namespace: session.Namespace, Name: recorded.Name}
	var pod corev1.Pod
	bounded, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	err := r.Client.Get(bounded, key, &pod)
	unwatched := apierrors.IsNotFound(err) || errors.Is(err, context.DeadlineExceeded)
	if unwatched {
		// The cache shows only pods with our label, and somebody may have
		// taken it off: a pod is gone when the API server says so.
		err = r.Live.Get(ctx, key, &pod)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("get pod %s: %w", recorded.Name, err)
	case pod.UID != recorded.UID:
		return nil, false, nil
	}
	return &pod, unwatched || !metav1.IsControlledBy(&pod, session), nil
}

// activationOf is the number of the activation that a pod was made for; 0 if
// the session did not make it.
func activationOf(pod *corev1.Pod, session *v1alpha1.AgentSession) int32 {
	n, err := strconv.ParseInt(pod.Labels[v1alpha1.LabelActivation], 10, 32)
	if err != nil || !metav1.IsControlledBy(pod, session) || pod.Name != podName(session, int32(n)) && pod.Name != spareName(session, int32(n)) {
		return 0
	}
	return int32(n)
}

// observe gathers the facts as they are at now.
func (r *AgentSessionReconciler) observe(session *v1alpha1.AgentSession, found pods, now time.Time) lifecycle.Facts {
	return r.Clock.Read(r.collectFacts(session, found, now), now)
}

func (r *AgentSessionReconciler) collectFacts(session *v1alpha1.AgentSession, found pods, now time.Time) lifecycle.Facts {
	pod := found.compute
	status := &session.Status
	facts := lifecycle.Facts{
		Policy:     lifecycle.PolicyOf(&session.Spec, r.TimeScale),
		Desired:    session.Spec.DesiredState,
		Requested:  session.Spec.Activation,
		Deleted:    session.DeletionTimestamp != nil,
		State:      status.State,
		Activation: status.Activation,
		Created:    status.Pod != nil,
		Compute:    computeOf(pod),
		Occupied:   blockingPod(found.earlier),
		Stored:     status.Storage != nil,
		Blind:      r.mode() == delegating,
	}
	facts.Ending = len(found.ending(now))
	remember(&facts, status)
	if pod == nil {
		return facts
	}
	if found.claim != nil {
		facts.Compute = awaitStorage(facts.Compute, pod, found.claim)
	}
	reported := status.Pod != nil && status.Pod.UID == pod.UID
	if !reported { // it is new, or the report was lost
		facts.State, facts.Activation, facts.Created = v1alpha1.StateStarting, activationOf(pod, session), true
		facts.Announced, facts.Traffic.InUseUntil = time.Time{}, time.Time{} // what was said of the last one
	}
	if r.mode() != delegating {
		key := client.ObjectKeyFromObject(session)
		facts.Pulse, facts.Asked = r.Prober.Pulse(key, pod.UID)
		facts.Work = r.Prober.Work(key, pod.UID)
		facts.Outage = r.Prober.Outage(pod.UID)
	} else if !reported || status.HealthyAt == nil {
		facts.Asked = !startedAt(pod).IsZero() // by its node, which knows more of a start that fails
	}
	if facts.Pulse.HealthyAt.IsZero() && reported && status.HealthyAt != nil {
		facts.Pulse = lifecycle.Restore(status, time.Time{}) // healthy before, and not asked now
	}
	return facts
}

// blockingPod says which of a session's earlier pods keeps the next from running beside it.
func blockingPod(earlier []*corev1.Pod) string {
	for _, pod := range earlier {
		if by := exclusiveVolume(pod); by != "" {
			return by
		}
	}
	return ""
}

// remember adds what status says of what was.
func remember(facts *lifecycle.Facts, status *v1alpha1.AgentSessionStatus) {
	if last := status.LastTermination; last != nil {
		facts.LastStop = lifecycle.Stop{At: timeOf(last.DueAt), Reason: last.Reason, Message: last.Message}
		facts.StoppedAt, facts.GivenUp = timeOf(last.At), lifecycle.GivenUp(status)
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil && lifecycle.Hinders(ready.Reason) {
		facts.Refusal = ready.Reason + ": " + ready.Message
	}
	if next := status.NextStop; next != nil && next.Reason == v1alpha1.StopIdleTimeout {
		facts.Announced = next.At.Time
	}
	if next := status.NextStop; next != nil && status.State == v1alpha1.StateStarting && status.Pod == nil {
		facts.UnmadeUntil = next.At.Time
	}
	if traffic := status.Traffic; traffic != nil {
		facts.Traffic = lifecycle.Traffic{EndedAt: microTimeOf(traffic.LastInvocationAt), InUseUntil: microTimeOf(traffic.InUseUntil)}
	}
}

// track has the agent asked from the start of its container on and while its compute
// lives, and tells why it may not be asked. Before, whoever listens on its port is
// another: an init container or a sidecar. Until seen another operator has asked it.
func (r *AgentSessionReconciler) track(session *v1alpha1.AgentSession, pod *corev1.Pod, started *v1alpha1.ActivationRuntime, seen time.Time) *refused {
	if r.mode() == delegating {
		return nil
	}
	key := client.ObjectKeyFromObject(session)
	if pod == nil || pod.DeletionTimestamp != nil || session.Status.State == v1alpha1.StateStopping {
		r.Prober.Forget(key)
		return nil
	}
	if pod.Status.PodIP == "" {
		return nil
	}
	addr, err := agentAddress(pod, r.AllowLoopback)
	if err != nil {
		r.Prober.Forget(key)
		return &refused{v1alpha1.ReasonAddressRefused, err.Error()}
	}
	if !lifecycle.AgentStarted(&session.Status, startedAt(pod)) {
		return nil
	}
	policy := lifecycle.PolicyOf(&session.Spec, r.TimeScale)
	var seed lifecycle.Pulse
	if recorded := session.Status.Pod; recorded != nil && recorded.UID == pod.UID && session.Status.HealthyAt != nil {
		seed = lifecycle.Restore(&session.Status, seen).Late(r.Clock.Now(), lifecycle.Staleness(&session.Status, policy))
	}
	r.Prober.Track(prober.Target{
		Key: key, UID: pod.UID,
		Addr:             netip.AddrPortFrom(addr, uint16(session.Spec.Ping.Port)), //nolint:gosec // the schema bounds it
		Question:         lifecycle.QuestionOf(&session.Spec, started),
		FailureThreshold: policy.FailureThreshold,
	}, seed)
	return nil
}

// agentAddress is the pod's address. Others may be able to write it, so the
// operator asks none that could be something else than a pod.
func agentAddress(pod *corev1.Pod, allowLoopback bool) (netip.Addr, error) {
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	addr = addr.Unmap()
	switch {
	case err != nil:
		return addr, fmt.Errorf("the pod's address %.50q is no IP address", pod.Status.PodIP)
	case addr.IsLoopback() && !allowLoopback, addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(), addr.Zone() != "":
		return addr, fmt.Errorf("the pod's address %s is loopback, link-local, multicast or unspecified: it is not asked", addr)
	case pod.Spec.HostNetwork || pod.Status.PodIP == pod.Status.HostIP:
		return addr, fmt.Errorf("the pod's address %s is its node's: it is not asked", addr)
	}
	return addr, nil
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func microTimeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
