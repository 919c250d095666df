package gateway_test

import (
	"context"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/front"
)

// late is a client whose cache shows some sessions, and a runtime, as they were.
type late struct {
	client.Client

	noRuntimes bool // shows none

	mu      sync.Mutex
	were    map[client.ObjectKey]*v1alpha1.AgentSession
	runtime *v1alpha1.AgentRuntime // nil: all are as they are
}

func (l *late) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	l.mu.Lock()
	was := l.were[key]
	l.mu.Unlock()
	if session, ok := object.(*v1alpha1.AgentSession); ok && was != nil {
		was.DeepCopyInto(session)
		return nil
	}
	return l.Client.Get(ctx, key, object, opts...)
}

func (l *late) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	runtimes, of := list.(*v1alpha1.AgentRuntimeList)
	if of && l.noRuntimes {
		return nil
	}
	err := l.Client.List(ctx, list, opts...)
	if of && l.runtime != nil {
		for i := range runtimes.Items {
			if runtimes.Items[i].UID == l.runtime.UID {
				l.runtime.DeepCopyInto(&runtimes.Items[i])
			}
		}
	}
	return err
}

func (l *late) shows(session *v1alpha1.AgentSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.were[client.ObjectKeyFromObject(session)] = session
}

// openLateDoor starts a gateway, and returns what its cache is.
func openLateDoor(change ...func(*gateway.Options)) (*door, *late) {
	GinkgoHelper()
	cache := &late{were: map[client.ObjectKey]*v1alpha1.AgentSession{}}
	return openDoor(append(change, func(o *gateway.Options) {
		cache.Client = o.Client
		o.Client = cache
	})...), cache
}

var _ = Describe("A gateway whose cache is late", func() {
	It("refuses no call for the start of a session that has answered at another", func(ctx context.Context) {
		first := openDoor()
		second, cache := openLateDoor()
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		Expect(first.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		for state, change := range map[string]func(*v1alpha1.AgentSession){
			"new":      func(s *v1alpha1.AgentSession) { s.Status = v1alpha1.AgentSessionStatus{} },
			"starting": func(s *v1alpha1.AgentSession) { s.Status.State = v1alpha1.StateStarting },
			"without an address": func(s *v1alpha1.AgentSession) {
				s.Status.State, s.Status.Pod.IP = v1alpha1.StateStarting, ""
			},
			"refused": func(s *v1alpha1.AgentSession) {
				s.Status.State, s.Status.Conditions[0].Reason = v1alpha1.StateStarting, v1alpha1.ReasonPodRefused
			},
		} {
			was := sessionOf(ctx, agent, session)
			change(was)
			cache.shows(was)
			for _, a := range atOnce(ctx, 8, agent, session, second) {
				Expect(a.code).To(Equal(http.StatusOK), "%s: %s", state, a.body)
			}
		}
		By("stopping it, which one that starts cannot be")
		Expect(second.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
	})

	It("looks for a runtime before it says that it is not there", func(ctx context.Context) {
		issuer := newIDP()
		d, cache := openLateDoor(front.Authenticated)
		opened, empty := openLateDoor(func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		cache.noRuntimes, empty.noRuntimes = true, true
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.AuthorizerConfiguration = issuer.authorizes() })
		Expect(opened.invoke(ctx, newRuntime(ctx, agent.Namespace), id(), ask{}).code).To(Equal(http.StatusOK))
		By("knowing how it is called, before it says who may")
		Expect(d.invoke(ctx, agent, id(), ask{}).header.Get("WWW-Authenticate")).To(ContainSubstring("resource_metadata"))
		r := opened.request(ctx, path(agent, "invocations"), id(), ask{})
		r.Header.Set("Authorization", "Bearer "+sign(jose.ES256, issuer.key, "first", issuer.claims(nil)))
		Expect(send(r).code).To(Equal(http.StatusOK))
		Expect(api.Delete(ctx, agent)).To(Succeed())
		Eventually(func() int { return opened.invoke(ctx, agent, id(), ask{}).code }).Should(Equal(http.StatusNotFound))
	})

	It("goes by what a runtime has become before it refuses a call", func(ctx context.Context) {
		first := openDoor()
		second, cache := openLateDoor()
		agent := newRuntime(ctx, newNamespace(ctx), atMost(1))
		cache.runtime = agent.DeepCopy()
		session := id()
		begun := first.invoke(ctx, agent, session, ask{})
		Expect(begun.code).To(Equal(http.StatusOK), begun.body)
		at := second.url + "/runtimes/" + agent.Status.AgentRuntimeID + "/sessions/DEFAULT/" + session + "/11999/"
		refused := func(code int) {
			GinkgoHelper()
			Expect(second.invoke(ctx, agent, id(), ask{}).code).To(Equal(http.StatusPaymentRequired))
			a, _ := reach(ctx, http.MethodGet, at, "")
			Expect(a.code).To(Equal(code), a.body)
			Expect(send(second.request(ctx, path(agent, "invocations")+"?qualifier=NONE", id(), ask{})).code).To(Equal(http.StatusNotFound))
		}
		refused(http.StatusForbidden)
		base := agent.DeepCopy()
		agent.Spec.MaxSessions, agent.Spec.AllowedPorts = new(int32(3)), []v1alpha1.AllowedPort{{Port: 11999}}
		agent.Spec.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		for _, endpoint := range []string{"DEFAULT", "PROD"} {
			a := send(second.request(ctx, path(agent, "invocations")+"?qualifier="+endpoint, id(), ask{}))
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		refused(http.StatusFailedDependency) // nobody listens there
	})

	It("describes a session that it does not show yet", func(ctx context.Context) {
		first := openDoor()
		second, cache := openLateDoor()
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		Expect(first.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		there := sessionOf(ctx, agent, session)
		unmade := &v1alpha1.AgentSession{}
		unmade.Namespace, unmade.Name = there.Namespace, there.Name
		cache.shows(unmade)
		a := get(ctx, second, "/sessions/"+there.Namespace+"/"+there.Name)
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.body).To(ContainSubstring(session))
		Expect(get(ctx, second, "/sessions/"+there.Namespace+"/none").code).To(Equal(http.StatusNotFound))
	})

	It("does not say of a session that runs that it is stopped", func(ctx context.Context) {
		first := openDoor()
		second, cache := openLateDoor()
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		Expect(first.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		was := sessionOf(ctx, agent, session)
		was.Status.State, was.Status.Pod = v1alpha1.StateStopped, nil
		cache.shows(was)
		Expect(second.stop(ctx, agent, session, "").code).To(Equal(http.StatusOK))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
	})
})
