package lint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// maxKept is how much of an answer is kept.
	maxKept = 64 << 10
	// maxRead is how much of one is read: AgentCore's limit.
	maxRead = contract.MaxPayloadBytes
)

// callTwice calls with the two spellings of the session's header that AWS's clients send,
// after the agent was seen at rest. One that does not serve calls is not called again.
func (w *watcher) callTwice(ctx context.Context) (calls []Call) {
	for _, c := range []Call{
		{SessionHeader: contract.HeaderSessionID, SessionID: w.SessionID},
		{SessionHeader: strings.ToLower(contract.HeaderSessionID), SessionID: w.SecondID},
	} {
		pause(ctx, atRest*w.Period)
		if ctx.Err() != nil {
			return calls
		}
		w.call(ctx, &c)
		if ctx.Err() != nil {
			return calls // which it was cut by
		}
		calls = append(calls, c)
		if c.Cut || missing(c.Code) {
			return calls
		}
	}
	return calls
}

func (w *watcher) call(ctx context.Context, c *Call) {
	ctx, cancel := context.WithTimeout(ctx, w.For)
	defer cancel()
	c.Asked = time.Now()
	if err := w.exchange(ctx, c); err != nil {
		if c.Cut = errors.Is(ctx.Err(), context.DeadlineExceeded); !c.Cut {
			c.Err = lifecycle.Printable(inner(err))
		}
	}
	c.Took = time.Since(c.Asked)
}

func (w *watcher) exchange(ctx context.Context, c *Call) error {
	r, err := w.request(ctx, http.MethodPost, w.Path, bytes.NewReader(w.Payload))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header[c.SessionHeader] = []string{c.SessionID} // as it is spelled
	response, err := w.calls.Do(r)
	if err != nil {
		return err //nolint:wrapcheck // the caller's words
	}
	defer response.Body.Close() //nolint:errcheck // nothing to be done about it
	c.Code, c.ContentType, c.Length = response.StatusCode, lifecycle.Printable(response.Header.Get("Content-Type")), response.ContentLength
	if response.StatusCode == http.StatusSwitchingProtocols {
		return nil // it has no end
	}
	return c.read(response)
}

// read reads an answer to its end, and keeps the beginning.
func (c *Call) read(response *http.Response) error {
	buffer := make([]byte, 32<<10)
	for size := 0; size <= maxRead; {
		n, err := response.Body.Read(buffer)
		if n > 0 && size == 0 {
			c.First = time.Since(c.Asked)
		}
		size += n
		c.Body = append(c.Body, buffer[:min(n, maxKept-len(c.Body))]...)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err //nolint:wrapcheck // the caller's words
		}
	}
	return errors.New("the answer is larger than the 100 MB that AgentCore takes")
}
