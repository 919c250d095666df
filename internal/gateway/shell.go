package gateway

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

// shellScript becomes a shell, whose terminal is the container runtime's.
//
//go:embed shell.sh
var shellScript string

// shellGuard ends a shell when its gateway has gone: a terminal does not tell it.
//
//go:embed shell-guard.sh
var shellGuard string

const (
	headerShellID = "X-Amzn-Bedrock-AgentCore-Shell-Id"
	// guardPatience is how long a guard may take to hear that its shell has exited.
	guardPatience = 5 * time.Second
)

var shellIDs = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,127}$`)

// shellIDOf is the shell that a request names; one without a name gets one.
func shellIDOf(r *http.Request) (string, error) {
	switch given := r.URL.Query()["shellId"]; {
	case strings.Join(given, "") == "":
		return string(uuid.NewUUID()), nil
	case len(given) > 1 || !shellIDs.MatchString(given[0]):
		return "", runtimeError("shellId must be given once, and be 1 to 128 letters, digits, hyphens and underscores that begin with a letter or a digit") // AgentCore's type
	default:
		return given[0], nil
	}
}

// shell is InvokeAgentRuntimeCommandShell: a terminal in the container of a session's
// agent. The session is in use while somebody is connected.
func (g *Gateway) shell(w http.ResponseWriter, r *http.Request, c *call) error {
	id, err := shellIDOf(r)
	if err != nil {
		return err
	}
	session, release, err := g.acquireToRun(w, r, c)
	if err != nil {
		return err
	}
	defer release()
	one, err := g.openShell(r.Context(), session, id)
	if err != nil {
		return err
	}
	inFlight.Inc()
	defer inFlight.Dec()
	end := time.Now().Add(c.limits.Stream)
	takenBy(w, end)
	w.Header().Set(headerShellID, id)
	if c.byToken {
		w.Header().Set("Sec-Websocket-Protocol", authn.BearerProtocol)
	}
	// Who may call is told by what he shows, and not by where his page is from.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return answeredError{fmt.Errorf("open the WebSocket of a shell: %w", err)}
	}
	return answeredError{(&connection{conn, one, id, c.session}).serve(context.WithoutCancel(r.Context()), end)}
}

// openShell is the shell with an id, which is started if it is not there.
func (g *Gateway) openShell(ctx context.Context, session *v1alpha1.AgentSession, id string) (*shell, error) {
	one, made, err := g.shells.take(computeOf(session), id)
	if err != nil {
		return nil, err
	}
	if made {
		exec, err := g.executor(ctx, session, &corev1.PodExecOptions{
			Command: []string{"/bin/sh", "-c", shellScript}, Stdin: true, Stdout: true, TTY: true,
		})
		if err != nil {
			one.finish(err)
			one.forget()
			close(one.over)
			return nil, err
		}
		go g.runShell(context.WithoutCancel(ctx), session, one, exec)
	}
	select {
	case <-one.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if one.process() > 0 {
		return one, nil
	}
	one.forget()
	if err = one.reason(); refuses(err) {
		return nil, err
	}
	return nil, errors.Join(runtimeError("The shell could not be opened. Please make sure that the agent's container has a shell at /bin/sh. On agentsession local there are none."), err)
}

// runShell runs a shell until it exits, or is to end.
func (g *Gateway) runShell(ctx context.Context, session *v1alpha1.AgentSession, one *shell, exec remotecommand.Executor) {
	defer g.run(ctx, session, one.finish)()
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	defer close(one.over)
	exited, guarded, stands := make(chan struct{}), make(chan struct{}), make(sign, 1)
	go func() {
		select {
		case <-exited:
		case <-one.done:
			awaitGuard(stands, guarded)
			kill()
		}
	}()
	go func() {
		defer close(guarded)
		g.guardShell(ctx, session, one, exited, stands)
	}()
	err := stream(ctx, exec, remotecommand.StreamOptions{Stdin: &typed{shell: one}, Stdout: one, Tty: true, TerminalSizeQueue: one})
	if ctx.Err() == nil { // by itself
		close(exited)
		one.finish(cmp.Or(err, errExited))
		awaitGuard(nil, guarded)
	}
	if refuses(one.reason()) && one.abandoned() { // the compute is gone, and so is who would come back
		one.forget()
	}
}

// awaitGuard waits until a guard stands, or is gone, for a while: a shell that is cut before
// its guard stands would be left behind.
func awaitGuard(stands sign, gone <-chan struct{}) {
	select {
	case <-stands:
	case <-gone:
	case <-time.After(guardPatience):
	}
}

// sign is written to by a guard that stands.
type sign chan struct{}

func (s sign) Write(b []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(b), nil
}

// guardShell ends the shell when the gateway cannot any more.
func (g *Gateway) guardShell(ctx context.Context, session *v1alpha1.AgentSession, one *shell, exited <-chan struct{}, stands sign) {
	<-one.begun
	pid := one.process()
	if pid == 0 {
		return
	}
	exec, err := g.executor(ctx, session, &corev1.PodExecOptions{Command: []string{"/bin/sh", "-c", shellGuard, "sh", strconv.Itoa(pid)}, Stdin: true, Stdout: true})
	if err == nil {
		err = stream(ctx, exec, remotecommand.StreamOptions{Stdin: &guardInput{exited, ctx.Done(), false}, Stdout: stands})
	}
	if err != nil && ctx.Err() == nil {
		one.finish(fmt.Errorf("guard the shell: %w", err))
	}
}

// guardInput is what a guard hears: a line when its shell has exited, the end if it is to
// be ended.
type guardInput struct {
	exited, killed <-chan struct{}
	sent           bool
}

func (f *guardInput) Read(b []byte) (int, error) {
	select {
	case <-f.exited:
		if f.sent {
			return 0, io.EOF
		}
		f.sent = true
		return copy(b, "\n"), nil
	case <-f.killed:
		return 0, io.EOF
	}
}
