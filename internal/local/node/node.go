package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Name is that of the node.
const Name = "local"

// AgentPort is the name of the port of an agent's container where the agent is looked for, on
// loopback, if it does not listen where it is told. Its first port, whatever its name, is
// where the pod is asked and called.
const AgentPort = "agent"

// Node runs pods as processes.
type Node struct {
	client    client.WithWatch
	out       *lineQueue
	guard     *guard
	addresses *addresses

	mu   sync.Mutex
	pods map[types.UID]*process
	done sync.WaitGroup
}

// New returns a node. say gets what processes write, one line at a time. If it takes none for a
// while, lines are dropped, counted and told; with keep they are not as long as their process
// lives, which waits.
func New(c client.WithWatch, say func(Line), keep bool) (*Node, error) {
	guard, err := newGuard()
	if err != nil {
		return nil, err
	}
	return &Node{
		client: c, out: newLines(say, keep), guard: guard,
		addresses: newAddresses(), pods: map[types.UID]*process{},
	}, nil
}

// Run runs pods until ctx ends. Then the processes that are left are ended as pods are:
// with SIGTERM, and SIGKILL after their grace.
func (n *Node) Run(ctx context.Context) error {
	n.done.Go(func() { n.watchClaims(ctx) })
	err := n.watch(ctx)
	n.mu.Lock()
	for _, p := range n.pods {
		p.end(p.grace())
	}
	n.mu.Unlock()
	n.done.Wait()
	n.out.end()
	return errors.Join(err, n.guard.close())
}

// Running tells how many pods have processes, and how long those may take to end.
func (n *Node) Running() (pods int, grace time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		grace = max(grace, p.grace())
	}
	return len(n.pods), grace
}

// Kill ends all processes at once. It is for when Run ends.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		p.end(0)
	}
}

func (n *Node) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		events, err := n.client.Watch(ctx, &corev1.PodList{}, client.HasLabels{v1alpha1.LabelSession})
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is to end
			}
			return fmt.Errorf("watch the pods: %w", err)
		}
		if err := n.endUnknown(ctx); err != nil {
			return err
		}
		for event := range events.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				n.handle(ctx, event.Type, pod)
			}
		}
	}
	return nil
}

// endUnknown ends processes whose pods have gone while nobody watched.
func (n *Node) endUnknown(ctx context.Context) error {
	var pods corev1.PodList
	if err := n.client.List(ctx, &pods, client.HasLabels{v1alpha1.LabelSession}); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("list the pods: %w", err)
	}
	there := map[types.UID]bool{}
	for i := range pods.Items {
		there[pods.Items[i].UID] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, p := range n.pods {
		if !there[uid] {
			p.end(0)
		}
	}
	return nil
}

// handle starts and ends processes as the API says. What waits for a process does so in
// a goroutine of it.
func (n *Node) handle(ctx context.Context, kind watch.EventType, pod *corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pods[pod.UID]
	switch {
	case kind == watch.Deleted:
		if p != nil {
			p.end(0)
		}
	case pod.DeletionTimestamp != nil:
		if p == nil { // it never ran
			n.done.Go(func() { n.remove(ctx, pod) })
			return
		}
		p.end(graceOf(pod))
	case p == nil && pod.Spec.NodeName == "" && len(pod.Spec.SchedulingGates) == 0:
		p = newProcess(n, pod)
		n.pods[pod.UID] = p
		n.done.Go(func() { p.run(ctx) })
	}
}

// forget drops a process whose pod has gone, or has ended.
func (n *Node) forget(uid types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pods, uid)
}

// remove ends the deletion of a pod, and only of this very one.
func (n *Node) remove(ctx context.Context, pod *corev1.Pod) {
	_ = n.client.Delete(context.WithoutCancel(ctx), pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID}) // it may have gone
}
