package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
)

var (
	sessionKind    = v1alpha1.GroupVersion.WithKind("AgentSession")
	runtimeKind    = v1alpha1.GroupVersion.WithKind("AgentRuntime")
	podKind        = corev1.SchemeGroupVersion.WithKind("Pod")
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
)

// platformSelector is of operator and gateway. Of node mode's pods there is one on each node.
const platformSelector = "app.kubernetes.io/name=agentsession,app.kubernetes.io/component in (operator,gateway)"

// scope is what is reported of a namespace.
type scope struct {
	namespace          string
	sessions, runtimes []unstructured.Unstructured
}

// scopes are those that the user asks for, of each namespace.
func (r *reporter) scopes(ctx context.Context) (all []*scope) {
	var sessions, runtimes []unstructured.Unstructured
	if len(r.names) > 0 {
		sessions, runtimes = r.get(ctx, sessionKind, r.namesOf(sessionKinds, true)), r.get(ctx, runtimeKind, r.namesOf(runtimeKinds, false))
	} else {
		var in []client.ListOption
		if !r.all {
			in = append(in, client.InNamespace(r.namespace))
		}
		sessions, runtimes = r.list(ctx, r, sessionKind, in...), r.list(ctx, r, runtimeKind, in...)
	}
	of := map[string]*scope{}
	if !r.all {
		of[r.namespace] = &scope{namespace: r.namespace}
	}
	at := func(o *unstructured.Unstructured) *scope {
		if of[o.GetNamespace()] == nil {
			of[o.GetNamespace()] = &scope{namespace: o.GetNamespace()}
		}
		return of[o.GetNamespace()]
	}
	for i := range sessions {
		s := at(&sessions[i])
		s.sessions = append(s.sessions, sessions[i])
	}
	for i := range runtimes {
		s := at(&runtimes[i])
		s.runtimes = append(s.runtimes, runtimes[i])
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, of[name])
	}
	return all
}

// get reads objects by their names.
func (r *reporter) get(ctx context.Context, kind schema.GroupVersionKind, names []string) (all []unstructured.Unstructured) {
	for _, name := range names {
		o := unstructured.Unstructured{}
		o.SetGroupVersionKind(kind)
		if err := r.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, &o); err != nil {
			r.bundle.lacks(kind.Kind+" "+name, err)
			continue
		}
		all = append(all, o)
	}
	return all
}

// list reads the first objects of a kind.
func (r *reporter) list(ctx context.Context, from client.Reader, kind schema.GroupVersionKind, options ...client.ListOption) []unstructured.Unstructured {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := from.List(ctx, list, append(options, client.Limit(maxReported))...); err != nil {
		r.bundle.lacks(kind.Kind+"s", err)
		return nil
	}
	if list.GetContinue() != "" {
		r.bundle.errors = append(r.bundle.errors, fmt.Sprintf("%ss: there are more than %d, of which only those are in it", kind.Kind, maxReported))
	}
	return list.Items
}

// scope reports what is of a namespace.
func (r *reporter) scope(ctx context.Context, s *scope) {
	owners := map[string]bool{}
	for i := range s.sessions {
		owners[string(s.sessions[i].GetUID())] = true
	}
	if len(owners) > 0 {
		for _, pod := range r.list(ctx, r, podKind, client.InNamespace(s.namespace), client.HasLabels{v1alpha1.LabelSession}) {
			if owner := metav1.GetControllerOf(&pod); owner != nil && owners[string(owner.UID)] {
				r.bundle.objects([]unstructured.Unstructured{pod}, "pods", s.namespace, pod.GetName()+".yaml")
			}
		}
	}
	r.bundle.objects(r.events(ctx, s.namespace, r.concerns(s)), "events", s.namespace+".yaml")
	for i := range s.sessions {
		r.bundle.objects(s.sessions[i:i+1], "sessions", s.namespace, s.sessions[i].GetName()+".yaml")
	}
	for i := range s.runtimes {
		r.bundle.objects(s.runtimes[i:i+1], "runtimes", s.namespace, s.runtimes[i].GetName()+".yaml")
	}
}

// concerns tells which Events are of what is reported: of what has gone, too, and of its pods,
// which have the session's name and a number.
func (r *reporter) concerns(s *scope) func(*corev1.Event) bool {
	sessions, runtimes := r.namesOf(sessionKinds, true), r.namesOf(runtimeKinds, false)
	for i := range s.sessions {
		sessions = append(sessions, s.sessions[i].GetName())
	}
	return func(e *corev1.Event) bool {
		of := e.InvolvedObject
		switch of.Kind {
		case sessionKind.Kind:
			return len(r.names) == 0 || slices.Contains(sessions, of.Name)
		case runtimeKind.Kind:
			return len(r.names) == 0 || slices.Contains(runtimes, of.Name)
		case podKind.Kind:
			cut := strings.LastIndex(of.Name, "-")
			return cut > 0 && slices.Contains(sessions, of.Name[:cut])
		}
		return false
	}
}

// events are the newest of a namespace that something is true of.
func (r *reporter) events(ctx context.Context, namespace string, wanted func(*corev1.Event) bool) (all []unstructured.Unstructured) {
	since, more := r.now().Add(-eventsFor), ""
	var events []corev1.Event
	for range apiserver.MaxEventPages {
		var list corev1.EventList
		if err := r.List(ctx, &list, client.InNamespace(namespace), client.Limit(page), client.Continue(more)); err != nil {
			r.bundle.lacks("Events of namespace "+namespace, err)
			break
		}
		for i := range list.Items {
			if e := &list.Items[i]; !apiserver.EventTime(e).Before(since) && wanted(e) {
				events = append(events, *e)
			}
		}
		events = apiserver.NewestEvents(events)
		if more = list.Continue; more == "" {
			break
		}
	}
	if more != "" {
		r.bundle.errors = append(r.bundle.errors, fmt.Sprintf("Events of namespace %s: some were not read", namespace))
	}
	for i := range events {
		events[i].SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Event"))
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&events[i])
		if err != nil {
			r.bundle.lacks("Event "+events[i].Name, err)
			continue
		}
		all = append(all, unstructured.Unstructured{Object: fields})
	}
	return all
}

// installed reports what works on sessions: operator, gateway, and their logs.
func (r *reporter) installed(ctx context.Context) {
	here := &client.ListOptions{Namespace: platformNamespace, Limit: maxReported, Raw: &metav1.ListOptions{LabelSelector: platformSelector}}
	for _, d := range r.list(ctx, r.platform, deploymentKind, here) {
		r.bundle.objects([]unstructured.Unstructured{d}, "platform", "deployments", d.GetName()+".yaml")
	}
	every := func(*corev1.Event) bool { return true }
	r.bundle.objects(r.events(ctx, platformNamespace, every), "platform", "events.yaml")
	var pods corev1.PodList
	if err := r.List(ctx, &pods, here); err != nil {
		r.bundle.lacks("pods of namespace "+platformNamespace, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range pod.Status.ContainerStatuses {
			r.log(ctx, pod, status.Name, false)
			if status.RestartCount > 0 {
				r.log(ctx, pod, status.Name, true)
			}
		}
		pod.SetGroupVersionKind(podKind)
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
		if err != nil {
			r.bundle.lacks("pod "+pod.Name, err)
			continue
		}
		r.bundle.objects([]unstructured.Unstructured{{Object: fields}}, "platform", "pods", pod.Name+".yaml")
	}
}

// log reports the end of a container's log, or of that of the one before it.
func (r *reporter) log(ctx context.Context, pod *corev1.Pod, container string, before bool) {
	name := pod.Name + "." + container
	if before {
		name += ".previous"
	}
	text, err := r.tail(ctx, pod, &corev1.PodLogOptions{Container: container, Previous: before, TailLines: new(int64(logLines)), Timestamps: true})
	if err != nil {
		r.bundle.lacks("log "+name, err)
		return
	}
	r.bundle.text(text, "platform", "logs", name+".log")
}

func (r *reporter) tail(ctx context.Context, pod *corev1.Pod, options *corev1.PodLogOptions) (string, error) {
	pods, err := r.pods()
	if err != nil {
		return "", err
	}
	stream, err := pods.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("log").VersionedParams(options, scheme.ParameterCodec).Stream(ctx)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller's words
	}
	text, err := io.ReadAll(io.LimitReader(stream, reportBytes))
	if err := errors.Join(err, stream.Close()); err != nil {
		return "", err
	}
	return end(string(text), logBytes), nil
}

// end is as much of the last whole lines of a text as there is room for.
func end(text string, room int) string {
	if len(text) <= room {
		return text
	}
	text = text[len(text)-room:]
	return text[strings.Index(text, "\n")+1:]
}
