package agentruntime

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// All addresses, check 19 of the contract, at the port of the protocol.
func TestAddr(t *testing.T) {
	for protocol, want := range map[Protocol]string{
		"":   "0.0.0.0:8080",
		HTTP: "0.0.0.0:8080",
		MCP:  "0.0.0.0:8000",
		A2A:  "0.0.0.0:9000",
		AGUI: "0.0.0.0:8080",
	} {
		if got := New(Options{Protocol: protocol}).options.Addr; got != want {
			t.Errorf("%q listens on %s, not %s", protocol, got, want)
		}
	}
	if got := New(Options{Addr: "127.0.0.1:1", Protocol: MCP}).options.Addr; got != "127.0.0.1:1" {
		t.Errorf("told to listen on 127.0.0.1:1, it listens on %s", got)
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestBodyLimit(t *testing.T) {
	app := New(Options{Logger: slog.New(slog.DiscardHandler)})
	app.Entrypoint(func(context.Context, Request) (any, error) { return "ok", nil })
	post := func(body io.Reader, length int64) int {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/invocations", body)
		request.ContentLength = length
		recorder := httptest.NewRecorder()
		app.Handler().ServeHTTP(recorder, request)
		return recorder.Code
	}
	if got := post(unread{t}, 100_000_001); got != http.StatusRequestEntityTooLarge {
		t.Errorf("what says that it is too large is answered with %d", got)
	}

	app.maxBody = 1000
	for size, want := range map[int]int{1000: http.StatusOK, 1001: http.StatusRequestEntityTooLarge} {
		body := `"` + strings.Repeat("a", size-2) + `"`
		if got := post(strings.NewReader(body), -1); got != want { // chunked: it learns of the size while it reads
			t.Errorf("%d bytes are answered with %d, not %d", size, got, want)
		}
	}
}
