package gateway

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// running are the calls that computes work on. A stop of the session cuts them: on
// AgentCore it ends at once, and here the agent has its grace.
type running struct {
	mu    sync.Mutex
	calls map[types.NamespacedName]map[*run]struct{}
}

// run is one of them.
type run struct {
	activation int32
	uid        types.UID
	pod        *v1alpha1.PodStatus
	version    string // of the session, when the call was let through
	cut        func(why error)
}

// run has a call cut when its session's compute ends, until done.
func (g *Gateway) run(ctx context.Context, session *v1alpha1.AgentSession, cut func(why error)) (done func()) {
	key, one := client.ObjectKeyFromObject(session), &run{
		activation: session.Status.Activation, uid: session.UID, pod: session.Status.Pod, version: session.ResourceVersion, cut: cut,
	}
	g.running.add(key, one)
	// What was seen before that is in the cache, unless that is late: then it comes.
	var now v1alpha1.AgentSession
	if err := g.Client.Get(ctx, key, &now); err == nil {
		g.running.update(&now)
	}
	return func() { g.running.remove(key, one) }
}

func (r *running) add(session types.NamespacedName, one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[types.NamespacedName]map[*run]struct{}{}
	}
	if r.calls[session] == nil {
		r.calls[session] = map[*run]struct{}{}
	}
	r.calls[session][one] = struct{}{}
}

// remove ends what add began: the call is cut no more.
func (r *running) remove(session types.NamespacedName, one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls[session], one)
	if len(r.calls[session]) == 0 {
		delete(r.calls, session)
	}
}

// update cuts the calls to a compute that a session has no more, or will not.
func (r *running) update(session *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for one := range r.calls[client.ObjectKeyFromObject(session)] {
		// A late cache shows what was before the call was let through.
		if order, err := resourceversion.CompareResourceVersion(session.ResourceVersion, one.version); err == nil && order <= 0 {
			continue
		}
		if reason := lifecycle.Ended(session, one.activation, one.pod); reason != "" {
			one.cut(stopped(reason))
		}
	}
}

// delete cuts the calls of a session that was deleted, and not those of one that has its
// name since.
func (r *running) delete(session *v1alpha1.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for one := range r.calls[client.ObjectKeyFromObject(session)] {
		if one.uid == session.UID {
			one.cut(stopped(v1alpha1.StopRequested))
		}
	}
}

// stopped is the end of a call whose session was stopped. It is no conflict: clients
// would try that again, and wake what somebody has stopped.
func stopped(reason v1alpha1.StopReason) *failure {
	return runtimeError(fmt.Sprintf("The session was stopped while its agent worked on this invocation: %s.", reason))
}
