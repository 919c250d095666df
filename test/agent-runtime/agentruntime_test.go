package agentruntime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(time.Minute) // on a machine with other work
	os.Exit(m.Run())
}

// agent is an App under test, served over real HTTP, and its log.
type agent struct {
	*agentruntime.App
	url string
	log *lines
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	return newAgentWith(t, agentruntime.Options{})
}

func newAgentWith(t *testing.T, o agentruntime.Options) *agent {
	t.Helper()
	app, log := newApp(o)
	server := httptest.NewServer(app.Handler())
	t.Cleanup(server.Close)
	return &agent{App: app, url: server.URL, log: log}
}

func newApp(o agentruntime.Options) (*agentruntime.App, *lines) {
	log := &lines{}
	o.Logger = slog.New(slog.NewJSONHandler(log, nil))
	return agentruntime.New(o), log
}

// lines collects log lines from any goroutine.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type answer struct {
	code   int
	header http.Header
	body   string
}

func (a *agent) do(t *testing.T, method, path, body string, header http.Header) answer {
	t.Helper()
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(t.Context(), method, a.url+path, strings.NewReader(body))
	g.Expect(err).NotTo(HaveOccurred())
	if header != nil {
		request.Header = header
	}
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return answer{response.StatusCode, response.Header, string(read)}
}

func (a *agent) invoke(t *testing.T, body string) answer {
	t.Helper()
	return a.do(t, http.MethodPost, "/invocations", body, nil)
}

type pinged struct {
	Status string `json:"status"`
	Stamp  int64  `json:"time_of_last_update"`
}

func (a *agent) ping(t *testing.T) pinged {
	t.Helper()
	return readPing(t, a.do(t, http.MethodGet, "/ping", "", nil).body)
}

// pingOf asks without a network, where time is synctest's.
func pingOf(t *testing.T, app *agentruntime.App) pinged {
	t.Helper()
	recorder := httptest.NewRecorder()
	app.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ping", nil))
	return readPing(t, recorder.Body.String())
}

func readPing(t *testing.T, body string) pinged {
	t.Helper()
	var p pinged
	NewWithT(t).Expect(json.Unmarshal([]byte(body), &p)).To(Succeed())
	return p
}

// answering is an entrypoint that always says the same.
func answering(result any, err error) agentruntime.Handler {
	return func(context.Context, agentruntime.Request) (any, error) { return result, err }
}
