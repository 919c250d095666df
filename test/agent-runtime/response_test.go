package agentruntime_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// body is an io.ReadCloser that notes its end.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

func TestResponseIsPassedThrough(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	read := &body{Reader: strings.NewReader("a,b\n")}
	a.Entrypoint(answering(agentruntime.Response{
		Code: http.StatusAccepted, Header: http.Header{"Content-Type": {"text/csv"}}, Body: read,
	}, nil))
	got := a.invoke(t, `{}`)
	g.Expect(got.code).To(Equal(http.StatusAccepted))
	g.Expect(got.header.Get("Content-Type")).To(Equal("text/csv"))
	g.Expect(got.body).To(Equal("a,b\n"))
	g.Expect(read.closed).To(BeTrue())

	a.Entrypoint(answering(&agentruntime.Response{}, nil))
	g.Expect(a.invoke(t, `{}`).code).To(Equal(http.StatusOK))
	a.Entrypoint(answering(agentruntime.Response{Code: 42}, nil))
	g.Expect(a.invoke(t, `{}`).code).To(Equal(http.StatusInternalServerError), "no status of HTTP")
	a.Entrypoint(answering((*agentruntime.Response)(nil), nil))
	g.Expect(a.invoke(t, `{}`).body).To(Equal("null"))
}

// The client must not take half an answer for a whole one.
func TestResponseThatBreaksOff(t *testing.T) {
	for name, end := range map[string]io.Reader{
		"error": io.MultiReader(strings.NewReader("half"), brokenReader{}),
		"panic": io.MultiReader(strings.NewReader("half"), brokenReader{panics: true}),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a := newAgent(t)
			a.Entrypoint(answering(agentruntime.Response{Body: end}, nil))
			_, err := io.ReadAll(a.begin(t.Context(), t, `{}`).Body)
			g.Expect(err).To(MatchError(io.ErrUnexpectedEOF))
			g.Eventually(a.log.String).Should(ContainSubstring("answer broken off"))
		})
	}
}

type brokenReader struct{ panics bool }

func (f brokenReader) Read([]byte) (int, error) {
	if f.panics {
		panic("boom")
	}
	return 0, errors.New("boom")
}

func TestProtocols(t *testing.T) {
	whole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+agentruntime.SessionID(r.Context()))
	})
	session := http.Header{"Mcp-Session-Id": {"s"}}
	for _, row := range []struct {
		protocol  agentruntime.Protocol
		post      string   // the path of the protocol
		whole     []string // what an EntrypointHTTP gets
		webSocket int
	}{
		{"", "/invocations", []string{"GET /invocations", "POST /invocations"}, 403},
		{agentruntime.MCP, "/mcp", []string{"GET /mcp", "POST /mcp", "DELETE /mcp"}, 404},
		{agentruntime.A2A, "/", []string{"POST /", "GET /.well-known/agent-card.json"}, 404},
		{agentruntime.AGUI, "/invocations", []string{"POST /invocations"}, 403},
	} {
		t.Run(string(row.protocol), func(t *testing.T) {
			g := NewWithT(t)
			a := newAgentWith(t, agentruntime.Options{Protocol: row.protocol})
			g.Expect(a.ping(t).Status).To(Equal("Healthy"), "/ping on all")
			a.Entrypoint(answering("json", nil))
			g.Expect(a.do(t, http.MethodPost, row.post, `{}`, nil).body).To(Equal(`"json"`))
			g.Expect(a.do(t, http.MethodGet, row.post, "", nil).code).To(Equal(http.StatusMethodNotAllowed))
			g.Expect(a.do(t, http.MethodPost, "/else", `{}`, nil).code).To(Equal(http.StatusNotFound))
			g.Expect(a.do(t, http.MethodGet, "/ws", "", nil).code).To(Equal(row.webSocket))

			a.EntrypointHTTP(whole)
			for _, line := range row.whole {
				method, path, _ := strings.Cut(line, " ")
				g.Expect(a.do(t, method, path, "", session).body).To(Equal(line + " s"))
			}
			g.Expect(a.ping(t).Status).To(Equal("Healthy"))
		})
	}
	NewWithT(t).Expect(func() { agentruntime.New(agentruntime.Options{Protocol: "SMTP"}) }).To(
		PanicWith(`agentruntime.New: Options.Protocol is "SMTP", and must be HTTP, MCP, A2A or AGUI`))
}

func TestEntrypointHTTP(t *testing.T) {
	g := NewWithT(t)
	a := newAgentWith(t, agentruntime.Options{BusyWhileInvoking: true})
	a.EntrypointHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "panic":
			panic("boom")
		case "half":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic("boom")
		}
		_, _ = io.WriteString(w, string(a.GetCurrentPingStatus()))
	}))
	g.Expect(a.do(t, http.MethodPost, "/invocations", "", nil).body).To(Equal("HealthyBusy"), "an invocation like others")
	got := a.do(t, http.MethodPost, "/invocations?do=panic", "", nil)
	g.Expect(got.code).To(Equal(http.StatusInternalServerError))
	g.Expect(got.body).To(Equal(`{"error":"panic: boom"}`))

	response, err := http.Get(a.url + "/invocations?do=half")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.ReadAll(response.Body)
	_ = response.Body.Close()
	g.Expect(err).To(HaveOccurred(), "half an answer is none")
	g.Eventually(func() string { return a.ping(t).Status }).Should(Equal("Healthy"))
}

func TestCheck14And15Headers(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	type seen struct {
		Token, Callback string
		Headers, Trace  http.Header
	}
	var got seen
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		got = seen{
			agentruntime.WorkloadAccessToken(ctx), agentruntime.OAuth2CallbackURL(ctx),
			agentruntime.Headers(ctx), agentruntime.TraceContext(ctx),
		}
		agentruntime.Headers(ctx).Set("X-My", "changed by the reader")
		g.Expect(agentruntime.Headers(ctx).Get("X-My")).To(Equal("mine"))
		return nil, nil
	})
	ask := func(pairs ...string) {
		header := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			header.Add(pairs[i], pairs[i+1])
		}
		g.Expect(a.do(t, http.MethodPost, "/invocations", `{}`, header).code).To(Equal(http.StatusOK))
	}

	// 14
	custom := "X-Amzn-Bedrock-Agentcore-Runtime-Custom-Foo"
	ask("Authorization", "Bearer jwt", custom, "foo", "X-My", "mine", "Cookie", "a=b", "X-Amz-Date", "today",
		"X-Amzn-Else", "else", "X-Forwarded-For", "10.0.0.1", "Accept", "*/*")
	g.Expect(got.Headers).To(Equal(http.Header{"Authorization": {"Bearer jwt"}, custom: {"foo"}, "X-My": {"mine"}}))
	g.Expect(got.Token + got.Callback).To(BeEmpty())
	g.Expect(got.Trace).To(BeEmpty())

	// 15
	ask("X-My", "mine", "WorkloadAccessToken", "old", "OAuth2CallbackUrl", "https://example.com/back")
	g.Expect(got.Token).To(Equal("old"))
	g.Expect(got.Callback).To(Equal("https://example.com/back"))
	ask("X-My", "mine", "WorkloadAccessToken", "old", "X-Amz-Bedrock-AgentCore-Identity-WAT", "wat")
	g.Expect(got.Token).To(Equal("wat"))

	ask("X-My", "mine", "traceparent", "00-a-b-01", "tracestate", "x=y", "baggage", "k=v", "X-Amzn-Trace-Id", "Root=1")
	g.Expect(got.Trace).To(Equal(http.Header{
		"Traceparent": {"00-a-b-01"}, "Tracestate": {"x=y"}, "Baggage": {"k=v"}, "X-Amzn-Trace-Id": {"Root=1"},
	}))

	outside := t.Context()
	g.Expect(agentruntime.Headers(outside)).To(BeNil())
	g.Expect(agentruntime.WorkloadAccessToken(outside) + agentruntime.OAuth2CallbackURL(outside)).To(BeEmpty())
}
