package agentruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// defaultMaxBody is AgentCore's limit for the payload of an invocation.
const defaultMaxBody = 100_000_000

// errInvocationOver ends the context of an invocation that was answered or
// whose client has gone. Tasks that it started do not mind.
var errInvocationOver = errors.New("the invocation is over")

func (a *App) serveInvocation(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(withIDs(r.Context(), r.Header)))
	defer cancel(errInvocationOver)
	defer context.AfterFunc(r.Context(), func() { cancel(errInvocationOver) })()

	job, ok := a.board.begin("invocation", cancel)
	if !ok {
		a.write(ctx, w, http.StatusServiceUnavailable, []byte(`{"error":"The agent is stopping"}`))
		return
	}
	defer a.board.end(job)

	start := time.Now()
	answer, err := a.invoke(ctx, w, r)
	took := seconds(time.Since(start))
	if err != nil {
		a.log.ErrorContext(ctx, "Invocation failed", append(errorAttrs(err), "duration", took)...)
		code, body := errorAnswer(err)
		a.write(ctx, w, code, body)
		return
	}
	a.log.InfoContext(ctx, "Invocation completed", "duration", took)
	a.write(ctx, w, http.StatusOK, answer)
}

// invoke is an invocation from the body of the request to that of the answer.
func (a *App) invoke(ctx context.Context, w http.ResponseWriter, r *http.Request) (answer []byte, err error) {
	defer recoverAs(&err) // encoding calls methods of the agent too
	payload, err := readPayload(w, r, a.maxBody)
	if err != nil {
		return nil, err
	}
	handler := a.handler.Load()
	if handler == nil || *handler == nil {
		return nil, errors.New("No entrypoint defined") //nolint:staticcheck // the wording of AWS's SDK, on the wire
	}
	result, err := (*handler)(ctx, Request{Payload: payload})
	if err != nil {
		return nil, err
	}
	return encode(result)
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
	body, err = encode(answer)
	if err != nil { // two strings: cannot be
		body = []byte(`{"error":"unknown"}`)
	}
	return code, body
}

func (a *App) write(ctx context.Context, w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		a.log.WarnContext(ctx, "Answer not delivered", "error", err.Error())
	}
}
