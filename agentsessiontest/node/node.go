package node

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Name is the node that the pods are bound to, unless Place says otherwise.
const Name = "stand-in"

// Deaf is an annotation of a pod that does not go when it is told to: its agent serves
// on, until somebody deletes it without grace.
const Deaf = "node/deaf"

// workers is how many pods are handled at the same time.
const workers = 8

// Node plays the kubelet, of several nodes if need be.
type Node struct {
	client client.WithWatch
	agents *agents

	mu   sync.Mutex
	pods map[types.UID]pod
	// Prepare, if set, chooses the agent of a new pod; nil keeps the pod
	// Pending. Set it before Run.
	Prepare func(*corev1.Pod) *Agent
	// Initializing, if set, tells that a new pod's containers wait, although it has an
	// address, for its init containers. Set it before Run.
	Initializing func(*corev1.Pod) bool
	// Place names the node of a new pod. Set it before Run.
	Place func(*corev1.Pod) string
	// Ports, if set, are those at which the agent of a new pod answers besides Port. Set it
	// before Run.
	Ports func(*corev1.Pod) []int32
	// Now is the time that agents stamp their answers with. Set it before Run.
	Now func() time.Time
}

type pod struct {
	addr  netip.Addr
	agent *Agent
}

// New opens the agents' port, until ctx ends.
func New(ctx context.Context, c client.WithWatch) (*Node, error) {
	all, err := serveAgents(ctx)
	if err != nil {
		return nil, err
	}
	return &Node{
		client: c, agents: all, pods: map[types.UID]pod{},
		Prepare: func(*corev1.Pod) *Agent { return NewAgent() },
		Place:   func(*corev1.Pod) string { return Name },
		Ports:   func(*corev1.Pod) []int32 { return nil },
		Now:     time.Now,
	}, nil
}

// Port is where the agents answer: spec.ping.port.
func (n *Node) Port() int32 {
	return int32(n.agents.port) //nolint:gosec // a TCP port
}

// Agent returns the agent of a pod, or nil.
func (n *Node) Agent(uid types.UID) *Agent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods[uid].agent
}

// Run plays the kubelet until ctx ends. Several workers handle what happens, so
// that the API server is not waited for pod by pod; what happens to one pod
// stays in its order.
func (n *Node) Run(ctx context.Context) error {
	var running sync.WaitGroup
	var queues [workers]chan watch.Event
	for i := range queues {
		queues[i] = make(chan watch.Event, 100)
		running.Go(func() {
			for event := range queues[i] {
				n.handle(ctx, event.Type, event.Object.(*corev1.Pod)) //nolint:forcetypeassert // see below
			}
		})
	}
	defer func() {
		for _, queue := range queues {
			close(queue)
		}
		running.Wait()
	}()
	seed := maphash.MakeSeed()
	for ctx.Err() == nil {
		events, err := n.client.Watch(ctx, &corev1.PodList{})
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch the pods: %w", err)
		}
		for event := range events.ResultChan() {
			if p, ok := event.Object.(*corev1.Pod); ok {
				queues[maphash.String(seed, string(p.UID))%workers] <- event
			}
		}
	}
	return nil
}

func (n *Node) handle(ctx context.Context, kind watch.EventType, p *corev1.Pod) {
	switch {
	case kind == watch.Deleted:
		n.mu.Lock()
		known, ok := n.pods[p.UID]
		delete(n.pods, p.UID)
		n.mu.Unlock()
		if ok {
			n.agents.remove(known.addr)
		}
	case p.DeletionTimestamp != nil && p.Annotations[Deaf] != "":
	case p.DeletionTimestamp != nil:
		// As the kubelet ends a pod: with grace 0, and only this very pod.
		_ = n.client.Delete(ctx, p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID})
	case p.Spec.NodeName == "" && p.Labels[v1alpha1.LabelSession] != "":
		n.start(ctx, p)
	}
}

// start binds the pod and reports it running. What fails because the pod is
// gone meanwhile needs no repetition. A watch that had to begin anew tells of
// pods that were started already.
func (n *Node) start(ctx context.Context, p *corev1.Pod) {
	if n.Agent(p.UID) != nil {
		return
	}
	agent := n.Prepare(p)
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: n.Place(p)}}
	if err := n.client.SubResource("binding").Create(ctx, p, binding); err != nil || agent == nil {
		return
	}
	for _, v := range lifecycle.AgentContainer(p).Env {
		if v.Name == contract.EnvToken {
			agent.token = v.Value
		}
	}
	agent.mu.Lock()
	agent.now = n.Now
	agent.mu.Unlock()
	addr, failed := n.agents.add(ctx, agent, n.Ports(p))
	n.mu.Lock()
	n.pods[p.UID] = pod{addr, agent}
	n.mu.Unlock()

	base := p.DeepCopy()
	p.Status.Phase = corev1.PodRunning
	p.Status.HostIP = "192.0.2.1"
	p.Status.PodIP = addr.String()
	p.Status.PodIPs = []corev1.PodIP{{IP: addr.String()}}
	p.Status.StartTime = new(metav1.Now())
	for _, kind := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue})
	}
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, n.container(p, &c, failed))
	}
	_ = n.client.Status().Patch(ctx, p, client.MergeFrom(base))
}

// container is one that runs, waits for the pod's init containers, or could not be had.
func (n *Node) container(p *corev1.Pod, c *corev1.Container, failed error) corev1.ContainerStatus {
	status := corev1.ContainerStatus{Name: c.Name, Image: c.Image}
	switch {
	case failed != nil:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: failed.Error()}
		return status
	case n.Initializing != nil && n.Initializing(p):
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
		return status
	}
	status.Ready, status.State.Running = true, &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(n.Now())}
	return status
}
