package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// What a kubelet says of a program that cannot be run.
const (
	startErrorCode   = 128
	reasonStartError = "StartError"
	reasonError      = "Error"
	reasonCompleted  = "Completed"
)

// process is a pod that runs.
type process struct {
	node      *Node
	pod       *corev1.Pod // as it was made
	addr      netip.Addr
	out       *output
	temp      string      // its directory for temporary files
	container string      // the name of its container; empty if it is a program of this machine
	claims    []types.UID // whose folders it uses
	port      uint16      // where the agent is asked and called
	// reserved is the pod's port at its address.
	reserved *reservation

	ending  sync.Once
	endIn   chan time.Duration // the grace, once
	killed  chan struct{}      // closed when there is none
	killing sync.Once
	started metav1.Time
	// group is that of a program of this machine, once it runs; of the node's lock.
	group group
}

func newProcess(n *Node, pod *corev1.Pod) *process {
	return &process{
		node: n, pod: pod,
		out:   newOutput(Line{Session: sessionOf(pod), Name: pod.Labels[v1alpha1.LabelSession]}, n.out),
		endIn: make(chan time.Duration, 1), killed: make(chan struct{}),
	}
}

// sessionOf is the session's id as its callers and its agent know it.
func sessionOf(pod *corev1.Pod) string {
	for _, v := range lifecycle.AgentContainer(pod).Env {
		if v.Name == contract.EnvRuntimeSessionID {
			return v.Value
		}
	}
	return pod.Labels[v1alpha1.LabelSession]
}

func graceOf(pod *corev1.Pod) time.Duration {
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.DeletionGracePeriodSeconds != nil {
		seconds = *pod.DeletionGracePeriodSeconds
	}
	return time.Duration(seconds) * time.Second
}

func (p *process) grace() time.Duration { return graceOf(p.pod) }

// end has the process end, with a grace or at once. It may be called again.
func (p *process) end(grace time.Duration) {
	p.ending.Do(func() { p.endIn <- grace })
	if grace <= 0 {
		p.killing.Do(func() { close(p.killed) })
	}
}

// run runs the pod to its end.
func (p *process) run(ctx context.Context) {
	defer func() {
		p.node.forget(p.pod.UID)
		p.node.removeFolders(context.WithoutCancel(ctx))
	}()
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{UID: p.pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: Name}}
	if err := p.node.client.SubResource("binding").Create(ctx, p.pod, binding); err != nil {
		return // it has gone meanwhile
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it is ended with a grace
	defer stop()
	var stopped bool
	if command, group, paths, err := p.start(ctx); err != nil {
		p.report(ctx, p.startFailed(err))
	} else {
		p.runs(group)
		p.report(ctx, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.started}})
		forwarding, stopForwarding := context.WithCancel(ctx)
		broken, forwarded := make(chan error, 1), make(chan struct{})
		go func() {
			defer close(forwarded)
			broken <- paths.forward(forwarding, p.node.addresses, group)
		}()
		var end *os.ProcessState
		end, stopped, err = p.wait(ctx, command.Process, group, broken)
		stopForwarding()
		<-forwarded
		p.report(ctx, p.ended(end, err))
	}
	if p.reserved != nil {
		_ = p.reserved.close() // nothing to be done about it
	}
	p.node.addresses.release(p.addr)
	_ = os.RemoveAll(p.temp) // nothing to be done about it
	if !stopped {
		<-p.endIn
	}
	p.node.remove(ctx, p.pod)
}

// runs has it be told what the pod's processes consume.
func (p *process) runs(all group) {
	if p.container != "" {
		return
	}
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	p.group = all
}

// start starts the agent, and says where it may be found.
func (p *process) start(ctx context.Context) (*exec.Cmd, group, paths, error) {
	p.started = metav1.Now()
	var err error
	if p.port, err = p.findPort(ctx); err != nil {
		return nil, group{}, paths{}, err
	}
	if p.addr, p.reserved, err = p.node.addresses.take(p.port); err != nil {
		return nil, group{}, paths{}, err
	}
	command, port, err := p.command(ctx)
	if err != nil {
		return nil, group{}, paths{}, err
	}
	fixed := p.fixedPort()
	if p.container != "" {
		fixed = 0 // its port is published
	}
	found := pathsOf(ctx, p.addr, p.reserved, port, fixed)
	started, err := p.node.guard.start(command)
	if err == nil {
		p.out.begin()
	}
	return command, started, found, err
}

// wait waits for the end of the process, and reports how it ended, whether it was stopped, or
// why it was of no use.
func (p *process) wait(ctx context.Context, first *os.Process, all group, broken <-chan error) (end *os.ProcessState, stopped bool, err error) {
	exited := make(chan struct{})
	go func() {
		end, _ = first.Wait() // only this one waits for it
		close(exited)
	}()
	for waiting := true; waiting && err == nil; {
		select {
		case <-exited:
			waiting = false
		case err = <-broken:
			if err == nil {
				broken = nil
			}
		case grace := <-p.endIn:
			waiting, stopped = false, true
			p.terminate(all, grace, exited)
		}
	}
	p.node.guard.ended(all) // the engine's client first: it may be about to create the container
	<-exited
	p.removeContainer(ctx, end)
	return end, stopped, err
}

// terminate tells the process to end, and waits for that as long as its grace is.
func (p *process) terminate(all group, grace time.Duration, exited <-chan struct{}) {
	all.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
	case <-p.killed:
	}
}

// findPort is where the agent is asked and called: at its container's first port. One that a
// client of AgentCore's control plane has asked for has none there, and its runtime's version says it.
func (p *process) findPort(ctx context.Context) (uint16, error) {
	for _, port := range lifecycle.AgentContainer(p.pod).Ports {
		if port.ContainerPort > 0 && port.ContainerPort <= 65535 {
			return uint16(port.ContainerPort), nil
		}
	}
	name := p.pod.Labels[v1alpha1.LabelRuntime]
	if name == "" {
		return contract.Port, nil
	}
	var agent v1alpha1.AgentRuntime
	if err := p.node.client.Get(ctx, client.ObjectKey{Namespace: p.pod.Namespace, Name: name}, &agent); err != nil {
		return 0, fmt.Errorf("get AgentRuntime %s: %w", name, err)
	}
	if version := p.pod.Labels[v1alpha1.LabelVersion]; version != strconv.FormatInt(agent.Generation, 10) {
		var recorded appsv1.ControllerRevision
		if err := p.node.client.Get(ctx, client.ObjectKey{Namespace: p.pod.Namespace, Name: name + "-" + version}, &recorded); err != nil {
			return 0, fmt.Errorf("get the version %s of AgentRuntime %s: %w", version, name, err)
		}
		agent.Spec = v1alpha1.AgentRuntimeSpec{}
		if err := json.Unmarshal(recorded.Data.Raw, &agent.Spec); err != nil {
			return 0, fmt.Errorf("read the version %s of AgentRuntime %s: %w", version, name, err)
		}
	}
	return uint16(lifecycle.ProtocolOf(agent.Spec.ProtocolConfiguration).Port), nil //nolint:gosec // the schema bounds it
}

// fixedPort is where the agent is looked for that does not listen where it is told.
func (p *process) fixedPort() uint16 {
	for _, port := range lifecycle.AgentContainer(p.pod).Ports {
		if port.Name == AgentPort && port.ContainerPort > 0 && port.ContainerPort <= 65535 {
			return uint16(port.ContainerPort)
		}
	}
	return p.port
}

func (p *process) startFailed(err error) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: startErrorCode, Reason: reasonStartError, Message: err.Error(), StartedAt: metav1.Unix(0, 0), FinishedAt: metav1.Now(),
	}}
}

// ended is how the process ended, with its last words if it failed, or why it was of no use.
func (p *process) ended(state *os.ProcessState, useless error) corev1.ContainerState {
	words := p.out.end()
	end := &corev1.ContainerStateTerminated{Reason: reasonCompleted, StartedAt: p.started, FinishedAt: metav1.Now()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.ExitCode = 128 + int32(status.Signal()) //nolint:gosec // a signal's number
	} else {
		end.ExitCode = int32(state.ExitCode()) //nolint:gosec // an exit code
	}
	if end.ExitCode != 0 {
		end.Reason, end.Message = reasonError, words
	}
	if p.neverRan(state.ExitCode()) {
		return p.startFailed(errors.New(words))
	}
	if useless != nil {
		end.Message = useless.Error()
	}
	return corev1.ContainerState{Terminated: end}
}

// report writes the pod's status as a kubelet does.
func (p *process) report(ctx context.Context, state corev1.ContainerState) {
	var now corev1.Pod
	if err := p.node.client.Get(ctx, client.ObjectKeyFromObject(p.pod), &now); err != nil || now.UID != p.pod.UID {
		return // it has gone
	}
	base := now.DeepCopy()
	running := state.Running != nil
	now.Status.Phase = corev1.PodRunning
	if state.Terminated != nil {
		now.Status.Phase = corev1.PodSucceeded
		if state.Terminated.ExitCode != 0 {
			now.Status.Phase = corev1.PodFailed
		}
	}
	if p.addr.IsValid() {
		now.Status.PodIP = p.addr.String()
		now.Status.PodIPs = []corev1.PodIP{{IP: now.Status.PodIP}}
	}
	now.Status.StartTime = &p.started
	ready := corev1.ConditionFalse
	if running {
		ready = corev1.ConditionTrue
	}
	now.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.ContainersReady, Status: ready},
		{Type: corev1.PodReady, Status: ready},
	}
	agent := lifecycle.AgentContainer(&now)
	now.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: agent.Name, Image: agent.Image, State: state, Ready: running, Started: &running,
	}}
	_ = p.node.client.Status().Patch(ctx, &now, client.MergeFrom(base)) // it may have gone
}
