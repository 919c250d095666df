package controllers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	crevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// keptVersions is how many versions of a runtime stay that no endpoint pins.
	keptVersions = 10
	// countAfter is how long after a session's change its runtime's counts are
	// written: many changes are one write.
	countAfter = 5 * time.Second
	// DefaultRegion is the one in ARNs unless AgentRuntimeReconciler.Region is another.
	// It is AWS's first: its own Python helper build_runtime_url refuses names that are
	// none of its regions'.
	DefaultRegion = "us-east-1"
)

// AgentRuntimeReconciler keeps the versions of each AgentRuntime, has them tried where they
// are to be, and counts its sessions.
type AgentRuntimeReconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads past the cache: the template of a large runtime.
	Live client.Reader
	// Region is the one in every ARN. Which region callers sign for does not matter.
	// Default: DefaultRegion.
	Region string
	// Selector, if set, chooses the runtimes whose versions this operator keeps; others keep
	// those of the rest. Of their sessions it counts those that it chooses. Default: all.
	Selector labels.Selector
	// AllowLoopback is as that of AgentSessionReconciler.
	AllowLoopback bool

	edits   edits
	warmups warmups
}

// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentruntimes,verbs=get;list;watch
// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentruntimes/status,verbs=patch
// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentruntimes/finalizers,verbs=update
// +kubebuilder:rbac:groups=runtime.agentsession.dev,resources=agentsessions,verbs=create
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch;create;delete

// Reconcile records the newest version, forgets old ones, has the newest tried, and reports.
func (r *AgentRuntimeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var agent v1alpha1.AgentRuntime
	if err := r.Client.Get(ctx, req.NamespacedName, &agent); err != nil || agent.DeletionTimestamp != nil {
		if apierrors.IsNotFound(err) {
			r.edits.forget(req.NamespacedName, math.MaxInt64)
			r.warmups.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !selected(r.Selector, &agent) {
		r.edits.forget(req.NamespacedName, math.MaxInt64)
		return ctrl.Result{}, nil
	}
	versions, artifact, recordErr := r.record(ctx, &agent)
	refusal := refusalOf(recordErr)
	if recordErr != nil && refusal == nil {
		return ctrl.Result{}, recordErr
	}
	old := agent.DeepCopy()
	trials, sessions, err := r.sessions(ctx, &agent)
	if err != nil {
		return ctrl.Result{}, err
	}
	agent.Status.Sessions = countsOf(sessions)
	if starts := sessionsStart(lifecycle.LatestStart(sessions)); starts != nil { // or what was known stands
		meta.SetStatusCondition(&agent.Status.Conditions, *starts)
	}
	agent.Status.AgentRuntimeID = lifecycle.RuntimeID(&agent)
	agent.Status.AgentRuntimeArn = fmt.Sprintf("arn:aws:bedrock-agentcore:%s:%s:runtime/%s", cmp.Or(r.Region, DefaultRegion), accountOf(agent.Namespace), agent.Status.AgentRuntimeID)
	agent.Status.AgentRuntimeVersion = agent.Generation
	try, recheck := false, time.Duration(0)
	if artifact != nil { // or what was recorded stands
		agent.Status.Artifact = artifact
		try, recheck = r.validate(ctx, &agent, artifactVersion(old), trials)
	}
	meta.SetStatusCondition(&agent.Status.Conditions, readyRuntime(&agent, versions, refusal))
	if !equality.Semantic.DeepEqual(old.Status, agent.Status) {
		if err := r.Client.Status().Patch(ctx, &agent, client.MergeFrom(old)); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("patch status: %w", err))
		}
	}
	return ctrl.Result{RequeueAfter: recheck}, errors.Join(recordErr, r.try(ctx, &agent, trials, try))
}

// record keeps the newest version, the first that differs from it in its endpoints only,
// those that endpoints pin, and the ten before. It returns the numbers of what is kept.
func (r *AgentRuntimeReconciler) record(ctx context.Context, agent *v1alpha1.AgentRuntime) (kept map[int64]bool, artifact *v1alpha1.RuntimeArtifact, err error) {
	if agent.Unreadable != "" {
		return nil, nil, unreadable("AgentRuntime", agent.Name, agent.Unreadable)
	}
	var list appsv1.ControllerRevisionList
	if err := r.Client.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name}); err != nil {
		return nil, nil, fmt.Errorf("list versions: %w", err)
	}
	ours := slices.DeleteFunc(list.Items, func(revision appsv1.ControllerRevision) bool { return !metav1.IsControlledBy(&revision, agent) })
	slices.SortFunc(ours, func(a, b appsv1.ControllerRevision) int { return int(b.Revision - a.Revision) })
	if len(ours) == 0 || ours[0].Revision < agent.Generation {
		fresh, err := r.recordEdits(ctx, agent, ours)
		if err != nil {
			return nil, nil, err
		}
		ours = append(fresh, ours...)
	}
	r.edits.forget(client.ObjectKeyFromObject(agent), agent.Generation)
	artifact = artifactIn(ours)
	kept, err = r.prune(ctx, agent, artifact.Version, ours)
	return kept, artifact, err
}

// artifactIn is the first of the newest versions with the same content, given with the
// newest first.
func artifactIn(versions []appsv1.ControllerRevision) *v1alpha1.RuntimeArtifact {
	digest, first := versions[0].Annotations[v1alpha1.AnnotationDigest], 0
	for digest != "" && first+1 < len(versions) && versions[first+1].Annotations[v1alpha1.AnnotationDigest] == digest {
		first++
	}
	return &v1alpha1.RuntimeArtifact{Version: versions[first].Revision, Digest: digest, RecordedAt: versions[first].CreationTimestamp}
}

// recordEdits records the newest version, and those before it that were seen since the
// last one was recorded. It returns them with the newest first.
func (r *AgentRuntimeReconciler) recordEdits(ctx context.Context, agent *v1alpha1.AgentRuntime, known []appsv1.ControllerRevision) (fresh []appsv1.ControllerRevision, err error) {
	var last int64
	if len(known) > 0 {
		last = known[0].Revision
	}
	for _, edit := range append(r.edits.between(last, agent), agent) {
		revision, err := r.recordOne(ctx, edit)
		switch {
		case err == nil:
			fresh = slices.Insert(fresh, 0, *revision)
		case edit == agent || refusalOf(err) == nil:
			return nil, err
		}
	}
	return fresh, nil
}

func (r *AgentRuntimeReconciler) recordOne(ctx context.Context, agent *v1alpha1.AgentRuntime) (*appsv1.ControllerRevision, error) {
	whole := agent
	if apiserver.Lacks(&agent.Spec.Template) {
		whole = &v1alpha1.AgentRuntime{}
		if err := readWhole(ctx, r.Live, agent, whole); err != nil {
			return nil, err
		}
	}
	revision, err := revisionOf(whole)
	if err != nil {
		return nil, err
	}
	err = r.Client.Create(ctx, revision)
	if apierrors.IsAlreadyExists(err) && r.removeEarlier(ctx, agent, revision.Name) {
		err = r.Client.Create(ctx, revision)
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("record version %d: %w", agent.Generation, &refused{
			v1alpha1.ReasonVersionNameTaken, fmt.Sprintf("A ControllerRevision named %s is there; if this AgentRuntime does not own it, delete it", revision.Name),
		})
	case err != nil:
		return nil, fmt.Errorf("record version %d: %w", agent.Generation, err)
	}
	ctrl.LoggerFrom(ctx).Info("Recorded a version", "version", agent.Generation)
	return revision, nil
}

// removeEarlier removes a version of an AgentRuntime that had the name before, and tells whether
// the name is free: the garbage collector may take its time, and the runtime would not be Ready.
func (r *AgentRuntimeReconciler) removeEarlier(ctx context.Context, agent *v1alpha1.AgentRuntime, name string) bool {
	var now v1alpha1.AgentRuntime // the cache may be behind, and this one be the earlier
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(agent), &now); err != nil || now.UID != agent.UID {
		return false
	}
	var there appsv1.ControllerRevision
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: agent.Namespace, Name: name}, &there); err != nil {
		return apierrors.IsNotFound(err)
	}
	owner := metav1.GetControllerOf(&there)
	if owner == nil || owner.Kind != "AgentRuntime" || owner.Name != agent.Name || owner.UID == agent.UID {
		return false
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &there, client.Preconditions{UID: &there.UID})) == nil
}

// prune deletes old versions, given with the newest first, but for those that are in use
// and the one that is the artifact's.
func (r *AgentRuntimeReconciler) prune(ctx context.Context, agent *v1alpha1.AgentRuntime, artifact int64, versions []appsv1.ControllerRevision) (kept map[int64]bool, err error) {
	kept = map[int64]bool{agent.Generation: true}
	pinned := map[int64]bool{agent.Generation: true, artifact: true, lifecycle.DefaultVersion(agent): true}
	for _, e := range agent.Spec.Endpoints {
		pinned[e.Version] = true
	}
	unpinned := 0
	for i := range versions {
		number := versions[i].Revision
		if pinned[number] {
			kept[number] = true
			continue
		}
		if unpinned++; unpinned <= keptVersions {
			kept[number] = true
			continue
		}
		if err := r.Client.Delete(ctx, &versions[i], client.Preconditions{UID: &versions[i].UID}); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete version %d: %w", number, err)
		}
		ctrl.LoggerFrom(ctx).Info("Deleted a version", "version", number)
	}
	return kept, nil
}

func revisionOf(agent *v1alpha1.AgentRuntime) (*appsv1.ControllerRevision, error) {
	raw, err := json.Marshal(agent.Spec)
	if err != nil {
		return nil, fmt.Errorf("write version %d: %w", agent.Generation, err)
	}
	digest, err := lifecycle.Digest(agent.Spec)
	if err != nil {
		return nil, fmt.Errorf("write version %d: %w", agent.Generation, err)
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: agent.Namespace, Name: revisionName(agent.Name, agent.Generation),
			Labels:      map[string]string{v1alpha1.LabelRuntime: agent.Name, v1alpha1.LabelVersion: strconv.FormatInt(agent.Generation, 10)},
			Annotations: map[string]string{v1alpha1.AnnotationDigest: digest},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(agent, v1alpha1.GroupVersion.WithKind("AgentRuntime")),
			},
		},
		Data:     runtime.RawExtension{Raw: raw},
		Revision: agent.Generation,
	}, nil
}

// sessions are those that name the runtime: the ones that try its versions, and all others.
func (r *AgentRuntimeReconciler) sessions(ctx context.Context, agent *v1alpha1.AgentRuntime) (trials, others []v1alpha1.AgentSession, err error) {
	var list v1alpha1.AgentSessionList
	if err := r.Client.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingFields{runtimeIndex: agent.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list sessions: %w", err)
	}
	trials, others = trialsOf(agent, list.Items)
	return trials, others, nil
}

// countsOf counts sessions by state.
func countsOf(sessions []v1alpha1.AgentSession) (counts v1alpha1.SessionCounts) {
	for i := range sessions {
		switch sessions[i].Status.State {
		case v1alpha1.StateActive:
			counts.Active++
		case v1alpha1.StateIdle:
			counts.Idle++
		case v1alpha1.StateStopping:
			counts.Stopping++
		case v1alpha1.StateStopped:
			counts.Stopped++
		case v1alpha1.StateStarting, "":
			counts.Starting++
		}
	}
	return counts
}

// sessionsStart is the condition SessionsStart that an outcome amounts to; nil if it tells of
// no start.
func sessionsStart(latest lifecycle.StartOutcome) *metav1.Condition {
	switch {
	case latest.At.IsZero():
		return nil
	case latest.Reason != "":
		return &metav1.Condition{Type: v1alpha1.ConditionSessionsStart, Status: metav1.ConditionFalse, Reason: latest.Reason, Message: latest.Message}
	}
	return &metav1.Condition{Type: v1alpha1.ConditionSessionsStart, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHealthy, Message: latest.Message}
}

func readyRuntime(agent *v1alpha1.AgentRuntime, versions map[int64]bool, refusal *refused) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: agent.Generation,
		Reason: v1alpha1.ReasonVersionRecorded, Message: fmt.Sprintf("Sessions start with version %d, or with that of their endpoint.", lifecycle.DefaultVersion(agent)),
	}
	switch {
	case refusal != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, refusal.reason, refusal.message
		return c
	case lifecycle.DefaultVersion(agent) == 0:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonNoValidVersion
		c.Message = "The sessions of the endpoint DEFAULT cannot start: no version was tried with success (see the condition Validated)."
	}
	for _, e := range agent.Spec.Endpoints {
		if !versions[e.Version] {
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonVersionNotFound
			c.Message = fmt.Sprintf("The sessions of the endpoint %s cannot start: %s.", e.Name, lifecycle.NoVersion(e.Version, agent.Generation, slices.Sorted(maps.Keys(versions))))
		}
	}
	return c
}

// accountOf are the twelve digits that stand for a namespace.
func accountOf(namespace string) string {
	sum := sha256.Sum256([]byte(namespace))
	return fmt.Sprintf("%012d", binary.BigEndian.Uint64(sum[:])%1e12)
}

// SetupWithManager starts the reconciler with the manager. The manager needs an
// AgentSessionReconciler too.
func (r *AgentRuntimeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.AgentRuntime{}, handler.OnlyControllerOwner())
	watching, err := watched(mgr, "agentruntime", r)
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("agentruntime").
		Watches(&v1alpha1.AgentRuntime{}, r.edits.handler(r.Selector)).
		Watches(&appsv1.ControllerRevision{}, owner, builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(crevent.CreateEvent) bool { return false },
			UpdateFunc: func(crevent.UpdateEvent) bool { return false },
		})).
		Watches(&v1alpha1.AgentSession{}, countLater()).
		WithOptions(controller.Options{RateLimiter: newLimiter(errorRetry, errorMost)}).
		Complete(watching)
}

// countLater has a runtime's sessions counted a while after one of them changed
// its state. One that tries a version is looked at without delay.
func countLater() handler.Funcs {
	later := func(object client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		after := countAfter
		if isTrial(object) {
			after = 0
		}
		for _, name := range runtimeNameOf(object) {
			queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}, after)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e crevent.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			later(e.Object, queue)
		},
		UpdateFunc: func(_ context.Context, e crevent.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			before, was := e.ObjectOld.(*v1alpha1.AgentSession)
			after, is := e.ObjectNew.(*v1alpha1.AgentSession)
			if was && is && (before.Status.State != after.Status.State || isTrial(after)) {
				later(after, queue)
			}
		},
		DeleteFunc: func(_ context.Context, e crevent.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			later(e.Object, queue)
		},
	}
}
