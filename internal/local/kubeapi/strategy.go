package kubeapi

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	storeerrors "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/apiserver/pkg/storage/names"
)

// strategy is what is particular to a kind that is built in. Metadata is looked at by
// the registry.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	cluster  bool
	create   func(runtime.Object)
	validate func(runtime.Object) field.ErrorList
	update   func(object, old runtime.Object)
	change   func(object, old runtime.Object) field.ErrorList
}

func (s *strategy) NamespaceScoped() bool { return !s.cluster }

func (s *strategy) AllowCreateOnUpdate(context.Context) bool { return false }

func (s *strategy) AllowUnconditionalUpdate(context.Context) bool { return true }

func (s *strategy) Canonicalize(runtime.Object) {}

func (s *strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

func (s *strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

func (s *strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	if s.create != nil {
		s.create(object)
	}
}

func (s *strategy) Validate(_ context.Context, object runtime.Object) field.ErrorList {
	if s.validate == nil {
		return nil
	}
	return s.validate(object)
}

func (s *strategy) PrepareForUpdate(_ context.Context, object, old runtime.Object) {
	if s.update != nil {
		s.update(object, old)
	}
}

func (s *strategy) ValidateUpdate(_ context.Context, object, old runtime.Object) field.ErrorList {
	if s.change == nil {
		return nil
	}
	return s.change(object, old)
}

// podStrategy is that of pods. Their deletion is graceful.
type podStrategy struct{ *strategy }

// CheckGracefulDelete implements rest.RESTGracefulDeleteStrategy, as Kubernetes does: a
// pod that nobody runs, or that has ended, has nothing to end.
func (podStrategy) CheckGracefulDelete(_ context.Context, object runtime.Object, options *metav1.DeleteOptions) bool {
	pod := object.(*corev1.Pod) //nolint:forcetypeassert // it is the strategy of pods
	period := int64(corev1.DefaultTerminationGracePeriodSeconds)
	switch {
	case options.GracePeriodSeconds != nil:
		period = *options.GracePeriodSeconds
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		period = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		period = 0
	}
	options.GracePeriodSeconds = new(max(period, 0))
	return true
}

func createPod(object runtime.Object) {
	pod := object.(*corev1.Pod) //nolint:forcetypeassert // it is the strategy of pods
	pod.Generation = 1
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		pod.Spec.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
	}
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
}

func validatePod(object runtime.Object) (errs field.ErrorList) {
	pod := object.(*corev1.Pod) //nolint:forcetypeassert // it is the strategy of pods
	at := field.NewPath("spec", "containers")
	if len(pod.Spec.Containers) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	known := map[string]bool{}
	for i, c := range pod.Spec.Containers {
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(at.Index(i).Child("name"), ""))
		case known[c.Name]:
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), c.Name))
		}
		known[c.Name] = true
		if c.Image == "" {
			errs = append(errs, field.Required(at.Index(i).Child("image"), ""))
		}
	}
	return errs
}

func updatePod(object, old runtime.Object) {
	object.(*corev1.Pod).Status = *old.(*corev1.Pod).Status.DeepCopy() //nolint:forcetypeassert // it is the strategy of pods
}

func updatePodStatus(object, old runtime.Object) {
	pod, was := object.(*corev1.Pod), old.(*corev1.Pod) //nolint:forcetypeassert // it is the strategy of pods
	pod.Spec, pod.DeletionTimestamp, pod.OwnerReferences = *was.Spec.DeepCopy(), nil, was.OwnerReferences
}

// changePod has the spec of a pod stay as it is, but for scheduling gates, which may go.
func changePod(object, old runtime.Object) field.ErrorList {
	pod, was := object.(*corev1.Pod), old.(*corev1.Pod) //nolint:forcetypeassert // it is the strategy of pods
	spec := pod.Spec.DeepCopy()
	isNew := func(gate corev1.PodSchedulingGate) bool { return !slices.Contains(was.Spec.SchedulingGates, gate) }
	if !slices.ContainsFunc(spec.SchedulingGates, isNew) {
		spec.SchedulingGates = was.Spec.SchedulingGates
	}
	if equality.Semantic.DeepEqual(*spec, was.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "a pod's spec does not change here")}
}

// bindings bind pods to nodes: the subresource binding.
type bindings struct {
	store *genericregistry.Store
}

// New implements rest.Storage, as Destroy does.
func (bindings) New() runtime.Object { return &corev1.Binding{} }

// Destroy implements rest.Storage: the store itself is destroyed.
func (bindings) Destroy() {}

// Create implements rest.NamedCreater.
func (b bindings) Create(ctx context.Context, name string, object runtime.Object, validate rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	binding, ok := object.(*corev1.Binding)
	if !ok || binding.Target.Name == "" {
		return nil, apierrors.NewBadRequest("target.name must be the name of a node")
	}
	if validate != nil {
		if err := validate(ctx, object); err != nil {
			return nil, err
		}
	}
	key, err := b.store.KeyFunc(ctx, name)
	if err != nil {
		return nil, err
	}
	resource := pods.gv.WithResource(pods.resource).GroupResource()
	update := func(object runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
		pod := object.(*corev1.Pod) //nolint:forcetypeassert // it is the store of pods
		if binding.UID != "" && binding.UID != pod.UID {
			return nil, nil, apierrors.NewConflict(resource, name, fmt.Errorf("pod %s has another uid", name))
		}
		if pod.DeletionTimestamp != nil || pod.Spec.NodeName != "" {
			return nil, nil, apierrors.NewConflict(resource, name, fmt.Errorf("pod %s is deleted, or assigned to a node already", name))
		}
		pod.Spec.NodeName = binding.Target.Name
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
		return pod, nil, nil
	}
	if err := b.store.Storage.GuaranteedUpdate(ctx, key, &corev1.Pod{}, false, nil, update, false, nil); err != nil {
		return nil, storeerrors.InterpretUpdateError(err, resource, name)
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}
