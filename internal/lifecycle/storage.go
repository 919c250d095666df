package lifecycle

import (
	"cmp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// StorageKept is how long session storage is kept after its last use: AgentCore's figure
// (developer guide, "File system configurations").
const StorageKept = 14 * 24 * time.Hour

// DefaultStorageSize is the size of session storage whose configuration has none. AgentCore's
// is 1 GB.
const DefaultStorageSize = 1 << 30

// defaultSessionTTL is how long a gateway's sessions are kept whose runtime does not say,
// and that have no storage.
const defaultSessionTTL = 24 * time.Hour

// StorageOf is the session storage that a spec in force asks for; nil if it asks for none.
func StorageOf(spec *v1alpha1.AgentSessionSpec) *v1alpha1.SessionStorageConfiguration {
	if len(spec.FilesystemConfigurations) == 0 {
		return nil
	}
	return &spec.FilesystemConfigurations[0].SessionStorage
}

// StorageSize is the size that session storage is made with.
func StorageSize(storage *v1alpha1.SessionStorageConfiguration) resource.Quantity {
	if storage.Size == nil {
		return *resource.NewQuantity(DefaultStorageSize, resource.BinarySI)
	}
	return *storage.Size
}

// SessionTTLOf is how long a gateway's session of a runtime is kept after its stop, in
// seconds. Storage goes with its session, so that is kept as long as storage is.
func SessionTTLOf(runtime *v1alpha1.AgentRuntimeSpec) int32 {
	switch ttl := runtime.SessionTTLSecondsAfterStopped; {
	case ttl != nil:
		return *ttl
	case len(runtime.FilesystemConfigurations) > 0:
		return int32(StorageKept.Seconds())
	}
	return int32(defaultSessionTTL.Seconds())
}

// VersionLabel is the version of its runtime that an activation starts with, as the label of
// its pod, and of the claim that was made for it, has it. Empty for a session without a
// runtime: it has no versions.
func VersionLabel(started *v1alpha1.ActivationRuntime) string {
	if started == nil {
		return ""
	}
	return strconv.FormatInt(started.AgentRuntimeVersion, 10)
}

// ClaimUse is what an activation makes of the PersistentVolumeClaim by its session's name.
type ClaimUse int

const (
	// ClaimMounted is the session's, and of this version.
	ClaimMounted ClaimUse = iota
	// ClaimAwaited goes already, and another can be made when it has gone.
	ClaimAwaited
	// ClaimOutdated is the session's of another version, or was that of an earlier
	// session by the same name. It has to go.
	ClaimOutdated
	// ClaimForeign is somebody else's, and is left alone.
	ClaimForeign
)

// UseOfClaim says what an activation that starts with a version of its runtime makes of a
// claim. Its owner's UID makes it the session's, never its name or labels.
func UseOfClaim(claim *corev1.PersistentVolumeClaim, session *v1alpha1.AgentSession, version string) ClaimUse {
	owner := metav1.GetControllerOf(claim)
	switch {
	case owner == nil, owner.APIVersion != v1alpha1.GroupVersion.String(), owner.Kind != "AgentSession", owner.Name != session.Name:
		return ClaimForeign
	case claim.DeletionTimestamp != nil:
		return ClaimAwaited
	case owner.UID != session.UID, claim.Labels[v1alpha1.LabelVersion] != version:
		return ClaimOutdated
	}
	return ClaimMounted
}

// storageDue is when the storage of a stopped session is dropped; zero if it has none.
func (f Facts) storageDue() time.Time {
	if !f.Stored || f.StoppedAt.IsZero() {
		return time.Time{}
	}
	return f.StoppedAt.Add(f.Policy.StorageKept)
}

// StorageKeptUntil is when the storage of a session is dropped if nobody wakes it; zero if it
// has none, or has a compute.
func StorageKeptUntil(session *v1alpha1.AgentSession) time.Time {
	s := &session.Status
	if s.Storage == nil || s.State != v1alpha1.StateStopped || s.LastTermination == nil || s.LastTermination.At == nil {
		return time.Time{}
	}
	return s.LastTermination.At.Add(StorageKept / time.Duration(cmp.Or(s.TimeScale, 1)))
}
