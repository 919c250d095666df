package agentruntime

import (
	"context"
	"encoding/json"
	"net/http"
)

// Handler answers an invocation. Its result becomes the JSON of the answer, nil
// becomes null; a Stream is answered piece by piece and a Response as it is. An
// error becomes 500 {"error": text}, or the status of the *HTTPError in its
// chain; so does a panic.
//
// Most agents write a function on types of their own and wrap it with JSON.
type Handler func(ctx context.Context, r Request) (any, error)

// Request is one invocation.
type Request struct {
	// Payload is the body: one valid JSON value in UTF-8 of any kind.
	Payload json.RawMessage
}

// JSON makes a Handler of a function on Go types. A payload that does not fit
// into In is answered with 400 {"error":"Invalid request body format"} and
// never reaches fn; fields that In does not have are passed over.
func JSON[In, Out any](fn func(ctx context.Context, in In) (Out, error)) Handler {
	return func(ctx context.Context, r Request) (any, error) {
		var in In
		if err := json.Unmarshal(r.Payload, &in); err != nil {
			return nil, &HTTPError{
				Code:    http.StatusBadRequest,
				Message: "Invalid request body format",
				Details: err.Error(),
			}
		}
		return fn(ctx, in)
	}
}

// HTTPError is an error that chooses the status of the answer. On AgentCore the
// caller sees 424 for whatever is not 2xx: the status and the text are for
// those who read the log.
type HTTPError struct {
	// Code is the HTTP status, 400 to 599. Anything else becomes 500.
	Code int
	// Message is the "error" of the answer.
	Message string
	// Details is the "details" of the answer; absent if empty.
	Details string
}

// Error is the message, with the details if there are any.
func (e *HTTPError) Error() string {
	if e.Details == "" {
		return e.Message
	}
	return e.Message + ": " + e.Details
}
