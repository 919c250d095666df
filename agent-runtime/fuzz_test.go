package agentruntime

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Whatever a caller sends: an answer in JSON that says what it is about, no
// restricted header with the agent, and an agent that is not busy afterwards.
func FuzzInvocation(f *testing.F) {
	f.Add(`{"a":1}`, "X-My", "mine", false)
	f.Add(`{"_agent_core_app_action":"job_status"}`, "Cookie", "a=b", true)
	f.Add("\xff", "X-Amz-Date", "", false)
	f.Add(`[[[[`, "traceparent", "00", true)
	f.Add(`"`+strings.Repeat("x", 200)+`"`, "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "s\x00", false)
	f.Fuzz(func(t *testing.T, payload, name, value string, debug bool) {
		app := New(Options{Debug: debug, BusyWhileInvoking: true, Logger: slog.New(slog.DiscardHandler)})
		app.maxBody = 100 // in place of 100 MB
		invoked := false
		app.Entrypoint(func(ctx context.Context, r Request) (any, error) {
			invoked = true
			for name := range Headers(ctx) {
				if !contract.Forwardable(name) {
					t.Errorf("the agent sees %q", name)
				}
			}
			if RequestID(ctx) == "" {
				t.Error("no request id")
			}
			return r.Payload, nil
		})
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/invocations", strings.NewReader(payload))
		request.Header[name] = []string{value} // as it is: not every server makes names canonical
		recorder := httptest.NewRecorder()
		app.Handler().ServeHTTP(recorder, request)

		got := recorder.Result()
		switch valid := json.Valid([]byte(payload)) && utf8.ValidString(payload); {
		case len(payload) > 100:
			expectCode(t, got.StatusCode, http.StatusRequestEntityTooLarge)
		case !valid:
			expectCode(t, got.StatusCode, http.StatusBadRequest)
		case invoked:
			expectCode(t, got.StatusCode, http.StatusOK)
		case !debug:
			t.Error("the agent was not asked")
		}
		if !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("answered %q", recorder.Body)
		}
		if app.GetCurrentPingStatus() != Healthy && !debug {
			t.Error("busy afterwards")
		}
	})
}

func expectCode(t *testing.T, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("answered %d, not %d", got, want)
	}
}
