package agentruntime_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// The numbers are those of the conformance checks of the container contract.

func TestCheck03OtherMethods(t *testing.T) {
	a := newAgent(t)
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/ping", http.StatusMethodNotAllowed},
		{http.MethodPut, "/ping", http.StatusMethodNotAllowed},
		{http.MethodHead, "/ping", http.StatusOK},
		{http.MethodGet, "/invocations", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodPost, "/invocations/x", http.StatusNotFound},
	} {
		t.Run(row.method+" "+row.path, func(t *testing.T) {
			NewWithT(t).Expect(a.do(t, row.method, row.path, "", nil).code).To(Equal(row.want))
		})
	}
}

func TestCheck04ContentTypeDoesNotMatter(t *testing.T) {
	a := newAgent(t)
	a.Entrypoint(func(_ context.Context, r agentruntime.Request) (any, error) { return r.Payload, nil })
	for _, contentType := range []string{"", "text/plain", "application/octet-stream", "application/json; charset=utf-8"} {
		got := a.do(t, http.MethodPost, "/invocations", ` [1, null] `, http.Header{"Content-Type": {contentType}})
		NewWithT(t).Expect(got.body).To(Equal(`[1,null]`), contentType)
	}
}

func TestCheck05And06BadBodies(t *testing.T) {
	a := newAgent(t)
	a.Entrypoint(answering("never reached", nil))
	for name, row := range map[string]struct{ body, want string }{
		"cut off":        {`{"a":`, "Invalid JSON"},
		"not JSON":       {`{a}`, "Invalid JSON"},
		"two values":     {`1 2`, "Invalid JSON"},
		"empty":          {``, "Invalid JSON"},
		"too deep":       {strings.Repeat("[", 20_000), "Invalid JSON"},
		"not UTF-8":      {"\"\xff\"", "Invalid encoding"},
		"not UTF-8 keys": {"{\"\xff\":1}", "Invalid encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := a.invoke(t, row.body)
			g.Expect(got.code).To(Equal(http.StatusBadRequest))
			g.Expect(got.body).To(MatchRegexp(`^\{"error":"` + row.want + `","details":".+"\}$`))
		})
	}
	NewWithT(t).Eventually(a.log.String).Should(ContainSubstring(`"level":"WARN","msg":"Invocation failed"`))
	NewWithT(t).Expect(a.log.String()).NotTo(ContainSubstring(`"ERROR"`), "the caller's fault is none of the agent's")
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { panic("in MarshalJSON") }

func TestCheck07To09Results(t *testing.T) {
	type point struct {
		X int `json:"x"`
	}
	var noError *agentruntime.HTTPError
	for name, row := range map[string]struct {
		entrypoint agentruntime.Handler
		code       int
		body       string
	}{
		"7: error":              {answering(nil, errors.New("boom")), 500, `{"error":"boom"}`},
		"8: no entrypoint":      {nil, 500, `{"error":"No entrypoint defined"}`},
		"9: null":               {answering(nil, nil), 200, `null`},
		"string":                {answering("héllo <b>", nil), 200, `"héllo <b>"`},
		"struct":                {answering(point{1}, nil), 200, `{"x":1}`},
		"nil pointer":           {answering((*point)(nil), nil), 200, `null`},
		"not JSON":              {answering(math.NaN(), nil), 500, `{"error":"encode the result: json: unsupported value: NaN"}`},
		"panic":                 {func(context.Context, agentruntime.Request) (any, error) { panic("boom") }, 500, `{"error":"panic: boom"}`},
		"panic in the encoding": {answering(failing{}, nil), 500, `{"error":"panic: in MarshalJSON"}`},
		"nil pointer as error":  {answering(nil, noError), 500, `{"error":"\u003cnil\u003e"}`},
		"status chosen":         {answering(nil, &agentruntime.HTTPError{Code: 429, Message: "slowly", Details: "1/s"}), 429, `{"error":"slowly","details":"1/s"}`},
		"status wrapped":        {answering(nil, errors.Join(&agentruntime.HTTPError{Code: 404, Message: "none"})), 404, `{"error":"none"}`},
		"status of success":     {answering(nil, &agentruntime.HTTPError{Code: 200, Message: "no"}), 500, `{"error":"no"}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a := newAgent(t)
			a.Entrypoint(row.entrypoint)
			got := a.invoke(t, `{}`)
			g.Expect(got.code).To(Equal(row.code))
			g.Expect(got.body).To(MatchJSON(row.body))
			g.Expect(got.header.Get("Content-Type")).To(Equal("application/json"))
			g.Expect(a.ping(t).Status).To(Equal("Healthy"))
		})
	}
}

func TestTypedEntrypoint(t *testing.T) {
	type in struct {
		Seconds int `json:"seconds"`
	}
	a := newAgent(t)
	a.Entrypoint(agentruntime.JSON(func(_ context.Context, v in) (map[string]int, error) {
		return map[string]int{"twice": 2 * v.Seconds}, nil
	}))
	for body, want := range map[string]string{
		`{"seconds":21,"other":true}`: `{"twice":42}`,
		`{}`:                          `{"twice":0}`,
		`null`:                        `{"twice":0}`,
	} {
		NewWithT(t).Expect(a.invoke(t, body).body).To(Equal(want))
	}
	got := a.invoke(t, `{"seconds":"many"}`)
	g := NewWithT(t)
	g.Expect(got.code).To(Equal(http.StatusBadRequest))
	g.Expect(got.body).To(HavePrefix(`{"error":"Invalid request body format","details":"`))
}

func TestCheck12And13IDs(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		return []string{agentruntime.SessionID(ctx), agentruntime.RequestID(ctx)}, nil
	})
	got := a.do(t, http.MethodPost, "/invocations", `{}`, http.Header{
		"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {"session-1"},
		"X-Amzn-Bedrock-Agentcore-Runtime-Request-Id": {"request-1"},
	})
	g.Expect(got.body).To(Equal(`["session-1","request-1"]`))
	g.Expect(a.log.String()).To(ContainSubstring(`"sessionId":"session-1","requestId":"request-1"`))

	uuid := `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	g.Expect(a.invoke(t, `{}`).body).To(MatchRegexp(`^\["","` + uuid + `"\]$`))
	g.Expect(a.log.String()).To(MatchRegexp(`"requestId":"` + uuid + `"`))
	g.Expect(agentruntime.SessionID(t.Context()) + agentruntime.RequestID(t.Context())).To(BeEmpty())
}

func TestCheck16And17PingWaitsForNobody(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	answers := make(chan int, 64)
	entered, release := make(chan struct{}, cap(answers)), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo() // or the server would wait for them
	a.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
		entered <- struct{}{}
		<-release
		return nil, nil
	})
	for range cap(answers) {
		go func() { answers <- a.invoke(t, `{}`).code }()
	}
	g.Eventually(entered).Should(HaveLen(cap(answers)))
	fastest := time.Minute // the others waited for the machine
	for range 20 {
		start := time.Now()
		g.Expect(a.ping(t).Status).To(Equal("Healthy"), "check 36: an invocation alone is not busy")
		fastest = min(fastest, time.Since(start))
	}
	g.Expect(fastest).To(BeNumerically("<", 500*time.Millisecond))
	letGo()
	for range cap(answers) {
		g.Eventually(answers).Should(Receive(Equal(http.StatusOK)))
	}
}

func TestClientGone(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	entered, task := make(chan struct{}), make(chan error, 1)
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		release := make(chan struct{})
		a.Go(ctx, "outlives", func(ctx context.Context) error {
			<-release
			task <- ctx.Err()
			return nil
		})
		close(entered)
		<-ctx.Done()
		close(release)
		return nil, ctx.Err()
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-entered
		leave()
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/invocations", strings.NewReader(`{}`))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = http.DefaultClient.Do(request)
	g.Expect(err).To(MatchError(context.Canceled))
	g.Eventually(task).Should(Receive(BeNil()), "the invocation's context has ended, the task's has not")
}
