package agentruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// errInvocationOver ends the context of an invocation that was answered or
// whose client has gone. Tasks that it started do not mind.
var errInvocationOver = errors.New("the invocation is over")

// enter begins an invocation, of whatever kind. Where there should be no new
// ones it answers with 503, and ok is false.
func (a *App) enter(client context.Context, w http.ResponseWriter, h http.Header, what string) (ctx context.Context, done func(), ok bool) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(withInvocation(client, h)))
	gone := context.AfterFunc(client, func() { cancel(errInvocationOver) })
	job, ok := a.board.begin(what, cancel)
	done = func() {
		gone()
		cancel(errInvocationOver)
		a.board.end(job)
	}
	if !ok {
		gone()
		cancel(ErrStopping)
		a.write(ctx, w, http.StatusServiceUnavailable, []byte(`{"error":"The agent is stopping"}`))
	}
	return ctx, done, ok
}

func (a *App) serveInvocation(w http.ResponseWriter, r *http.Request) {
	ctx, done, ok := a.enter(r.Context(), w, r.Header, "invocation")
	if !ok {
		return
	}
	defer done()
	start := time.Now()
	reply, err := a.invoke(ctx, w, r)
	if err != nil {
		code, body := errorAnswer(err)
		a.write(ctx, w, code, body)
	} else {
		err = reply(ctx, w)
	}
	a.logEnd(ctx, "Invocation", start, err)
	if errors.Is(err, errBrokenOff) {
		breakOff()
	}
}

// logEnd is the line about an invocation, of whatever kind, that has ended.
func (a *App) logEnd(ctx context.Context, what string, start time.Time, err error) {
	took := seconds(time.Since(start))
	switch {
	case err == nil:
		a.log.InfoContext(ctx, what+" completed", "duration", took)
	case errors.Is(context.Cause(ctx), errInvocationOver):
		a.log.InfoContext(ctx, what+" left by its client", "duration", took, "errorMessage", fmt.Sprint(err))
	default:
		level := slog.LevelError
		if code, _ := errorAnswer(err); code < 500 {
			level = slog.LevelWarn // the caller's fault
		}
		a.log.Log(ctx, level, what+" failed", append(errorAttrs(err), "duration", took)...)
	}
}

// reply writes an answer that is 200, or whatever the agent chose.
type reply func(ctx context.Context, w http.ResponseWriter) error

// invoke is an invocation from the body of the request to the agent's result.
func (a *App) invoke(ctx context.Context, w http.ResponseWriter, r *http.Request) (_ reply, err error) {
	defer recoverAs(&err) // encoding calls methods of the agent too
	payload, err := readPayload(w, r, a.maxBody)
	if err != nil {
		return nil, err
	}
	if a.options.Debug {
		if action := debugAction(payload); action != "" {
			return a.debug(ctx, r, action)
		}
	}
	handler := a.handler.Load()
	if handler == nil || *handler == nil {
		return nil, errors.New("No entrypoint defined") //nolint:staticcheck // the wording of AWS's SDK, on the wire
	}
	result, err := (*handler)(ctx, Request{Payload: payload})
	if err != nil {
		return nil, err
	}
	return a.replyWith(result)
}

func (a *App) replyWith(result any) (reply, error) {
	switch result := result.(type) {
	case Stream:
		return result.reply, nil
	case iter.Seq2[any, error]:
		return Stream(result).reply, nil
	case Response:
		return result.reply, nil
	case *Response:
		if result != nil {
			return result.reply, nil
		}
	}
	body, err := encode(result)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w http.ResponseWriter) error {
		a.write(ctx, w, http.StatusOK, body)
		return nil
	}, nil
}

// readPayload reads the body whatever its Content-Type, as AWS's SDK for Python
// does.
func readPayload(w http.ResponseWriter, r *http.Request, maxBody int64) (json.RawMessage, error) {
	tooLarge := &HTTPError{
		Code:    http.StatusRequestEntityTooLarge,
		Message: "Request body too large",
		Details: fmt.Sprintf("more than %d bytes", maxBody),
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch limit := (*http.MaxBytesError)(nil); {
	case errors.As(err, &limit):
		return nil, tooLarge
	case err != nil:
		return nil, &HTTPError{Code: http.StatusBadRequest, Message: "Invalid body", Details: err.Error()}
	case !utf8.Valid(body):
		return nil, &HTTPError{Code: http.StatusBadRequest, Message: "Invalid encoding", Details: "not UTF-8"}
	case json.Valid(body):
		return body, nil
	}
	var discarded json.RawMessage // asked a second time only to hear what is wrong
	return nil, &HTTPError{
		Code:    http.StatusBadRequest,
		Message: "Invalid JSON",
		Details: json.Unmarshal(body, &discarded).Error(),
	}
}

// encode leaves <, > and & as they are, as Python does.
func encode(result any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

func errorAnswer(err error) (code int, body []byte) {
	answer := struct {
		Error   string `json:"error"`
		Details string `json:"details,omitempty"`
	}{Error: fmt.Sprint(err)} // unlike err.Error(), survives a nil pointer in err
	code = http.StatusInternalServerError
	if chosen := (*HTTPError)(nil); errors.As(err, &chosen) && chosen != nil {
		answer.Error, answer.Details = chosen.Message, chosen.Details
		if chosen.Code >= 400 && chosen.Code <= 599 {
			code = chosen.Code
		}
	}
	return code, must(encode(answer))
}

// must is for what cannot fail to encode: strings, numbers, and what has been
// encoded before.
func must(body []byte, err error) []byte {
	if err != nil {
		return []byte(`{"error":"unknown"}`)
	}
	return body
}

func (a *App) write(ctx context.Context, w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		a.log.WarnContext(ctx, "Answer not delivered", "error", err.Error())
	}
}
