package kubeapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// play is what is done to a server, and what came of it.
type play struct {
	*WithT
	ctx    context.Context //nolint:containedctx // of one test
	config *rest.Config
	client client.WithWatch
	lines  []string
}

var (
	versions = regexp.MustCompile(`\(\d+\)`)
	ids      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	steps    = []struct {
		name string
		act  func(*play)
	}{
		{"names", names},
		{"conflicts", conflicts},
		{"status", status},
		{"patches", patches},
		{"schema", schemas},
		{"selectors", selectors},
		{"watch", watches},
		{"initial events", initialEvents},
		{"deletion", deletions},
		{"pods", podEnds},
		{"events", eventsOfBoth},
		{"leases", leasesOf},
		{"tables", tables},
		{"discovery", discoveries},
		{"dry run", dryRun},
	}
)

// say notes what came of a step: an error as clients see it, or a text.
func (p *play) say(what string, err error, more ...any) {
	line := what + ": " + fmt.Sprint(more...)
	if status, ok := err.(apierrors.APIStatus); ok {
		s := status.Status()
		line = fmt.Sprintf("%s: %d %s %s", what, s.Code, s.Reason, s.Message)
	} else if err != nil {
		line = what + ": " + err.Error()
	}
	p.lines = append(p.lines, versions.ReplaceAllString(ids.ReplaceAllString(line, "UID"), "(VERSION)"))
}

// asJSON is an object without what differs by moment and server.
func asJSON(object any) string {
	text, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return err.Error()
	}
	if m, ok := fields["metadata"].(map[string]any); ok {
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields"} {
			if _, there := m[field]; there {
				m[field] = "there"
			}
		}
	}
	text, _ = json.Marshal(fields)
	return string(text)
}

func session(name string) *v1alpha1.AgentSession {
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: v1alpha1.AgentSessionSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
		}},
	}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "agent", Image: "agent"}}, TerminationGracePeriodSeconds: new(int64(15)),
			AutomountServiceAccountToken: new(false),
		},
	}
}

func (p *play) create(object client.Object) {
	p.Expect(p.client.Create(p.ctx, object)).To(Succeed())
}

func names(p *play) {
	made := session("")
	made.GenerateName = "made-"
	p.create(made)
	p.say("generated", nil, regexp.MustCompile(`^made-[a-z0-9]{5}$`).MatchString(made.Name), made.Generation, made.UID != "", !made.CreationTimestamp.IsZero())
	first := session("first")
	p.create(first)
	p.say("created", nil, asJSON(first))
	p.say("again", p.client.Create(p.ctx, session("first")))
	p.say("bad name", p.client.Create(p.ctx, session("No_Name")))
	nowhere := session("lost")
	nowhere.Namespace = "nowhere"
	p.say("no namespace", p.client.Create(p.ctx, nowhere))
	p.say("not there", p.client.Get(p.ctx, client.ObjectKey{Namespace: "default", Name: "nobody"}, session("")))
	p.say("no pod", p.client.Get(p.ctx, client.ObjectKey{Namespace: "default", Name: "nobody"}, pod("")))
	given := session("given")
	given.ResourceVersion = "1"
	p.say("version given", p.client.Create(p.ctx, given))
}

func conflicts(p *play) {
	one := session("contested")
	p.create(one)
	other := one.DeepCopy()
	one.Labels = map[string]string{"by": "one"}
	p.say("first", p.client.Update(p.ctx, one))
	other.Labels = map[string]string{"by": "other"}
	p.say("second", p.client.Update(p.ctx, other))
	patch := client.MergeFromWithOptions(other.DeepCopy(), client.MergeFromWithOptimisticLock{})
	other.Labels = map[string]string{"by": "patch"}
	p.say("patch of an old version", p.client.Patch(p.ctx, other, patch))
	version := one.ResourceVersion
	p.say("nothing changes", p.client.Update(p.ctx, one), version == one.ResourceVersion)
	one.ResourceVersion = ""
	p.say("without a version", p.client.Update(p.ctx, one))
	one.UID = "6b1a4f0e-0000-4000-8000-000000000001"
	one.ResourceVersion = version
	p.say("another's UID", p.client.Update(p.ctx, one))
}

func status(p *play) {
	s := session("reported")
	s.Status.State = v1alpha1.StateActive
	p.create(s)
	p.say("not made with it", nil, s.Status.State)
	base := s.DeepCopy()
	s.Status.State, s.Status.Activation, s.Spec.Activation = v1alpha1.StateIdle, 1, 5
	p.say("status", p.client.Status().Patch(p.ctx, s, client.MergeFrom(base)), s.Status.State, s.Spec.Activation, s.Generation)
	base = s.DeepCopy()
	s.Status.State, s.Spec.Activation = v1alpha1.StateStopped, 2
	p.say("spec", p.client.Patch(p.ctx, s, client.MergeFrom(base)), s.Status.State, s.Spec.Activation, s.Generation)
	base = s.DeepCopy()
	s.Spec.Activation = 1
	p.say("it only grows", p.client.Patch(p.ctx, s, client.MergeFrom(base)))
	p.Expect(p.client.Get(p.ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
	base = s.DeepCopy()
	s.Status.State = "Odd"
	p.say("no such state", p.client.Status().Patch(p.ctx, s, client.MergeFrom(base)))
}

func patches(p *play) {
	s := session("patched")
	p.create(s)
	raw := func(what string, kind types.PatchType, text string, options ...client.PatchOption) {
		err := p.client.Patch(p.ctx, s, client.RawPatch(kind, []byte(text)), options...)
		p.say(what, err, s.Labels, s.Spec.DesiredState)
	}
	raw("merge", types.MergePatchType, `{"metadata":{"labels":{"a":"1","b":"2"}}}`)
	raw("merge away", types.MergePatchType, `{"metadata":{"labels":{"a":null}},"spec":{"desiredState":"Stopped"}}`)
	raw("JSON", types.JSONPatchType, `[{"op":"test","path":"/spec/desiredState","value":"Stopped"},{"op":"replace","path":"/spec/desiredState","value":"Running"}]`)
	raw("JSON that fails", types.JSONPatchType, `[{"op":"test","path":"/spec/desiredState","value":"Stopped"}]`)
	raw("strategic", types.StrategicMergePatchType, `{"metadata":{"labels":{"c":"3"}}}`)
	p.say("no JSON", reasonOnly(p.client.Patch(p.ctx, s, client.RawPatch(types.MergePatchType, []byte(`{`)))))
	applied := `{"apiVersion":"runtime.agentsession.dev/v1alpha1","kind":"AgentSession","metadata":{"name":"patched","namespace":"default","labels":{"%s":"applied"}}}`
	raw("apply", types.ApplyPatchType, fmt.Sprintf(applied, "d"), client.FieldOwner("me"))
	raw("apply another", types.ApplyPatchType, fmt.Sprintf(applied, "e"), client.FieldOwner("me"))
	one := pod("patched")
	p.create(one)
	p.say("strategic of a pod", p.client.Patch(p.ctx, one, client.RawPatch(types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"a":"1"}}}`))), one.Labels)
}

func schemas(p *play) {
	for name, text := range map[string]string{
		"idle too short": `{lifecycleConfiguration: {idleRuntimeSessionTimeout: 59}, template: T}`,
		"CEL":            `{lifecycleConfiguration: {idleRuntimeSessionTimeout: 601, maxLifetime: 600}, template: T}`,
		"neither":        `{}`,
		"unknown":        `{idleTimeout: 60, template: T}`,
		"of a pod":       `{template: {spec: {containers: [{name: a, image: a, port: 1}]}}}`,
		"wrong type":     `{activation: one, template: T}`,
		"null":           `{ping: null, template: T}`,
		"duplicate":      `{template: {spec: {containers: [{name: a, image: a}, {name: a, image: a}]}}}`,
	} {
		object := &unstructured.Unstructured{}
		p.Expect(yaml.Unmarshal([]byte("{apiVersion: runtime.agentsession.dev/v1alpha1, kind: AgentSession, metadata: {name: schema, namespace: default}, spec: "+
			strings.ReplaceAll(text, "template: T", "template: {spec: {containers: [{name: a, image: a}]}}")+"}"), &object.Object)).To(Succeed())
		strict := object.DeepCopy()
		p.say(name+", strictly", p.client.Create(p.ctx, strict, client.FieldValidation(metav1.FieldValidationStrict), client.DryRunAll), strict.Object["spec"])
		err := p.client.Create(p.ctx, object, client.DryRunAll)
		p.say(name, err, object.Object["spec"])
	}
	slices.Sort(p.lines)
}

func selectors(p *play) {
	for i, name := range []string{"s1", "s2", "s3"} {
		s := session(name)
		s.Labels = map[string]string{"set": "selectors", "nth": fmt.Sprint(i)}
		p.create(s)
		if i == 1 {
			base := s.DeepCopy()
			s.Status.Pod = &v1alpha1.PodStatus{Name: "p", Node: "n1"}
			p.say("status", p.client.Status().Patch(p.ctx, s, client.MergeFrom(base)))
		}
	}
	listed := func(what string, options ...client.ListOption) {
		var list v1alpha1.AgentSessionList
		err := p.client.List(p.ctx, &list, options...)
		var found []string
		for i := range list.Items {
			found = append(found, list.Items[i].Name)
		}
		p.say(what, err, found, list.ResourceVersion != "")
	}
	listed("label", client.InNamespace("default"), client.MatchingLabels{"set": "selectors"})
	listed("all namespaces", client.MatchingLabels{"set": "selectors"})
	listed("another namespace", client.InNamespace("nowhere"))
	listed("name", client.MatchingFields{"metadata.name": "s2"})
	listed("field", client.MatchingFields{"status.pod.node": "n1"})
	listed("both", client.MatchingFields{"status.pod.node": "n1"}, client.MatchingLabels{"nth": "2"})
	listed("no such field", client.MatchingFields{"spec.activation": "1"})
	listed("bad label", &client.ListOptions{Raw: &metav1.ListOptions{LabelSelector: "a=(b"}})
	var pods corev1.PodList
	p.say("no such field of pods", p.client.List(p.ctx, &pods, client.MatchingFields{"spec.odd": "1"}))
	p.say("of a node", p.client.List(p.ctx, &pods, client.MatchingFields{"spec.nodeName": "n7"}), len(pods.Items))
	p.say("all of some", p.client.DeleteAllOf(p.ctx, session(""), client.InNamespace("default"), client.MatchingLabels{"nth": "2"}))
	listed("what is left", client.MatchingLabels{"set": "selectors"})
}

// next waits for an event of a watch.
func (p *play) next(w watch.Interface) {
	select {
	case event, ok := <-w.ResultChan():
		if s, is := event.Object.(*v1alpha1.AgentSession); ok && is {
			p.say("saw", nil, event.Type, " ", s.Name, s.Labels, s.Annotations)
		} else {
			p.say("saw", nil, event.Type, fmt.Sprintf("%T %v", event.Object, ok))
		}
	case <-time.After(patience):
		p.say("saw", nil, "nothing")
	}
}

func watches(p *play) {
	var list v1alpha1.AgentSessionList
	p.Expect(p.client.List(p.ctx, &list)).To(Succeed())
	before := session("before-the-watch")
	before.Labels = map[string]string{"watched": "yes"}
	p.create(before)
	w, err := p.client.Watch(p.ctx, &list, client.InNamespace("default"), client.MatchingLabels{"watched": "yes"}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	p.Expect(err).NotTo(HaveOccurred())
	defer w.Stop()
	p.next(w)
	p.create(session("unwatched"))
	label := func(value string) {
		p.Expect(p.client.Patch(p.ctx, before, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"watched":"`+value+`"}}}`)))).To(Succeed())
	}
	label("no")
	p.next(w)
	label("yes")
	p.next(w)
	p.Expect(p.client.Patch(p.ctx, before, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`)))).To(Succeed())
	p.next(w)
	p.Expect(p.client.Delete(p.ctx, before)).To(Succeed())
	p.next(w)
}

func initialEvents(p *play) {
	one := session("initial")
	one.Labels = map[string]string{"initial": "yes"}
	p.create(one)
	begin := func(options metav1.ListOptions) watch.Interface {
		w, err := p.client.Watch(p.ctx, &v1alpha1.AgentSessionList{}, client.MatchingLabels{"initial": "yes"}, &client.ListOptions{Raw: &options})
		p.Expect(err).NotTo(HaveOccurred())
		return w
	}
	w := begin(metav1.ListOptions{SendInitialEvents: new(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	defer w.Stop()
	p.next(w)
	p.next(w)
	of := begin(metav1.ListOptions{ResourceVersion: "0"})
	defer of.Stop()
	p.next(of)
	_, err := p.client.Watch(p.ctx, &v1alpha1.AgentSessionList{}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "odd"}})
	p.say("odd version", err)
}

func deletions(p *play) {
	s := session("held")
	s.Finalizers = []string{"example.com/hold"}
	p.create(s)
	p.say("another's", p.client.Delete(p.ctx, s, client.Preconditions{UID: new(types.UID("6b1a4f0e-0000-4000-8000-000000000001"))}))
	p.say("another version", p.client.Delete(p.ctx, s, client.Preconditions{ResourceVersion: new("1")}))
	p.say("held", p.client.Delete(p.ctx, s, client.Preconditions{UID: &s.UID}))
	p.Expect(p.client.Get(p.ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
	p.say("is going", nil, s.DeletionTimestamp != nil, s.Generation)
	s.Finalizers = nil
	p.say("let go", p.client.Update(p.ctx, s))
	p.say("gone", p.client.Get(p.ctx, client.ObjectKeyFromObject(s), s))
	p.say("deleted twice", p.client.Delete(p.ctx, s))
}

func podEnds(p *play) {
	waiting := pod("waiting")
	p.create(waiting)
	p.say("made", nil, waiting.Status.Phase, waiting.Generation, *waiting.Spec.TerminationGracePeriodSeconds)
	p.say("without a node it goes at once", p.client.Delete(p.ctx, waiting))
	p.say("gone", p.client.Get(p.ctx, client.ObjectKeyFromObject(waiting), waiting))

	one := pod("one")
	p.create(one)
	bind := func() error {
		return p.client.SubResource("binding").Create(p.ctx, one, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}})
	}
	p.say("bound", bind())
	p.say("twice", reasonOnly(bind()))
	p.Expect(p.client.Get(p.ctx, client.ObjectKeyFromObject(one), one)).To(Succeed())
	base := one.DeepCopy()
	one.Status.Phase, one.Status.PodIP, one.Status.PodIPs = corev1.PodRunning, "127.0.0.9", []corev1.PodIP{{IP: "127.0.0.9"}}
	one.Spec.NodeName = "n2"
	p.say("status", p.client.Status().Patch(p.ctx, one, client.MergeFrom(base)), one.Spec.NodeName, one.Status.Phase)
	base = one.DeepCopy()
	one.Status.Phase, one.Labels = corev1.PodFailed, map[string]string{"a": "b"}
	p.say("labels", p.client.Patch(p.ctx, one, client.MergeFrom(base)), one.Status.Phase, one.Labels)
	base = one.DeepCopy()
	one.Spec.Hostname = "other"
	p.say("spec", reasonOnly(p.client.Patch(p.ctx, one, client.MergeFrom(base))))
	p.say("told to go", p.client.Delete(p.ctx, one))
	p.Expect(p.client.Get(p.ctx, client.ObjectKeyFromObject(one), one)).To(Succeed())
	p.say("going", nil, one.DeletionTimestamp != nil, *one.DeletionGracePeriodSeconds)
	p.say("another's", p.client.Delete(p.ctx, one, client.GracePeriodSeconds(0), client.Preconditions{UID: new(types.UID("6b1a4f0e-0000-4000-8000-000000000001"))}))
	p.say("ended", p.client.Delete(p.ctx, one, client.GracePeriodSeconds(0), client.Preconditions{UID: &one.UID}))
	p.say("gone", p.client.Get(p.ctx, client.ObjectKeyFromObject(one), one))

	nameless := pod("nameless")
	nameless.Spec.Containers = nil
	p.say("no container", reasonOnly(p.client.Create(p.ctx, nameless)))
}

// reasonOnly leaves the kind of an error: words of strategies may differ.
func reasonOnly(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", apierrors.ReasonForError(err))
}

func eventsOfBoth(p *play) {
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "e1", Namespace: "default"}, EventTime: metav1.NowMicro(),
		ReportingController: "operator", ReportingInstance: "o1", Action: "Stop", Reason: "IdleTimeout", Type: corev1.EventTypeNormal, Note: "It was idle",
		Regarding: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AgentSession", Namespace: "default", Name: "first"},
	}
	p.create(event)
	var old corev1.Event
	err := p.client.Get(p.ctx, client.ObjectKeyFromObject(event), &old)
	p.say("by the core", err, old.InvolvedObject.Name, old.Message, old.Reason, old.Action, old.ReportingController, old.EventTime.Equal(&event.EventTime))
	var list corev1.EventList
	p.say("by what it is about", p.client.List(p.ctx, &list, client.InNamespace("default"), client.MatchingFields{"involvedObject.name": "first", "involvedObject.kind": "AgentSession"}), len(list.Items))
	base := event.DeepCopy()
	event.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.NowMicro()}
	p.say("a series", p.client.Patch(p.ctx, event, client.MergeFrom(base)), event.Series.Count)
	p.Expect(p.client.Get(p.ctx, client.ObjectKeyFromObject(event), &old)).To(Succeed())
	p.say("a series by the core", nil, old.Series.Count)
}

func leasesOf(p *play) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "leader", Namespace: "default"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("a"), RenewTime: new(metav1.NowMicro())}}
	p.create(lease)
	other := lease.DeepCopy()
	lease.Spec.HolderIdentity = new("b")
	p.say("renewed", p.client.Update(p.ctx, lease), *lease.Spec.HolderIdentity)
	p.say("lost", p.client.Update(p.ctx, other))
}

func tables(p *play) {
	asks := discovery.NewDiscoveryClientForConfigOrDie(p.config).RESTClient()
	for _, resource := range []string{"agentsessions", "agentruntimes"} {
		var kind string
		text, err := asks.Get().AbsPath("/apis/runtime.agentsession.dev/v1alpha1/namespaces/default/"+resource).Param("fieldSelector", "metadata.name=first").
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").Do(p.ctx).ContentType(&kind).Raw()
		p.Expect(err).NotTo(HaveOccurred())
		var table metav1.Table
		p.Expect(json.Unmarshal(text, &table)).To(Succeed())
		p.Expect(table.ColumnDefinitions).NotTo(BeEmpty())
		p.say(resource, nil, kind, asJSON(map[string]any{"columns": table.ColumnDefinitions}))
		for _, row := range table.Rows {
			p.say("row", nil, row.Cells[:len(row.Cells)-1])
		}
	}
}

func discoveries(p *play) {
	asks := discovery.NewDiscoveryClientForConfigOrDie(p.config)
	for group, wanted := range map[string][]string{
		"v1": {"pods", "pods/status", "pods/binding", "persistentvolumeclaims", "namespaces", "events"}, "apps/v1": {"controllerrevisions"}, "coordination.k8s.io/v1": {"leases"},
		"events.k8s.io/v1": {"events"}, v1alpha1.GroupVersion.String(): nil,
	} {
		list, err := asks.ServerResourcesForGroupVersion(group)
		p.Expect(err).NotTo(HaveOccurred())
		slices.SortFunc(list.APIResources, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
		for _, r := range list.APIResources {
			if wanted != nil && !slices.Contains(wanted, r.Name) {
				continue
			}
			slices.Sort(r.Verbs)
			r.StorageVersionHash = ""
			if group == "v1" && r.Name == "namespaces" {
				r.Verbs = nil
			}
			if group == v1alpha1.GroupVersion.String() {
				r.Group, r.Version = "", ""
			} else {
				r.Categories = nil // nobody asks for all of a cluster here
			}
			p.say(group, nil, asJSON(r))
		}
	}
	slices.Sort(p.lines)
}

func dryRun(p *play) {
	p.say("create", p.client.Create(p.ctx, session("dry"), client.DryRunAll))
	p.say("is not there", p.client.Get(p.ctx, client.ObjectKey{Namespace: "default", Name: "dry"}, session("")))
	p.say("delete", p.client.Delete(p.ctx, session("first"), client.DryRunAll))
	p.say("is there", p.client.Get(p.ctx, client.ObjectKey{Namespace: "default", Name: "first"}, session("")))
}

// perform plays all steps against a server.
func perform(t *testing.T, config *rest.Config) map[string][]string {
	t.Helper()
	g, said := NewWithT(t), map[string][]string{}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	for _, step := range steps {
		p := &play{WithT: g, ctx: t.Context(), config: config, client: c}
		step.act(p)
		said[step.name] = p.lines
	}
	return said
}
