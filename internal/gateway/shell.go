package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coder/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/shell"
)

const headerShellID = "X-Amzn-Bedrock-AgentCore-Shell-Id"

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

// serveShell is InvokeAgentRuntimeCommandShell: a terminal in the container of a session's
// agent. The session is in use while somebody is connected.
func (g *Gateway) serveShell(w http.ResponseWriter, r *http.Request, c *call) error {
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
	return answeredError{one.Serve(context.WithoutCancel(r.Context()), conn, id, c.session, end)}
}

// openShell is the shell with an id, which is started if it is not there.
func (g *Gateway) openShell(ctx context.Context, session *v1alpha1.AgentSession, id string) (*shell.Shell, error) {
	one, err := g.shells.Open(ctx, computeOf(session), id, shell.Container{
		Exec: func(ctx context.Context, run *corev1.PodExecOptions) (remotecommand.Executor, error) {
			exec, err := g.executor(ctx, session, run)
			if refuses(err) {
				err = shell.Stop{Err: err}
			}
			return exec, err
		},
		Watch: func(ctx context.Context, cut func(error)) (done func()) {
			return g.run(ctx, session, func(why error) { cut(shell.Stop{Err: why}) })
		},
	})
	switch {
	case err == nil, refuses(err), ctx.Err() != nil:
		return one, err
	case errors.Is(err, shell.ErrSessionFull):
		return nil, runtimeError(fmt.Sprintf("The session has %d shells, and no more are allowed: end one, or come back to one by its shellId", shell.MaxEach))
	case errors.Is(err, shell.ErrFull):
		return nil, throttled("This gateway has as many shells as it may. Please retry.")
	}
	return nil, errors.Join(runtimeError("The shell could not be opened. Please make sure that the agent's container has a shell at /bin/sh. On agentsession local there are none."), err)
}
