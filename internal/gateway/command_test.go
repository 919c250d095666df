package gateway

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	. "github.com/onsi/gomega"
)

// unread is a caller who is cut as he takes nothing.
type unread struct{ *httptest.ResponseRecorder }

func (unread) Write([]byte) (int, error) { return 0, errors.New("i/o timeout") }

// What a command still writes while it is killed comes after its call has ended,
// when the connection may serve another.
func TestNothingIsWrittenAfterACommandsEnd(t *testing.T) {
	e := NewWithT(t)
	events := &commandEvents{kill: func(error) {}, w: unread{httptest.NewRecorder()}, encoder: eventstream.NewEncoder(), left: 100, begun: true}
	e.Expect(events.stop(t.Context(), context.Canceled)).To(MatchError(ContainSubstring("i/o timeout")))
	e.Expect(events.send(commandChunk{Delta: commandDelta{Stdout: "late"}})).To(MatchError(io.ErrClosedPipe))
}
