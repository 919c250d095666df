package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/byhand"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// bodyTimeout is how long a page may take to send a payload.
	bodyTimeout = 30 * time.Second
	// maxAnswer is how many bytes of an agent's answer a page is sent.
	maxAnswer = 16 << 20
)

// serveVerb does what the page asks of a session.
func (d *Dashboard) serveVerb(w http.ResponseWriter, r *http.Request) {
	verb := r.PathValue("verb")
	do := map[string]func(http.ResponseWriter, *http.Request, *v1alpha1.AgentSession){
		"stop": d.stop, "wake": d.wake, "invoke": d.invoke,
	}[verb]
	if do == nil {
		refuse(w, http.StatusNotFound, "a session can be asked to stop, wake and invoke")
		return
	}
	if !d.Write {
		refuse(w, http.StatusForbidden, "this page is read-only: start the dashboard with "+d.writeFlag()+" to "+verb+" sessions")
		return
	}
	if session, ok := d.session(w, r); ok {
		do(w, r, session)
	}
}

// writeFlag is how who runs the page lets it write.
func (d *Dashboard) writeFlag() string {
	if d.Callers != nil {
		return "--dashboard-write"
	}
	return "--write"
}

func (d *Dashboard) stop(w http.ResponseWriter, r *http.Request, session *v1alpha1.AgentSession) {
	d.ask(w, r.Context(), session, "stop", lifecycle.StopByHand)
}

func (d *Dashboard) wake(w http.ResponseWriter, r *http.Request, session *v1alpha1.AgentSession) {
	d.ask(w, r.Context(), session, "start", lifecycle.WakeByHand)
}

// ask writes what a rule says onto a session.
func (d *Dashboard) ask(w http.ResponseWriter, ctx context.Context, session *v1alpha1.AgentSession, what string, rule func(*v1alpha1.AgentSession) lifecycle.Hand) {
	not, err := byhand.Write(ctx, d.Client, session, rule)
	switch {
	case errors.Is(err, byhand.ErrBusy):
		refuse(w, http.StatusConflict, fmt.Sprintf("AgentSession %s was not asked to %s: %v", session.Name, what, err))
	case err != nil:
		d.refuseFor(w, err)
	case not != "":
		refuse(w, http.StatusConflict, fmt.Sprintf("AgentSession %s was not asked to %s: %s", session.Name, what, not))
	default:
		answer(w, http.StatusOK, map[string]string{"said": fmt.Sprintf("AgentSession %s was asked to %s.", session.Name, what)})
	}
}

// invoke sends the request's body to a session's agent, and its answer to the page as it comes.
func (d *Dashboard) invoke(w http.ResponseWriter, r *http.Request, session *v1alpha1.AgentSession) {
	control := http.NewResponseController(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = control.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the payload has more than %d bytes: `agentsession invoke` takes larger ones", maxBody))
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, "the payload was not read to its end")
		return
	case !json.Valid(body):
		refuse(w, http.StatusBadRequest, "the payload is no JSON")
		return
	case d.Invoke == nil:
		refuse(w, http.StatusNotImplemented, "sessions cannot be invoked from here")
		return
	}
	p := &passage{w: w, control: control}
	if err := d.Invoke(r.Context(), session, body, p.pass); err != nil && !p.begun {
		d.refuseFor(w, err)
	}
}

// passage hands an agent's answer on to the page, which shows it as text.
type passage struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// pass hands an answer on, piece by piece. One that breaks off, or has too many bytes, breaks
// off at the page too.
func (p *passage) pass(from *http.Response) error {
	p.begun = true
	h := p.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Agent-Status", strconv.Itoa(from.StatusCode))
	h.Set("X-Agent-Content-Type", lifecycle.Line(strings.ToValidUTF8(from.Header.Get("Content-Type"), "?"), 200))
	p.w.WriteHeader(http.StatusOK)
	_ = p.control.Flush()
	n, err := io.Copy(p, io.LimitReader(from.Body, maxAnswer))
	if err == nil && n == maxAnswer {
		if more, _ := from.Body.Read(make([]byte, 1)); more > 0 {
			err = fmt.Errorf("the answer has more than %d bytes", maxAnswer)
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that the page sees that it broke off
	}
	return nil
}

// Write writes through to the page.
func (p *passage) Write(text []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := p.w.Write(text)
	if err == nil {
		err = p.control.Flush()
	}
	return n, err //nolint:wrapcheck // pass looks at whether there is one
}
