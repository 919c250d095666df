package agentruntime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

func TestCheck33DebugActions(t *testing.T) {
	g := NewWithT(t)
	a := newAgentWith(t, agentruntime.Options{Debug: true})
	a.Entrypoint(answering("for the agent", nil))
	act := func(action string) answer { return a.invoke(t, `{"_agent_core_app_action":`+action+`}`) }

	g.Expect(act(`"ping_status"`).body).To(MatchRegexp(`^\{"status":"Healthy","time_of_last_update":[0-9]+\}$`))
	id := a.AddAsyncTask("t", map[string]any{"a": 1})
	g.Expect(act(`"job_status"`).body).To(MatchRegexp(`^\{"active_count":1,"running_jobs":\[\{"name":"t","duration":[0-9.]+\}\]\}$`))
	g.Expect(act(`"force_healthy"`).body).To(Equal(`{"forced_status":"Healthy"}`))
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
	g.Expect(act(`"force_busy"`).body).To(Equal(`{"forced_status":"HealthyBusy"}`))
	a.CompleteAsyncTask(id)
	g.Expect(a.ping(t).Status).To(Equal("HealthyBusy"))
	g.Expect(act(`"clear_forced_status"`).body).To(Equal(`{"forced_status":"Cleared"}`))
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))

	unknown := act(`"nonsense"`)
	g.Expect(unknown.code).To(Equal(http.StatusBadRequest))
	g.Expect(unknown.body).To(Equal(`{"error":"Unknown action: nonsense"}`))
	g.Expect(act(`true`).body).To(Equal(`{"error":"Unknown action: true"}`))
	for _, none := range []string{`""`, `null`, `false`, `0`} {
		g.Expect(act(none).body).To(Equal(`"for the agent"`), none)
	}
	for _, payload := range []string{`[]`, `null`, `"_agent_core_app_action"`} {
		g.Expect(a.invoke(t, payload).body).To(Equal(`"for the agent"`), payload)
	}
}

func TestCheck34DebugActionsAreOffByDefault(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.Entrypoint(func(_ context.Context, r agentruntime.Request) (any, error) { return r.Payload, nil })
	payload := `{"_agent_core_app_action":"force_busy"}`
	g.Expect(a.invoke(t, payload).body).To(Equal(payload))
	g.Expect(a.ping(t).Status).To(Equal("Healthy"))
}

// Who may ask: from inside the pod's network or with the token, and nobody at
// all unless it is switched on.
func TestInsiders(t *testing.T) {
	asked := func(o agentruntime.Options, method, path, from string, header http.Header) int {
		app, _ := newApp(o)
		app.Entrypoint(answering(nil, nil))
		request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{"_agent_core_app_action":"ping_status"}`))
		request.RemoteAddr = from
		request.Header = header
		recorder := httptest.NewRecorder()
		app.Handler().ServeHTTP(recorder, request)
		return recorder.Code
	}
	for _, row := range []struct {
		from   string
		header http.Header
		want   int
	}{
		{"127.0.0.1:1", nil, 200},
		{"[::1]:1", nil, 200},
		{"[::ffff:127.0.0.1]:1", nil, 200},
		{"127.0.0.1:1", http.Header{"Authorization": {"Bearer wrong"}}, 200},
		{"127.0.0.1:1", http.Header{"X-Forwarded-For": {"10.0.0.9"}}, 403},
		{"127.0.0.1:1", http.Header{"Via": {"1.1 proxy"}, "Authorization": {"Bearer secret"}}, 200},
		{"127.0.0.6:1", nil, 403}, // Istio's sidecar
		{"10.0.0.9:1", nil, 403},
		{"10.0.0.9:1", http.Header{"Authorization": {"Bearer wrong"}}, 403},
		{"10.0.0.9:1", http.Header{"Authorization": {"secret"}}, 403},
		{"10.0.0.9:1", http.Header{"Authorization": {"Bearer secret"}}, 200},
		{"@", nil, 403},
	} {
		g, name := NewWithT(t), fmt.Sprint(row.from, row.header)
		on := agentruntime.Options{Introspection: true, Debug: true, Token: "secret"}
		g.Expect(asked(on, http.MethodGet, "/tasks", row.from, row.header)).To(Equal(row.want), name)
		g.Expect(asked(on, http.MethodGet, "/events", row.from, row.header)).To(Equal(row.want), name)
		g.Expect(asked(on, http.MethodPost, "/invocations", row.from, row.header)).To(Equal(row.want), name)
		off := agentruntime.Options{Token: "secret"}
		g.Expect(asked(off, http.MethodGet, "/tasks", row.from, row.header)).To(Equal(404), name)
		g.Expect(asked(off, http.MethodGet, "/events", row.from, row.header)).To(Equal(404), name)
	}
	g := NewWithT(t)
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	on := agentruntime.Options{Introspection: true}
	g.Expect(asked(on, http.MethodGet, "/tasks", "10.0.0.9:1", bearer(""))).To(Equal(403), "no token is no token")
	t.Setenv("AGENTSESSION_TOKEN", "of the operator")
	g.Expect(asked(on, http.MethodGet, "/tasks", "10.0.0.9:1", bearer("of the operator"))).To(Equal(200))
}

func get(t *testing.T, app *agentruntime.App, path string) string {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	request.RemoteAddr = "127.0.0.1:1"
	recorder := httptest.NewRecorder()
	app.Handler().ServeHTTP(recorder, request)
	return recorder.Body.String()
}

func TestTasksAndEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		app, log := newApp(agentruntime.Options{Introspection: true})
		g.Expect(get(t, app, "/events")).To(Equal(`{"events":[]}`))
		g.Expect(get(t, app, "/tasks")).To(Equal(`{"active_count":0,"running_jobs":[]}`))

		began := time.Now().UTC().Format(time.RFC3339)
		id := app.AddAsyncTask("index", nil)
		app.RecordEvent(t.Context(), agentruntime.EventTaskStarted, slog.Any("task", id), slog.Group("of", slog.Int("files", 2)))
		time.Sleep(3 * time.Second)
		app.AddAsyncTask("other", map[string]any{"fn": func() {}})
		app.RecordEvent(t.Context(), agentruntime.EventTaskFailed, slog.Any("task", id), slog.Any("cause", errors.New("boom")),
			slog.Duration("after", 1500*time.Millisecond))
		time.Sleep(2 * time.Second)
		g.Expect(get(t, app, "/tasks")).To(Equal(`{"active_count":2,"running_jobs":[` +
			`{"name":"index","duration":5,"id":1,"ended":2},{"name":"other","duration":2,"id":2}]}`))
		ended := time.Now().Add(-2 * time.Second).UTC().Format(time.RFC3339)
		g.Expect(strings.ReplaceAll(get(t, app, "/events"), time.Now().Format("-07:00"), "Z")).To(MatchJSON(fmt.Sprintf(`{"events":[
			{"time":%q,"status":"TASK_STARTED","task":1,"ping_status":"HealthyBusy","attrs":{"task":1,"of":{"files":2}}},
			{"time":%q,"status":"TASK_FAILED","task":1,"ping_status":"HealthyBusy","attrs":{"task":1,"cause":"boom","after":1.5}}]}`,
			began, ended)))
		g.Expect(log.String()).To(ContainSubstring(`"msg":"Event","status":"TASK_FAILED","pingStatus":"HealthyBusy","taskId":1`))
	})
}

// Which tasks an event says have ended.
func TestEventsThatEndTasks(t *testing.T) {
	ended := func(app *agentruntime.App) (names []string) {
		for _, task := range app.TaskInfo().RunningJobs {
			if task.Ended != nil {
				names = append(names, task.Name)
			}
		}
		return names
	}
	for status, want := range map[string][]string{
		"COMPLETED":                       {"one", "two"},
		"failed":                          {"one", "two"},
		"AGENT_BACKGROUND_TASK_COMPLETED": {"one", "two"},
		"TASK_FAILED":                     {"one", "two"},
		"INVOCATION_COMPLETED":            nil,
		"TASK_STARTED":                    nil,
		"":                                nil,
	} {
		g := NewWithT(t)
		app, _ := newApp(agentruntime.Options{})
		app.AddAsyncTask("one", nil)
		app.AddAsyncTask("two", nil)
		app.RecordEvent(t.Context(), status)
		app.AddAsyncTask("later", nil)
		g.Expect(ended(app)).To(Equal(want), status)
	}
	g := NewWithT(t)
	app, _ := newApp(agentruntime.Options{})
	app.AddAsyncTask("other", nil)
	_ = app.AsyncTask(t.Context(), "own", func(ctx context.Context) error {
		app.RecordEvent(ctx, agentruntime.EventTaskCompleted)
		g.Expect(ended(app)).To(Equal([]string{"own"}), "the task of the context")
		return nil
	})
}

func TestJournalKeepsTheLast100(t *testing.T) {
	g := NewWithT(t)
	app, _ := newApp(agentruntime.Options{Introspection: true})
	for n := range 250 {
		app.RecordEvent(t.Context(), fmt.Sprint(n))
	}
	var shown struct {
		Events []agentruntime.Event `json:"events"`
	}
	g.Expect(json.Unmarshal([]byte(get(t, app, "/events")), &shown)).To(Succeed())
	g.Expect(shown.Events).To(HaveLen(100))
	g.Expect(shown.Events[0].Status + " " + shown.Events[99].Status).To(Equal("150 249"))
}

// sink is a database that may fail.
type sink struct {
	events []agentruntime.Event
	fails  func() error
}

func (s *sink) WriteEvent(_ context.Context, e agentruntime.Event) error {
	s.events = append(s.events, e)
	return s.fails()
}

func TestEventSink(t *testing.T) {
	for name, fails := range map[string]func() error{
		"":              func() error { return nil },
		"no connection": func() error { return errors.New("no connection") },
		"panic: boom":   func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			events := &sink{fails: fails}
			a := newAgentWith(t, agentruntime.Options{Events: events})
			a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
				a.RecordEvent(ctx, "ASKED")
				return nil, nil
			})
			header := http.Header{}
			header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "s")
			header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", "r")
			g.Expect(a.do(t, http.MethodPost, "/invocations", `{}`, header).code).To(Equal(http.StatusOK))
			g.Expect(events.events).To(ConsistOf(And(HaveField("SessionID", "s"), HaveField("RequestID", "r"),
				HaveField("PingStatus", agentruntime.Healthy))))
			g.Expect(strings.Contains(a.log.String(), "Event not written")).To(Equal(name != ""))
			g.Expect(a.log.String()).To(ContainSubstring(name))
		})
	}
}
