package agentruntime

import (
	"context"
	"fmt"
	"iter"
	"net/http"
)

// Stream is the result of a Handler that answers piece by piece, as Server-Sent
// Events: "data: JSON" for each value, whatever the request accepts. Each piece
// is on its way before the next is made. When the client goes, or the grace
// period is nearly over, the context of the invocation is cancelled, and the
// next yield returns false.
//
// An error ends the stream with one more event, as in AWS's SDK for Python; so
// does a panic:
//
//	data: {"error":"boom","error_type":"*errors.errorString","message":"An error occurred during streaming"}
//
// Most agents write a function on types of their own and wrap it with SSE.
type Stream iter.Seq2[any, error]

// SSE makes a Handler of a function on Go types whose answer is a Stream. The
// payload is read as in JSON: one that does not fit is answered with 400.
func SSE[In, Out any](fn func(ctx context.Context, in In) iter.Seq2[Out, error]) Handler {
	return JSON(func(ctx context.Context, in In) (Stream, error) {
		pieces := fn(ctx, in)
		return func(yield func(any, error) bool) {
			for piece, err := range pieces {
				if !yield(piece, err) {
					return
				}
			}
		}, nil
	})
}

func (s Stream) reply(ctx context.Context, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // asks proxies to pass each event on at once
	w.WriteHeader(http.StatusOK)
	events := eventWriter{w, http.NewResponseController(w)}
	if err := events.control.Flush(); err != nil {
		return fmt.Errorf("begin the stream: %w", err)
	}
	err := s.writeTo(ctx, events)
	if err != nil {
		_ = events.write(must(encode(streamError(err)))) // a client that is gone does not miss it
	}
	return err
}

// writeTo returns the error of the producer or of the way to the client.
func (s Stream) writeTo(ctx context.Context, events eventWriter) (err error) {
	defer recoverAs(&err)
	for piece, err := range s {
		if err != nil {
			return err
		}
		data, err := encode(piece)
		if err != nil {
			return err
		}
		if err := events.write(data); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stream: %w", context.Cause(ctx))
		}
	}
	return nil
}

type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e eventWriter) write(data []byte) error {
	if _, err := fmt.Fprintf(e.w, "data: %s\n\n", data); err != nil {
		return fmt.Errorf("write to the stream: %w", err)
	}
	if err := e.control.Flush(); err != nil {
		return fmt.Errorf("write to the stream: %w", err)
	}
	return nil
}

// streamError is the last event of a stream that failed.
func streamError(err error) any {
	return struct {
		Error   string `json:"error"`
		Type    string `json:"error_type"`
		Message string `json:"message"`
	}{fmt.Sprint(err), fmt.Sprintf("%T", err), "An error occurred during streaming"}
}
