package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// Agent is an agent that runs without a session, for who examines it. Nothing is forwarded to
// it: it is where it listens.
type Agent struct {
	node    *Node
	process *process
	at      netip.AddrPort
	ended   chan struct{} // closed when it has, and how is set
	how     corev1.ContainerState
}

// StartAgent starts the agent of a pod that is in no API, and returns when it listens. The
// port of a container is its engine's, which listens from the start. say gets what the agent
// writes. All that was started has ended if there is an error, and after Stop.
func StartAgent(ctx context.Context, pod *corev1.Pod, say func(Line)) (*Agent, error) {
	guard, err := newGuard()
	if err != nil {
		return nil, err
	}
	n := &Node{out: newLines(say, false), guard: guard, addresses: newAddresses()}
	a := &Agent{node: n, process: newProcess(n, pod), ended: make(chan struct{})}
	command, group, paths, err := a.process.start(ctx)
	if err != nil {
		close(a.ended)
		return nil, errors.Join(err, a.Stop())
	}
	running, gone := context.WithCancel(ctx)
	defer gone()
	go func() {
		defer gone()
		defer close(a.ended)
		state, _, _ := a.process.wait(context.WithoutCancel(ctx), command.Process, group, nil) // nothing is forwarded that could break
		a.how = a.process.ended(state, nil)
	}()
	place, err := paths.await(running, n.addresses, group)
	switch {
	case err != nil:
	case place != nil:
		a.at = place.at
		return a, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		<-a.ended
		err = a.Err()
	}
	return nil, errors.Join(err, a.Stop())
}

// At is where it listens.
func (a *Agent) At() netip.AddrPort { return a.at }

// Ended is closed when it has ended, by itself or by Stop.
func (a *Agent) Ended() <-chan struct{} { return a.ended }

// Err tells how it has ended; nil while it runs.
func (a *Agent) Err() error {
	select {
	case <-a.ended:
	default:
		return nil
	}
	if end := a.how.Terminated; end.Reason != reasonStartError {
		return fmt.Errorf("the agent has ended, with exit code %d", end.ExitCode)
	}
	return fmt.Errorf("the agent could not be started: %s", a.how.Terminated.Message)
}

// Stop ends it with its pod's grace, and whatever it has started, unless that has left its
// process group.
func (a *Agent) Stop() error {
	a.process.end(a.process.grace())
	<-a.ended
	if a.process.reserved != nil {
		_ = a.process.reserved.close() // nothing to be done about it
	}
	a.node.out.end()
	return a.node.guard.close()
}
