package agentruntime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// Response is the result of a Handler that writes its answer itself, for what
// is not JSON: it is passed through as it is, piece by piece as Body yields it.
type Response struct {
	// Code is the HTTP status. Default: 200. AgentCore hands whatever is not
	// 2xx to the caller as 424.
	Code int
	// Header is that of the answer. AgentCore passes the Content-Type on.
	Header http.Header
	// Body is closed if it is an io.Closer; nil is an empty one.
	Body io.Reader
}

// errBrokenOff is an answer that began and cannot end as it should.
var errBrokenOff = errors.New("answer broken off")

func (r Response) reply(_ context.Context, w http.ResponseWriter) (err error) {
	defer func() { // Body is the agent's own
		if err != nil {
			err = fmt.Errorf("%w: %w", errBrokenOff, err)
		}
	}()
	defer recoverAs(&err)
	if closer, ok := r.Body.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	code := cmp.Or(r.Code, http.StatusOK)
	if code < 200 || code > 599 {
		code = http.StatusInternalServerError
	}
	maps.Copy(w.Header(), r.Header)
	w.WriteHeader(code)
	if r.Body == nil {
		return nil
	}
	_, err = io.Copy(flusher{w, http.NewResponseController(w)}, r.Body)
	return err
}

// flusher sends each piece on at once. It has no ReadFrom, which would wait for
// more.
type flusher struct {
	w       io.Writer
	control *http.ResponseController
}

func (f flusher) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.control.Flush()
}

// serveRaw is an invocation that an http.Handler of the agent answers.
func (a *App) serveRaw(w http.ResponseWriter, r *http.Request, h http.Handler) {
	ctx, done, ok := a.enter(r.Context(), w, r.Header, "invocation")
	if !ok {
		return
	}
	defer done()
	start := time.Now()
	seen := &watched{ResponseWriter: w}
	err := func() (err error) {
		defer recoverAs(&err)
		h.ServeHTTP(seen, r.WithContext(ctx))
		return nil
	}()
	if err != nil && !seen.begun {
		code, body := errorAnswer(err)
		a.write(ctx, w, code, body)
	}
	a.logEnd(ctx, "Invocation", start, err)
	if err != nil && seen.begun {
		breakOff()
	}
}

// breakOff ends the connection: the client must not take half an answer for a
// whole one.
func breakOff() { panic(http.ErrAbortHandler) }

// watched tells whether an answer has begun.
type watched struct {
	http.ResponseWriter
	begun bool
}

func (w *watched) WriteHeader(code int) {
	w.begun = w.begun || code >= 200 // 1xx are not the answer
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Flush is for libraries that ask for an http.Flusher.
func (w *watched) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a client that is gone: the next Write says so
}

// Unwrap is for http.ResponseController: flushing, hijacking, deadlines.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
