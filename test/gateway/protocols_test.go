package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
)

const (
	sessionHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	missing       = `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`
	terminated    = `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Not Found: Invalid or expired session ID"}}`
)

func speaks(protocol v1alpha1.ServerProtocol, calls ...v1alpha1.SessionlessCalls) func(*v1alpha1.AgentRuntimeSpec) {
	return func(s *v1alpha1.AgentRuntimeSpec) {
		s.ProtocolConfiguration.ServerProtocol = protocol
		for _, c := range calls {
			s.SessionlessCalls = c
		}
	}
}

// message is one of JSON-RPC, with what the agent is told to do.
func message(method string, do ask) []byte {
	GinkgoHelper()
	raw, err := json.Marshal(struct {
		ask
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		ID      int    `json:"id"`
	}{do, "2.0", method, 7})
	Expect(err).NotTo(HaveOccurred())
	return raw
}

// says is an agent's answer as it stands on the wire.
func says(status, body string) ask {
	return ask{Raw: fmt.Sprintf("HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)}
}

// call calls a runtime with some headers.
func (d *door) call(ctx context.Context, agent *v1alpha1.AgentRuntime, body []byte, headers ...string) answer {
	GinkgoHelper()
	r := d.request(ctx, path(agent, "invocations"), "", body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return send(r)
}

var _ = Describe("A call that names no session", func() {
	It("of MCP goes to any that is free, and is told of none", func(ctx context.Context) {
		doors, agent := []*door{openDoor(), openDoor()}, newRuntime(ctx, newNamespace(ctx), speaks("MCP"))
		first := doors[0].call(ctx, agent, message("tools/list", ask{}))
		Expect(first.code).To(Equal(http.StatusOK), first.body)
		session := first.told.Header.Get(sessionHeader)
		var ended time.Time   // the last call
		givenBack := func() { // after another one, as every gateway sees it
			GinkgoHelper()
			var it *v1alpha1.AgentSession
			Eventually(func() *v1alpha1.Traffic { it = sessionOf(ctx, agent, session); return it.Status.Traffic }).Should(HaveValue(And(
				HaveField("InUseUntil", BeNil()), HaveField("LastInvocationAt", HaveValue(HaveField("Time", BeTemporally(">", ended)))))))
			ended = it.Status.Traffic.LastInvocationAt.Time
			raw, err := json.Marshal(it.Status.Traffic.LastInvocationAt)
			Expect(err).NotTo(HaveOccurred())
			for _, d := range doors {
				Eventually(func() string { return get(ctx, d, "/sessions/"+agent.Namespace+"/"+it.Name).body }).
					Should(And(ContainSubstring(string(raw)), Not(ContainSubstring("inUseUntil"))))
			}
		}
		for i, headers := range [][]string{nil, {"Mcp-Method", "tools/call", "Mcp-Protocol-Version", "2026-07-28"}} {
			givenBack()
			a := doors[1-i].call(ctx, agent, message("tools/call", ask{MCP: "a-session-of-the-server"}), headers...)
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Pod).To(Equal(first.told.Pod))
			Expect(a.told.Header).NotTo(HaveKey(mcpSession))
			Expect(a.header).To(And(Not(HaveKey(mcpSession)), Not(HaveKey(http.CanonicalHeaderKey(sessionHeader)))))
		}
		Expect(sessionOf(ctx, agent, session).Labels).To(HaveKey("runtime.agentsession.dev/shared"))

		By("an error, which tells of none either")
		a := doors[0].call(ctx, agent, message("tools/call", ask{Code: 500}))
		Expect(a.body).To(ContainSubstring("-32010"))
		Expect(a.header).To(And(Not(HaveKey(mcpSession)), Not(HaveKey(http.CanonicalHeaderKey(sessionHeader)))))
	})

	It("of MCP that initializes has a session of its own", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), speaks("MCP"))
		shared := d.call(ctx, agent, message("tools/list", ask{}))
		Expect(shared.code).To(Equal(http.StatusOK), shared.body)
		pods := map[string]bool{shared.told.Pod: true}
		for _, begins := range []func() answer{
			func() answer { return d.call(ctx, agent, message("initialize", ask{MCP: "a-session-of-the-server"})) },
			func() answer { return d.call(ctx, agent, message("x", ask{}), "Mcp-Method", "initialize") },
			func() answer { return d.call(ctx, agent, []byte(`[{"method":"ping"},{"method":"initialize"}]`)) },
		} {
			a := begins()
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			theirs := a.header.Get(mcpSession)
			Expect(theirs).To(HavePrefix(a.header.Get(sessionHeader)))
			pods[a.told.Pod] = true
			again := d.call(ctx, agent, message("tools/call", ask{}), mcpSession, theirs)
			Expect(again.told.Pod).To(Equal(a.told.Pod))
			Expect(again.header.Get(mcpSession)).To(Equal(theirs))
		}
		Expect(pods).To(HaveLen(4), "none of them shares one")
		Expect(d.call(ctx, agent, message("tools/list", ask{})).told.Pod).To(Equal(shared.told.Pod), "nor is theirs shared")
	})

	DescribeTable("goes where its runtime says", func(ctx context.Context, protocol v1alpha1.ServerProtocol, calls v1alpha1.SessionlessCalls, sessions int) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), speaks(protocol, calls))
		for range 2 {
			a := d.call(ctx, agent, message("message/send", ask{}))
			Expect(a.code).To(Equal(http.StatusOK), a.body)
		}
		var list v1alpha1.AgentSessionList
		Expect(api.List(ctx, &list, client.InNamespace(agent.Namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(sessions))
	},
		Entry("HTTP", v1alpha1.ProtocolHTTP, v1alpha1.SessionlessCalls(""), 2),
		Entry("HTTP, any", v1alpha1.ProtocolHTTP, v1alpha1.SessionlessAny, 1),
		Entry("A2A", v1alpha1.ProtocolA2A, v1alpha1.SessionlessCalls(""), 2),
		Entry("MCP, a new one each", v1alpha1.ProtocolMCP, v1alpha1.SessionlessNew, 2),
	)
})

var _ = Describe("What an agent's protocol says", func() {
	It("of a session that an MCP server does not know reaches the client, who begins anew", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), speaks("MCP"))
		theirs := d.call(ctx, agent, message("initialize", ask{MCP: "before-it-died"})).header.Get(mcpSession)
		for body, want := range map[string]OmegaMatcher{terminated: Equal(terminated), "session not found": MatchJSON(`{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}`)} {
			a := d.call(ctx, agent, message("tools/call", says("404 Not Found", body)), mcpSession, theirs)
			Expect(a.code).To(Equal(http.StatusNotFound))
			Expect(a.body).To(want)
			Expect(a.header).NotTo(HaveKey(mcpSession))
			Expect(a.header.Get("X-Amzn-Errortype")).To(Equal("RuntimeClientError"), "for clients of AWS")
		}
		By("a stateful server that is called without a session")
		a := d.call(ctx, agent, message("tools/call", says("400 Bad Request", missing)))
		Expect(a.code).To(Equal(http.StatusBadRequest))
		Expect(a.body).To(Equal(missing))
		By("a path that it does not serve")
		a = d.call(ctx, agent, message("initialize", says("404 Not Found", "404 page not found")))
		Expect(a.code).To(Equal(http.StatusOK))
		Expect(a.body).To(And(ContainSubstring("-32010"), ContainSubstring("Received error (404) from runtime"), ContainSubstring(`"id":7`)))
	})

	It("of a session that its server has lost with its compute is a 404, whatever the server calls it", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), speaks("MCP"))
		begun := d.call(ctx, agent, message("initialize", ask{MCP: "before-it-died"})).header
		theirs := begun.Get(mcpSession)
		refuse := message("tools/call", says("400 Bad Request", missing))
		Expect(d.call(ctx, agent, refuse, mcpSession, theirs).code).To(Equal(http.StatusBadRequest), "its server knows it")
		Expect(d.stop(ctx, agent, begun.Get(sessionHeader), "").code).To(Equal(http.StatusOK))
		var a answer
		Eventually(func() int {
			a = d.call(ctx, agent, refuse, mcpSession, theirs)
			return a.code
		}).ShouldNot(Or(Equal(http.StatusConflict), Equal(http.StatusOK)), "MCP's envelope of a start that must be waited for has 200")
		Expect(a.code).To(Equal(http.StatusNotFound), a.body)
		Expect(a.body).To(Equal(missing))
		By("a server that kept it all the same")
		Expect(d.call(ctx, agent, message("tools/call", ask{}), mcpSession, theirs).code).To(Equal(http.StatusOK))
	})

	It("of what both know passes between A2A's, and between no others", func(ctx context.Context) {
		d, namespace := openDoor(), newNamespace(ctx)
		for _, protocol := range []v1alpha1.ServerProtocol{"A2A", "HTTP"} {
			agent := newRuntime(ctx, namespace, speaks(protocol))
			a := d.call(ctx, agent, message("SendMessage", ask{}), "A2A-Version", "1.0", "A2A-Extensions", "https://example.com/ext/v1")
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			if protocol == "HTTP" {
				Expect(a.told.Header).NotTo(HaveKey("A2a-Version"))
				continue
			}
			Expect(a.told.Header.Get("A2A-Version")).To(Equal("1.0"))
			Expect(a.told.Header.Get("A2A-Extensions")).To(Equal("https://example.com/ext/v1"))
			unsupported := `{"jsonrpc":"2.0","id":7,"error":{"code":-32009,"message":"Version not supported"}}`
			a = d.call(ctx, agent, message("SendMessage", says("400 Bad Request", unsupported)))
			Expect(a.code).To(Equal(http.StatusBadRequest))
			Expect(a.body).To(Equal(unsupported))
		}
	})
})

var _ = Describe("An error", func() {
	It("has the envelope of the protocol that the session's agent speaks", func(ctx context.Context) {
		d, namespace := openDoor(), newNamespace(ctx)
		for protocol, want := range map[v1alpha1.ServerProtocol]struct {
			code       int
			kind, body string
		}{
			"HTTP": {424, "application/json", `{"message":MESSAGE}`},
			"MCP":  {200, "application/json", `{"jsonrpc":"2.0","error":{"code":-32010,"message":MESSAGE},"id":7}`},
			"A2A":  {424, "application/json", `{"jsonrpc":"2.0","error":{"code":-32055,"message":MESSAGE},"id":7}`},
			"AGUI": {200, "text/event-stream", "data: " + `{"type":"RUN_ERROR","code":"AGENT_ERROR","message":MESSAGE}` + "\n\n"},
		} {
			agent := newRuntime(ctx, namespace, speaks(protocol), func(s *v1alpha1.AgentRuntimeSpec) {
				s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PINNED", Version: 1}}
			})
			base := agent.DeepCopy()
			agent.Spec.ProtocolConfiguration.ServerProtocol = v1alpha1.ProtocolHTTP // the newest speaks something else
			Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
			for _, large := range []bool{false, true} { // so that its payload is in a file, which the agent has when it fails
				body := message("tools/call", ask{Code: http.StatusInternalServerError})
				if large {
					body = append([]byte(`{"params":"`+strings.Repeat("x", 100_000)+`",`), body[1:]...)
				}
				a := send(d.request(ctx, path(agent, "invocations")+"?qualifier=PINNED", id(), body))
				Expect(a.code).To(Equal(want.code), "%s: %s", protocol, a.body)
				Expect(a.header.Get("Content-Type")).To(Equal(want.kind))
				Expect(a.header.Get("X-Amzn-Errortype")).To(Equal("RuntimeClientError"))
				Expect(a.header).To(HaveKey("X-Amzn-Requestid"))
				Expect(a.body).To(Equal(strings.Replace(want.body, "MESSAGE",
					`"Received error (500) from runtime. Please check your CloudWatch logs for more information."`, 1)))
			}
		}
	})

	It("of who may call, or of what is not there, is told in HTTP", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), speaks("MCP"))
		a := send(d.request(ctx, path(agent, "invocations")+"?qualifier=NONE", id(), message("tools/call", ask{})))
		Expect(a.code).To(Equal(http.StatusNotFound))
		Expect(a.failed.Message).NotTo(BeEmpty())
		strict := openDoor(func(o *gateway.Options) { o.Authenticate = authn.ByScheme(nil) })
		Expect(strict.call(ctx, agent, message("tools/call", ask{})).code).To(Equal(http.StatusForbidden))
	})
})

var _ = Describe("The card of an A2A agent", func() {
	It("names the gateway as its reader reached it, or as the gateway was told", func(ctx context.Context) {
		seen, public := openDoor(), openDoor(func(o *gateway.Options) { o.PublicURL = "https://agents.example/" })
		agent := newRuntime(ctx, newNamespace(ctx), speaks("A2A"), func(s *v1alpha1.AgentRuntimeSpec) {
			s.Endpoints = []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 1}}
		})
		card := func(d *door, query string, headers ...string) string {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path(agent, "invocations/.well-known/agent-card.json")+query, nil)
			Expect(err).NotTo(HaveOccurred())
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			a := send(r)
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			var said struct{ URL string }
			Expect(json.Unmarshal([]byte(a.body), &said)).To(Succeed())
			return said.URL
		}
		own := path(agent, "invocations/")
		Expect(card(seen, "")).To(Equal(seen.url + own))
		Expect(card(seen, "", "X-Forwarded-Proto", "https")).To(Equal(strings.Replace(seen.url, "http:", "https:", 1) + own))
		Expect(card(seen, "?qualifier=PROD")).To(Equal(seen.url + own + "?qualifier=PROD"))
		Expect(card(public, "", "X-Forwarded-Proto", "http")).To(Equal("https://agents.example" + own))
		By("following it")
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, card(seen, ""), strings.NewReader(string(message("message/send", ask{}))))
		Expect(err).NotTo(HaveOccurred())
		r.Header.Set(sessionHeader, id())
		answer, err := http.DefaultClient.Do(r)
		Expect(err).NotTo(HaveOccurred())
		defer answer.Body.Close()
		var reached told
		Expect(json.NewDecoder(answer.Body).Decode(&reached)).To(Succeed())
		Expect(reached.Path).To(Equal("/"))
		Expect(sessionOf(ctx, agent, r.Header.Get(sessionHeader)).Status.Pod.Name).To(Equal(reached.Pod))
	})
})
