package gateway

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/go-logr/logr"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// AgentCore's bounds of a command (API reference, InvokeAgentRuntimeCommandRequestBody).
const (
	maxCommand            = 65536 // bytes
	defaultCommandTimeout = 300   // seconds
	maxCommandTimeout     = 3600
)

var errTooMuchOutput = errors.New("the command wrote more than it may")

// platformError is the exit code of a command whose own is not known.
const platformError = -1

// commandScript runs a command that comes on standard input: in the arguments it
// would stand in the logs of the API server and of the kubelet.
//
//go:embed command.sh
var commandScript string

// commandRequest is the body of InvokeAgentRuntimeCommand.
type commandRequest struct {
	Command string `json:"command"`
	// Timeout in seconds.
	Timeout *int `json:"timeout"`
}

// commandOf reads the body of InvokeAgentRuntimeCommand.
func commandOf(p *Payload) (command string, timeout time.Duration, err error) {
	var body commandRequest
	// A byte has six in JSON at most.
	if err := json.NewDecoder(io.LimitReader(p.open(), 6*maxCommand+1024)).Decode(&body); err != nil {
		return "", 0, unparsable("The request's body must be a JSON object with command and timeout: " + err.Error())
	}
	if n := len(body.Command); n < 1 || n > maxCommand {
		return "", 0, invalid("command", fmt.Sprintf("Value at 'command' failed to satisfy constraint: Member must have length between 1 and %d", maxCommand))
	}
	seconds := defaultCommandTimeout
	if body.Timeout != nil {
		seconds = *body.Timeout
	}
	if seconds < 1 || seconds > maxCommandTimeout {
		return "", 0, invalid("timeout", fmt.Sprintf("Value at 'timeout' failed to satisfy constraint: Member must be between 1 and %d", maxCommandTimeout))
	}
	return body.Command, time.Duration(seconds) * time.Second, nil
}

// command is InvokeAgentRuntimeCommand: it runs a command beside the agent, in
// its container, and keeps the session in use meanwhile.
func (g *Gateway) command(w http.ResponseWriter, r *http.Request, c *call) error {
	command, timeout, err := commandOf(c.payload)
	if err != nil {
		return err
	}
	c.payload.close() // it may run for an hour
	session, release, err := g.acquireToRun(w, r, c)
	if err != nil {
		return err
	}
	defer release()
	exec, err := g.executor(r.Context(), session, &corev1.PodExecOptions{
		Command: []string{"/bin/sh", "-c", commandScript, "sh", strconv.Itoa(len(command))}, Stdin: true, Stdout: true, Stderr: true,
	})
	if err != nil {
		return err
	}
	inFlight.Inc()
	defer inFlight.Dec()
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	takenBy(w, time.Now().Add(timeout))
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	defer g.run(ctx, session, kill)()
	events := &commandEvents{kill: kill, w: w, encoder: eventstream.NewEncoder(), left: contract.MaxPayloadBytes}
	stdout := events.output(func(text string) commandDelta { return commandDelta{Stdout: text} })
	stderr := events.output(func(text string) commandDelta { return commandDelta{Stderr: text} })
	err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{
		Stdin: io.MultiReader(strings.NewReader(command), silence(ctx.Done())), Stdout: &commandStart{output: stdout, events: events}, Stderr: stderr,
	})
	if ctx.Err() == nil { // or it may still be written to
		err = errors.Join(stdout.Close(), stderr.Close(), err)
	}
	return events.stop(ctx, err)
}

// acquireToRun has the session in which something is to run.
func (g *Gateway) acquireToRun(w http.ResponseWriter, r *http.Request, c *call) (session *v1alpha1.AgentSession, release func(), err error) {
	starting, limit := withLimit(r.Context(), w, c.limits.Request)
	defer limit.end()
	session, release, err = g.acquireFor(starting, c)
	if err != nil {
		return nil, nil, c.ended(starting, err, g.waitedFor(starting, c))
	}
	observeStart(c)
	return session, release, nil
}

// quietExecutor keeps client-go from logging the end of each connection as an error.
type quietExecutor struct{ remotecommand.Executor }

func (e quietExecutor) StreamWithContext(ctx context.Context, streams remotecommand.StreamOptions) error {
	return e.Executor.StreamWithContext(klog.NewContext(ctx, logr.Discard()), streams)
}

// executor runs what is asked for in the container of a session's agent. The gateway may do so where somebody has bound it the role.
func (g *Gateway) executor(ctx context.Context, session *v1alpha1.AgentSession, run *corev1.PodExecOptions) (remotecommand.Executor, error) {
	var pod corev1.Pod
	key := client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}
	switch err := g.Live.Get(ctx, key, &pod); {
	case apierrors.IsForbidden(err):
		return nil, errors.Join(denied("Commands are not switched on for this runtime"), err)
	case apierrors.IsNotFound(err), err == nil && pod.UID != session.Status.Pod.UID:
		return nil, conflict() // it was stopped, and the cache does not show it yet
	case err != nil:
		return nil, fmt.Errorf("get pod %s: %w", key, err)
	}
	pods, err := typedcorev1.NewForConfig(g.Cluster)
	if err != nil {
		return nil, fmt.Errorf("make a client for commands: %w", err)
	}
	run.Container = lifecycle.AgentContainer(&pod).Name
	url := pods.RESTClient().Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(run, scheme.ParameterCodec).URL()
	exec, err := remotecommand.NewWebSocketExecutor(g.Cluster, http.MethodGet, url.String())
	if err != nil {
		return nil, fmt.Errorf("prepare the command: %w", err)
	}
	return quietExecutor{exec}, nil
}

// silence is what a command's caller says while it runs.
type silence <-chan struct{}

func (s silence) Read([]byte) (int, error) {
	<-s
	return 0, io.EOF
}

// commandEvents is the answer: AWS's event stream.
type commandEvents struct {
	kill    context.CancelCauseFunc // ends the command
	encoder *eventstream.Encoder

	mu          sync.Mutex
	w           http.ResponseWriter
	left        int64 // bytes of output that may still come
	begun, over bool
}

// commandChunk is one event: one of its members.
type commandChunk struct {
	Start *struct{}    `json:"contentStart,omitempty"`
	Delta commandDelta `json:"contentDelta,omitzero"`
	Stop  *commandStop `json:"contentStop,omitempty"`
}

type commandDelta struct {
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}

type commandStop struct {
	ExitCode int    `json:"exitCode"`
	Status   string `json:"status"`
}

// commandStart takes the script's sign that it runs off the command's output.
type commandStart struct {
	output io.Writer
	events *commandEvents
	seen   bool
}

func (s *commandStart) Write(b []byte) (int, error) {
	if s.seen || len(b) == 0 {
		return s.output.Write(b)
	}
	s.seen = true
	if err := s.events.send(); err != nil {
		return 0, err
	}
	n, err := s.output.Write(b[1:])
	return n + 1, err
}

// send writes events, and before the first that the command runs.
func (e *commandEvents) send(chunks ...commandChunk) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return io.ErrClosedPipe
	}
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		chunks = append([]commandChunk{{Start: &struct{}{}}}, chunks...)
	}
	for _, c := range chunks {
		if e.left -= int64(len(c.Delta.Stdout) + len(c.Delta.Stderr)); e.left < 0 {
			return errTooMuchOutput
		}
		payload, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("make an event of a command: %w", err)
		}
		message := eventstream.Message{Payload: payload}
		for name, value := range map[string]string{":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"} {
			message.Headers.Set(name, eventstream.StringValue(value))
		}
		e.over = c.Stop != nil // whether it arrives or not, e.w may be used no more
		if err := e.encoder.Encode(e.w, message); err != nil {
			return fmt.Errorf("write an event of a command: %w", err)
		}
	}
	return http.NewResponseController(e.w).Flush()
}

// output makes events of what a command writes, as UTF-8 of 4 KiB at most each.
func (e *commandEvents) output(delta func(string) commandDelta) io.WriteCloser {
	return transform.NewWriter(commandOutput{e, delta}, unicode.UTF8.NewDecoder())
}

type commandOutput struct {
	events *commandEvents
	delta  func(string) commandDelta
}

func (o commandOutput) Write(b []byte) (int, error) {
	if len(b) == 0 { // a writer that is closed with nothing left
		return 0, nil
	}
	err := o.events.send(commandChunk{Delta: o.delta(string(b))})
	if err != nil {
		o.events.kill(err)
	}
	return len(b), err
}

// stop tells how a command ended. One that never began is the agent's failure:
// its image may be without a shell.
func (e *commandEvents) stop(ctx context.Context, err error) error {
	exit, exited := errors.AsType[utilexec.ExitError](err)
	end := commandStop{ExitCode: platformError, Status: "COMPLETED"}
	e.mu.Lock()
	begun := e.begun
	e.mu.Unlock()
	switch {
	case err == nil:
		end.ExitCode = 0
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		end.Status, err = "TIMED_OUT", nil
	case !begun:
		return errors.Join(runtimeError("The command could not be run. Please make sure that the agent's container has a shell at /bin/sh."), err)
	case exited && exit.Exited():
		end.ExitCode, err = exit.ExitStatus(), nil
	}
	if err != nil {
		err = fmt.Errorf("run a command: %w", cmp.Or(context.Cause(ctx), err))
	}
	if unsent := e.send(commandChunk{Stop: &end}); unsent != nil || err == nil {
		return errors.Join(unsent, err)
	}
	return answeredError{err}
}
