package controllers

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// ManagerOptions are the options of a manager that runs an
// AgentSessionReconciler: the cache holds the sessions, and of all pods only
// those with our label; reads see the operator's own writes.
func ManagerOptions() ctrl.Options {
	return managerOptions(nil, nil, nil)
}

// SelectedManagerOptions are those of a manager whose reconcilers have that Selector: of
// sessions the cache holds only the selected ones. Pods have other labels than their
// sessions, and keep theirs when a session changes its own; runtimes and their versions may
// be those of any operator's sessions. So it holds all of these.
func SelectedManagerOptions(selector labels.Selector) ctrl.Options {
	return managerOptions(nil, nil, selector)
}

// NodeManagerOptions are those of a manager whose reconciler has that Node: the
// cache holds only the pods there, and the sessions that are known to be there,
// so that a node costs the API server what happens on it. Reads wait for the
// process's own writes to sessions in that selection, and for no others, which
// the cache never shows.
func NodeManagerOptions(node string) ctrl.Options {
	return managerOptions(
		fields.OneTermEqualSelector("spec.nodeName", node),
		fields.OneTermEqualSelector("status.pod.node", node), nil)
}

func managerOptions(pods, sessions fields.Selector, selected labels.Selector) ctrl.Options {
	ours, err := labels.NewRequirement(v1alpha1.LabelSession, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	versions, err := labels.NewRequirement(v1alpha1.LabelRuntime, selection.Exists, nil)
	if err != nil {
		panic(err) // as above
	}
	return ctrl.Options{
		Scheme:         scheme(),
		MapperProvider: apiserver.Kinds,
		Cache: cache.Options{
			DefaultTransform:            apiserver.Slim(selected),
			ReaderFailOnMissingInformer: true,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}:            {Label: labels.NewSelector().Add(*ours), Field: pods, Transform: slimPod},
				&v1alpha1.AgentSession{}: {Label: selected, Field: sessions},
				// of all controllers' revisions only those of runtimes
				&appsv1.ControllerRevision{}: {Label: labels.NewSelector().Add(*versions)},
				// of all policies only our own
				&networkingv1.NetworkPolicy{}: {Field: fields.OneTermEqualSelector("metadata.name", NetworkPolicyName)},
			},
		},
		Client:     client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}},
		Controller: config.Controller{ReconciliationTimeout: reconcileMost},
	}
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two kinds under one name: a mistake in the program
		}
	}
	return s
}

// podLabels are those that the operator goes by: a template may have any others.
var podLabels = []string{v1alpha1.LabelSession, v1alpha1.LabelActivation, v1alpha1.LabelRuntime, v1alpha1.LabelVersion}

// slimPod keeps of a pod in the cache what is read of it: a tenant's template
// may be large, and the cache holds one for each session.
func slimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	pod.ManagedFields, pod.Annotations, pod.Finalizers = nil, nil, nil
	maps.DeleteFunc(pod.Labels, func(key, _ string) bool { return !slices.Contains(podLabels, key) })
	pod.Spec = corev1.PodSpec{
		NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork, Resources: slimResources(pod),
		Containers: []corev1.Container{slimAgent(pod)}, InitContainers: slimInit(pod), Volumes: slimVolumes(pod),
	}
	return pod, nil
}

// slimResources keep what the whole pod requests: it stands where a pod has it that says
// it for all of its containers.
func slimResources(pod *corev1.Pod) *corev1.ResourceRequirements {
	kept := corev1.ResourceList{}
	for name, quantity := range lifecycle.RequestsOf(pod) {
		if name == corev1.ResourceCPU || name == corev1.ResourceMemory {
			kept[name] = quantity
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return &corev1.ResourceRequirements{Requests: kept}
}

// slimVolumes keep the name of the one that keeps other pods away.
func slimVolumes(pod *corev1.Pod) []corev1.Volume {
	name := ownVolume(pod)
	if name == "" {
		return nil
	}
	claim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}
	return []corev1.Volume{{Name: name, VolumeSource: claim}}
}

// slimAgent keeps the agent's name and token, and that it has probes.
func slimAgent(pod *corev1.Pod) corev1.Container {
	agent := lifecycle.AgentContainer(pod)
	kept := corev1.Container{Name: agent.Name}
	if token := lifecycle.AgentToken(pod); token != "" {
		kept.Env = []corev1.EnvVar{{Name: contract.EnvToken, Value: token}}
	}
	if agent.LivenessProbe != nil || agent.StartupProbe != nil {
		kept.LivenessProbe = &corev1.Probe{}
	}
	return kept
}

// slimInit keeps the names of init containers, and which are sidecars.
func slimInit(pod *corev1.Pod) (kept []corev1.Container) {
	for i := range pod.Spec.InitContainers {
		kept = append(kept, corev1.Container{Name: pod.Spec.InitContainers[i].Name, RestartPolicy: pod.Spec.InitContainers[i].RestartPolicy})
	}
	return kept
}
