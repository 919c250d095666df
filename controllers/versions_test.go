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
	list := func() *unstructured.UnstructuredList { // what no typed client can read breaks no watch
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSessionList"))
		return list
	}
	begun := list()
	Expect(api.List(ctx, begun, client.InNamespace(namespace))).To(Succeed())
	at := begun.GetResourceVersion()
	go func() {
		for ctx.Err() == nil {
			events, err := api.Watch(ctx, list(), &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: at}})
			if err != nil {
				continue // the API server may be away
			}
			for event := range events.ResultChan() {
				if object, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Error {
					at = object.GetResourceVersion()
					v.keep(event.Type, object)
				}
			}
		}
	}()
}

func (v *versions) keep(kind watch.EventType, object *unstructured.Unstructured) {
	session := &v1alpha1.AgentSession{}
	if kind != watch.Added && kind != watch.Modified || runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, session) != nil {
		return
	}
	key := client.ObjectKeyFromObject(session)
	v.mu.Lock()
	defer v.mu.Unlock()
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
	}).Should(Succeed())
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
