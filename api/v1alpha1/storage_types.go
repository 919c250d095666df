package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// FilesystemConfiguration is AgentCore's. Of its kinds there is session storage; what
// else a pod is to mount stands in its template.
type FilesystemConfiguration struct {
	// sessionStorage is a filesystem of the session's own that outlives its computes.
	// +required
	SessionStorage SessionStorageConfiguration `json:"sessionStorage"`
}

// SessionStorageConfiguration is AgentCore's mountPath, and what Kubernetes needs to know
// beside it.
type SessionStorageConfiguration struct {
	// mountPath in the agent's container: one folder below /mnt, as /mnt/data, 6 to 200
	// characters (AgentCore's rule). The agent finds it in AGENTSESSION_STORAGE too.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^/mnt/[a-zA-Z0-9._-]+/?$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['/mnt/.', '/mnt/./', '/mnt/..', '/mnt/../'])",message="mountPath must name one folder below /mnt, as /mnt/data"
	MountPath string `json:"mountPath"`
	// size that the storage has at least, in bytes, as 1Gi: more than 0. 1Gi if absent
	// (AgentCore's is 1 GB). The storage class decides whether more can be written.
	// Ours; it counts when the storage is made, and changes none that is there.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self > 0 : quantity(self).isGreaterThan(quantity('0'))",message="size must be more than 0"
	Size *resource.Quantity `json:"size,omitempty"`
	// storageClassName of the PersistentVolumeClaim, the name of a StorageClass, 1 to 253
	// characters. The cluster's default class if absent. Ours; it counts when the storage
	// is made, and changes none that is there.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	StorageClassName string `json:"storageClassName,omitempty"`
}

// StorageStatus names the PersistentVolumeClaim that a session's storage is.
type StorageStatus struct {
	// persistentVolumeClaim is its name: the session's.
	// +required
	PersistentVolumeClaim string `json:"persistentVolumeClaim"`
	// uid of the claim.
	// +required
	UID types.UID `json:"uid"`
}
