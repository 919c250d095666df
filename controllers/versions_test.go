package controllers_test

import (
	"context"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// versions are all versions of the sessions there were, in their order: a state that
// stands for a moment only is missed by who asks now and then what stands.
type versions struct {
	mu       sync.Mutex
	sessions map[client.ObjectKey][]*v1alpha1.AgentSession
}

var seen = versions{sessions: map[client.ObjectKey][]*v1alpha1.AgentSession{}}

// watchSessions has the versions of a namespace's sessions kept from now on.
func (v *versions) watchSessions(ctx context.Context, namespace string) {
	GinkgoHelper()
	list := func(o metav1.ListOptions) (*unstructured.UnstructuredList, *client.ListOptions) {
		list := &unstructured.UnstructuredList{} // what no typed client can read breaks no watch
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSessionList"))
		return list, &client.ListOptions{Namespace: namespace, Raw: &o}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				objects, only := list(o)
				return objects, api.List(ctx, objects, only)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				objects, only := list(o)
				return api.Watch(ctx, objects, only)
			},
		},
		ObjectType: &unstructured.Unstructured{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    v.keep,
			UpdateFunc: func(_, object any) { v.keep(object) },
		},
	})
	go informer.RunWithContext(ctx)
	Eventually(informer.HasSynced).Should(BeTrue())
}

func (v *versions) keep(object any) {
	session := &v1alpha1.AgentSession{}
	read, is := object.(*unstructured.Unstructured)
	if !is || runtime.DefaultUnstructuredConverter.FromUnstructured(read.Object, session) != nil {
		return
	}
	key := client.ObjectKeyFromObject(session)
	v.mu.Lock()
	defer v.mu.Unlock()
	if before := v.sessions[key]; len(before) > 0 && before[len(before)-1].ResourceVersion == session.ResourceVersion {
		return // a list after a watch that broke
	}
	v.sessions[key] = append(v.sessions[key], session)
}

// of are the versions of a session.
func (v *versions) of(key client.ObjectKey) []*v1alpha1.AgentSession {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sessions[key]
}

// eventually waits for a version of the session, from the one at hand on, whose status
// is as wanted, and has that one at hand then. It may have stood for a moment only.
func eventually(ctx context.Context, session *v1alpha1.AgentSession, want types.GomegaMatcher) v1alpha1.AgentSessionStatus {
	GinkgoHelper()
	key, from := client.ObjectKeyFromObject(session), session.ResourceVersion
	if fits, _ := want.Match(session.Status); fits {
		return session.Status
	}
	next, last := 0, session.Status
	Eventually(ctx, func(g Gomega) {
		for list := seen.of(key); next < len(list); next++ {
			version := list[next]
			if from != "" && !newer(version.ResourceVersion, from) {
				continue
			}
			last = version.Status
			if fits, _ := want.Match(last); fits {
				version.DeepCopyInto(session)
				return
			}
		}
		g.Expect(last).To(want, "session %s", key.Name)
	}).WithTimeout(patience).Should(Succeed())
	return session.Status
}

// eventuallyState waits for a state and returns the status.
func eventuallyState(ctx context.Context, session *v1alpha1.AgentSession, state v1alpha1.SessionState) v1alpha1.AgentSessionStatus {
	GinkgoHelper()
	return eventually(ctx, session, HaveField("State", state))
}

func newer(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order > 0
}

// because is a status whose condition says why.
func because(condition, reason string) types.GomegaMatcher {
	return HaveField("Conditions", ContainElement(And(HaveField("Type", condition), HaveField("Reason", reason))))
}

// reportsOn is the state in every report on a session so far.
func reportsOn(session *v1alpha1.AgentSession) func() []v1alpha1.SessionState {
	return func() (states []v1alpha1.SessionState) {
		for i, version := range seen.of(client.ObjectKeyFromObject(session)) {
			if i > 0 { // the first is as it was made
				states = append(states, version.Status.State)
			}
		}
		return states
	}
}
