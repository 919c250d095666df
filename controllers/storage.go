package controllers

import (
	"context"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// storageVolume is the volume of a pod that is the session's storage.
const storageVolume = "session-storage"

// selectedNode is on a claim for which the scheduler has chosen a node, and that waits for
// its volume there.
const selectedNode = "volume.kubernetes.io/selected-node"

// buildClaim makes the claim of a session's storage. No second pod of the session is made
// beside one that has a volume, so no access mode has to keep it away: ReadWriteOnce is what
// every provisioner knows.
func buildClaim(session *v1alpha1.AgentSession, storage *v1alpha1.SessionStorageConfiguration, version string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: session.Name, Namespace: session.Namespace,
			Labels: map[string]string{v1alpha1.LabelSession: session.Name},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("AgentSession")),
			},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: lifecycle.StorageSize(storage)}},
		},
	}
	if version != "" {
		claim.Labels[v1alpha1.LabelRuntime], claim.Labels[v1alpha1.LabelVersion] = session.Spec.RuntimeRef.Name, version
	}
	if storage.StorageClassName != "" {
		claim.Spec.StorageClassName = &storage.StorageClassName
	}
	return claim
}

// mount gives the agent of a pod its session's storage.
func mount(pod *corev1.PodSpec, agent *corev1.Container, session *v1alpha1.AgentSession, storage *v1alpha1.SessionStorageConfiguration) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: storageVolume, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: session.Name},
	}})
	agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: storageVolume, MountPath: path.Clean(storage.MountPath)})
}

// claim is that of the storage that an activation starts with; nil if it has none. One that
// may not be used is an error: it is refused, or has to go first.
func (r *AgentSessionReconciler) claim(ctx context.Context, session *v1alpha1.AgentSession, started *v1alpha1.ActivationRuntime) (*corev1.PersistentVolumeClaim, error) {
	storage := lifecycle.StorageOf(&session.Spec)
	if storage == nil {
		return nil, nil
	}
	version := lifecycle.VersionLabel(started)
	var claim corev1.PersistentVolumeClaim
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(session), &claim)
	switch {
	case apierrors.IsNotFound(err):
		return r.createClaim(ctx, buildClaim(session, storage, version))
	case err != nil:
		return nil, fmt.Errorf("get PersistentVolumeClaim %s: %w", session.Name, err)
	}
	switch lifecycle.UseOfClaim(&claim, session, version) {
	case lifecycle.ClaimMounted:
		return &claim, nil
	case lifecycle.ClaimForeign:
		return nil, &refused{v1alpha1.ReasonStorageNameTaken, fmt.Sprintf("A PersistentVolumeClaim named %s is there and is not this session's; delete it, or this session", session.Name)}
	case lifecycle.ClaimOutdated:
		if err := r.removeOutdated(ctx, session, &claim); err != nil {
			return nil, err
		}
	case lifecycle.ClaimAwaited:
	}
	return nil, fmt.Errorf("the PersistentVolumeClaim %s, of another version or an earlier session, has not gone yet: a pod may use it, or its finalizers keep it", session.Name)
}

func (r *AgentSessionReconciler) createClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	err := r.Client.Create(ctx, claim, client.DisableReadYourWritesConsistency)
	switch {
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return nil, &refused{v1alpha1.ReasonStorageRefused, "The API server refused the session's storage: " + lifecycle.Printable(err.Error())}
	case err != nil:
		return nil, fmt.Errorf("create PersistentVolumeClaim %s: %w", claim.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Created the session's storage", "persistentVolumeClaim", klog.KObj(claim), "version", claim.Labels[v1alpha1.LabelVersion])
	return claim, nil
}

// removeOutdated deletes a claim of another version, or of an earlier session by the name. The
// cache may be what is out of date: then the claim is a successor's.
func (r *AgentSessionReconciler) removeOutdated(ctx context.Context, session *v1alpha1.AgentSession, claim *corev1.PersistentVolumeClaim) error {
	var now v1alpha1.AgentSession
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(session), &now); err != nil {
		return fmt.Errorf("get session %s: %w", session.Name, err)
	}
	if now.UID != session.UID {
		return fmt.Errorf("the PersistentVolumeClaim %s stays: its session is another than the cache shows", claim.Name)
	}
	return r.removeClaim(ctx, claim, "it was made for another version, or for an earlier session by that name")
}

// removeClaim deletes a claim by its UID: never a successor, nor another's by its name.
func (r *AgentSessionReconciler) removeClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim, why string) error {
	err := r.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID}, client.DisableReadYourWritesConsistency)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // another has its name
		return nil
	case err != nil:
		return fmt.Errorf("delete PersistentVolumeClaim %s: %w", claim.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted the session's storage", "persistentVolumeClaim", klog.KObj(claim), "since", why)
	return nil
}

// prepare does what comes before a report: it starts a session, or drops its storage. A drop
// that failed is no report.
func (r *AgentSessionReconciler) prepare(ctx context.Context, session *v1alpha1.AgentSession, own v1alpha1.AgentSessionSpec, found *pods, o *outcome) (startErr, err error) {
	switch o.verdict.Action {
	case lifecycle.ActStart:
		return r.start(ctx, session, own, found, o), nil
	case lifecycle.ActDropStorage:
		return nil, r.dropStorage(ctx, session, "nobody has used it for "+o.facts.Policy.StorageKept.String())
	case lifecycle.ActNone, lifecycle.ActStop, lifecycle.ActExpire:
	}
	return nil, nil
}

// dropStorage deletes the claim that is the session's by its owner. What status names is not
// relied on: more may write that than may delete claims.
func (r *AgentSessionReconciler) dropStorage(ctx context.Context, session *v1alpha1.AgentSession, why string) error {
	var claim corev1.PersistentVolumeClaim
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(session), &claim)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("get PersistentVolumeClaim %s: %w", session.Name, err)
	case !metav1.IsControlledBy(&claim, session):
		return nil
	}
	return r.removeClaim(ctx, &claim, why)
}

// findClaim reads the claim of a session's storage while its pod has no node, which may be
// for want of a volume, and where status does not name it: its operator died before.
func (r *AgentSessionReconciler) findClaim(ctx context.Context, session *v1alpha1.AgentSession, found *pods) error {
	pod := found.compute
	if pod == nil || r.mode() == onNode || lifecycle.StorageOf(&session.Spec) == nil || session.Status.Storage != nil && pod.Spec.NodeName != "" {
		return nil
	}
	var claim corev1.PersistentVolumeClaim
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(session), &claim)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("get PersistentVolumeClaim %s: %w", session.Name, err)
	case metav1.IsControlledBy(&claim, session):
		found.claim = &claim
	}
	return nil
}

// storageStatusOf names the claim that was looked at, or none that was dropped.
func storageStatusOf(old *v1alpha1.AgentSessionStatus, o outcome) *v1alpha1.StorageStatus {
	switch {
	case o.verdict.Action == lifecycle.ActDropStorage:
		return nil
	case o.claim != nil:
		return &v1alpha1.StorageStatus{PersistentVolumeClaim: o.claim.Name, UID: o.claim.UID}
	}
	return old.Storage
}

// awaitStorage adds to a compute whose pod has no node what is known of its storage.
func awaitStorage(compute lifecycle.Compute, pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) lifecycle.Compute {
	if pod.Spec.NodeName != "" || claim.Status.Phase == corev1.ClaimBound {
		return compute
	}
	compute.Unbound = true
	if scheduled := condition(pod, corev1.PodScheduled); scheduled != nil && !strings.Contains(strings.ToLower(scheduled.Message), "volume") ||
		scheduled == nil && claim.Annotations[selectedNode] == "" {
		return compute // its volume is not what it waits for, or not yet
	}
	compute.Wait = lifecycle.Wait{Reason: v1alpha1.ReasonStoragePending, Message: pendingWords(claim)}
	return compute
}

// pendingWords say what a claim waits for.
func pendingWords(claim *corev1.PersistentVolumeClaim) string {
	why := "it names no StorageClass and the cluster has no default one: make one the default, or set storageClassName of sessionStorage"
	if class := claim.Spec.StorageClassName; class != nil && *class != "" {
		why = fmt.Sprintf("the StorageClass %q has made none: it is not there, or its provisioner is not, or takes its time", *class)
	}
	return fmt.Sprintf("the session's storage, PersistentVolumeClaim %s, has no volume (%s): %s. kubectl events --for pvc/%s tells more",
		claim.Name, claim.Status.Phase, why, claim.Name)
}
