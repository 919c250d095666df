package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// ReverseProxy would leave the connection of a switch that it refuses open.
func TestOnlyAWebSocketIsSwitchedTo(t *testing.T) {
	for upgrade, op := range map[string]operation{"h2c": opSocket, "": opSocket, "websocket": opInvoke} {
		answer := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {upgrade}}}
		NewWithT(t).Expect(passOn(answer, &call{op: op}, &v1alpha1.AgentSession{})).To(MatchError(agentFailed(http.StatusSwitchingProtocols)), upgrade)
	}
	answer := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {"WebSocket"}}}
	NewWithT(t).Expect(passOn(answer, &call{op: opSocket}, &v1alpha1.AgentSession{})).To(Succeed())
}

func TestHeadersThatReachAnAgent(t *testing.T) {
	const custom = contract.HeaderCustomPrefix + "Token"
	all := strings.Repeat("x", maxHeaderValue)
	for name, row := range map[string]struct {
		in   http.Header
		want http.Header // beside those of every call
		says string
	}{
		"encoded":                 {http.Header{"Content-Encoding": {"gzip"}}, http.Header{"Content-Encoding": {"gzip"}}, ""},
		"a custom one":            {http.Header{custom: {all}}, http.Header{custom: {all}}, ""},
		"a custom one too long":   {http.Header{custom: {all + "x"}}, nil, "'" + custom + "' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		"two too long together":   {http.Header{custom: {all, "x"}}, nil, custom},
		"an allowed one":          {http.Header{"X-Tenant": {all}}, http.Header{"X-Tenant": {all}}, ""},
		"an allowed one too long": {http.Header{"X-Tenant": {all + "x"}}, nil, "X-Tenant"},
		"the gateway's own":       {http.Header{"Authorization": {"Bearer secret"}}, http.Header{}, ""},
		"another one too long":    {http.Header{"Cookie": {all + "x"}}, http.Header{}, ""},
		"baggage":                 {http.Header{"Baggage": {all + "x"}}, http.Header{"Baggage": {all + "x"}}, ""},
		"baggage too long":        {http.Header{"Baggage": {all + all + "x"}}, http.Header{}, ""},
		"for the next hop only":   {http.Header{"Connection": {"keep-alive, x-tenant", "Accept"}, "X-Tenant": {"a"}, "Accept": {"b"}, custom: {"c"}}, http.Header{custom: {"c"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := &call{id: "id", session: "session", payload: &Payload{}, runtime: &v1alpha1.AgentRuntime{}}
			out, err := headersFor(row.in, c, &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"x-tenant", "authorization"}})
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			row.want["User-Agent"] = []string{""}
			row.want.Set(contract.HeaderSessionID, "session")
			row.want.Set(contract.HeaderRequestID, "id")
			g.Expect(out).To(Equal(row.want))
		})
	}
}

// TestNoCallOnAConnectionThatIsClosed calls an agent that keeps connections for 2 s, as
// gunicorn does, at that very moment.
func TestNoCallOnAConnectionThatIsClosed(t *testing.T) {
	agent := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	agent.Config.IdleTimeout = 2 * time.Second
	agent.Start()
	t.Cleanup(agent.Close)
	call := func(to agents) error {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, agent.URL, strings.NewReader("{}"))
		r.GetBody = nil // as a payload that was given up
		answer, err := to.RoundTrip(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return errors.Join(err, answer.Body.Close())
	}
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			to := toAgents(true)
			defer to.CloseIdleConnections()
			if err := call(to); err != nil {
				t.Errorf("the first call: %v", err)
			}
			// The agent's own clock closes its sockets: this cannot be in a bubble.
			time.Sleep(agent.Config.IdleTimeout + time.Duration(n-150)*100*time.Microsecond)
			if err := call(to); err != nil {
				t.Errorf("the call after 2 s: %v", err)
			}
		})
	}
	all.Wait()
}

// An agent that serves one connection gets it back after each call. The request of a WebSocket
// has one Connection, Upgrade.
func TestOnlyConnectionIsGivenBack(t *testing.T) {
	for _, one := range []bool{true, false} {
		for _, op := range []operation{opInvoke, opCard, opSocket} {
			g := NewWithT(t)
			in := httptest.NewRequest(http.MethodGet, "/", nil)
			in.Header.Set("Connection", "Upgrade")
			session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{Pod: &v1alpha1.PodStatus{IP: "10.1.2.3", OneConnection: one}}}
			out := in.Clone(t.Context())
			rewrite(&httputil.ProxyRequest{In: in, Out: out}, &call{op: op, payload: &Payload{}}, session, http.Header{})
			g.Expect(out.Close).To(Equal(one && op != opSocket))
			g.Expect(out.Header.Values("Connection")).To(HaveLen(map[operation]int{opSocket: 1}[op]))
		}
	}
}

// tries notes by when the compute has to be reached at each try.
type tries struct {
	http.RoundTripper

	by []any
}

func (t *tries) RoundTrip(r *http.Request) (*http.Response, error) {
	t.by = append(t.by, r.Context().Value(reachBy{}))
	return t.RoundTripper.RoundTrip(r)
}

func TestTheTriesOfACallEndTogether(t *testing.T) {
	g := NewWithT(t)
	session := sessionNo(1, func(s *v1alpha1.AgentSession) {
		s.Status.Pod.IP = "127.0.0.1"
		s.Status.Runtime = &v1alpha1.ActivationRuntime{}
		s.Status.Runtime.ProtocolConfiguration.Port = 1 // where nobody listens
	})
	one, to := atNoon(t, session), &tries{RoundTripper: toAgents(true)}
	one.agents = to
	err := one.invoke(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), &call{
		op: opInvoke, session: session.Spec.RuntimeSessionID, qualifier: v1alpha1.DefaultQualifier, payload: &Payload{},
		runtime: &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name, UID: counter.runtime}},
		limits:  lifecycle.CallLimits{Request: time.Hour},
	})
	g.Expect(err).To(MatchError(ContainSubstring("the agent could not be reached")))
	g.Expect(to.by).To(HaveLen(maxTries))
	g.Expect(to.by).To(HaveEach(And(BeAssignableToTypeOf(time.Time{}), Equal(to.by[0]))))
}

// All tries to reach a compute end together, and another compute has its own time.
func TestTheTimeToReachACompute(t *testing.T) {
	g := NewWithT(t)
	synctest.Test(t, func(*testing.T) {
		var r reach
		by := func(pod types.UID) any { return r.within(t.Context(), compute{pod: pod}).Value(reachBy{}) }
		began := time.Now()
		g.Expect(by("a")).To(Equal(began.Add(dialTimeout)))
		time.Sleep(dialTimeout / 2)
		g.Expect(by("a")).To(Equal(began.Add(dialTimeout)), "another try")
		g.Expect(by("b")).To(Equal(time.Now().Add(dialTimeout)))
	})

	agent := httptest.NewServer(http.NotFoundHandler())
	defer agent.Close()
	for left, reached := range map[time.Duration]bool{time.Minute: true, -time.Second: false} {
		ctx := context.WithValue(t.Context(), reachBy{}, time.Now().Add(left))
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, agent.URL, nil)
		g.Expect(err).NotTo(HaveOccurred())
		to := toAgents(true)
		to.DisableKeepAlives = true
		answer, err := to.RoundTrip(r)
		if g.Expect(err == nil).To(Equal(reached)); reached {
			g.Expect(answer.Body.Close()).To(Succeed())
			continue
		}
		g.Expect(unreached(err)).To(BeTrue(), "%v", err)
	}
}

func TestAgentsOnTheGatewaysOwnMachineAreNotCalled(t *testing.T) {
	g := NewWithT(t)
	for _, url := range []string{"http://127.0.0.1:1/", "http://[::ffff:169.254.169.254]/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = toAgents(false).RoundTrip(r)
		g.Expect(err).To(MatchError(ContainSubstring("it is not called")))
	}
}

// Pages of browsers have custom headers in the URL of their WebSocket.
func TestWithQueryHeaders(t *testing.T) {
	const custom = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-"
	for name, row := range map[string]struct {
		query url.Values
		want  string // of the header Custom-A
		says  string
	}{
		"none":               {query: url.Values{"qualifier": {"PROD"}, custom: {"x"}}, want: "in the head"},
		"one":                {query: url.Values{strings.ToLower(custom) + "a": {"b c"}}, want: "b c"},
		"a line more":        {query: url.Values{custom + "A": {"b\r\nX: y"}}, says: "name and value of a header"},
		"a name that cannot": {query: url.Values{custom + "A:\r\n": {"b"}}, says: "name and value of a header"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ws?"+row.query.Encode(), nil)
			r.Header.Set(custom+"A", "in the head")
			got, err := withQueryHeaders(r)
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Get(custom + "A")).To(Equal(row.want))
			g.Expect(r.Header.Get(custom + "A")).To(Equal("in the head"))
		})
	}
}
