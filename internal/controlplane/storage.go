package controlplane

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// filesystem is a union, of which one is served.
type filesystem struct {
	SessionStorage *sessionStorage `json:"sessionStorage,omitempty"`
}

type sessionStorage struct {
	MountPath string `json:"mountPath"`
}

// storageGroup is the group that owns a session's storage: the one of the user that the images
// of AWS's toolkit run as. This API has no member to say another.
const storageGroup int64 = 1000

// forStorage lets an agent that is not root write to its storage. The files are gone through
// once, and not at every wake.
func forStorage() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{FSGroup: new(storageGroup), FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch)}
}

func checkFilesystems(m members) error {
	for _, f := range m.filesystems {
		if f.SessionStorage == nil {
			return missing("filesystemConfigurations.sessionStorage")
		}
	}
	return nil
}

// storage is what a request asks for. Of one that was there before, size and class stay, for
// which this API has no words.
func (m members) storage(before []v1alpha1.FilesystemConfiguration) (asked []v1alpha1.FilesystemConfiguration) {
	for i, f := range m.filesystems {
		one := v1alpha1.FilesystemConfiguration{}
		if i < len(before) {
			one = before[i]
		}
		one.SessionStorage.MountPath = f.SessionStorage.MountPath
		asked = append(asked, one)
	}
	return asked
}

func filesystemsIn(spec *v1alpha1.AgentRuntimeSpec) (shown []filesystem) {
	for _, f := range spec.FilesystemConfigurations {
		shown = append(shown, filesystem{&sessionStorage{f.SessionStorage.MountPath}})
	}
	return shown
}
