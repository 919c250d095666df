package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const mcpSession = "Mcp-Session-Id"

var _ = Describe("A runtime", func() {
	It("has headers passed on as its version said when the session's compute started", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.RequestHeaderConfiguration = &v1alpha1.RequestHeaderConfiguration{RequestHeaderAllowlist: []string{"X-First"}}
		}), id()
		seen := func(session string) http.Header {
			r := d.request(ctx, path(agent, "invocations"), session, ask{})
			r.Header.Set("X-First", "1")
			r.Header.Set("X-Second", "2")
			r.Header.Set("Baggage", "a="+strings.Repeat("b", 5000))
			a := send(r)
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Header).To(HaveKey("Baggage"), "AgentCore takes 8192 bytes of it")
			return a.told.Header
		}
		Expect(seen(session)).To(And(HaveKey("X-First"), Not(HaveKey("X-Second"))))
		base := agent.DeepCopy()
		agent.Spec.RequestHeaderConfiguration.RequestHeaderAllowlist = []string{"X-Second"}
		Expect(api.Patch(ctx, agent, client.MergeFrom(base))).To(Succeed())
		Eventually(func() http.Header { return seen(id()) }).Should(And(HaveKey("X-Second"), Not(HaveKey("X-First"))))
		Expect(seen(session)).To(And(HaveKey("X-First"), Not(HaveKey("X-Second"))))
	})

	It("has limits of its own, where they are lower", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.Limits = v1alpha1.RuntimeLimits{MaxPayloadBytes: 3000, StreamTimeoutSeconds: 5}
		}), id()
		a := d.invoke(ctx, agent, session, []byte(strings.Repeat(" ", 3001)))
		Expect(a.code).To(Equal(http.StatusRequestEntityTooLarge))
		Expect(a.failed.Message).To(ContainSubstring("less than or equal to 3000"))
		Expect(d.invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK))
		By("an answer that is larger")
		a = d.invoke(ctx, agent, session, ask{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 3001\r\n\r\n" + strings.Repeat("x", 100)})
		Expect(a.code).To(Equal(http.StatusFailedDependency))
		Expect(a.failed.Message).To(ContainSubstring("and 3000 are allowed"))
		By("a stream that lasts")
		begun := time.Now()
		a = d.invoke(ctx, agent, session, ask{Chunks: 600, Sleep: "100ms"})
		Expect(a.code).To(Equal(http.StatusOK))
		Expect(a.err).To(HaveOccurred(), "it did not end well")
		Expect(a.body).To(And(HavePrefix("data: 0"), Not(ContainSubstring("data: 599"))))
		Expect(time.Since(begun)).To(BeNumerically(">=", 5*time.Second))
	})

	It("of an MCP server finds sessions by MCP's own header", func(ctx context.Context) {
		doors := []*door{openDoor(), openDoor()}
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.ProtocolConfiguration.ServerProtocol = v1alpha1.ProtocolMCP })
		call := func(n int, given string, do ask) answer {
			GinkgoHelper()
			r := doors[n].request(ctx, path(agent, "invocations"), id(), do) // AWS's clients always have one of that
			if given != "" {
				r.Header.Set(mcpSession, given)
			}
			a := send(r)
			Expect(a.code).To(Equal(http.StatusOK), a.body)
			Expect(a.told.Path).To(Equal("/mcp"))
			return a
		}
		By("without state")
		first := call(0, "", ask{})
		Expect(first.told.Header).NotTo(HaveKey(mcpSession))
		theirs := first.header.Get(mcpSession)
		Expect(theirs).To(Equal(first.header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")))
		second := call(1, theirs, ask{})
		Expect(second.told.Pod).To(Equal(first.told.Pod))
		Expect(second.told.Header.Get(mcpSession)).To(Equal(theirs))
		Expect(second.header.Get(mcpSession)).To(Equal(theirs))

		By("with state: the server has an id of its own")
		const own = "1868a90c7d2f"
		first = call(0, "", ask{MCP: own})
		theirs = first.header.Get(mcpSession)
		second = call(1, theirs, ask{})
		Expect(second.told.Pod).To(Equal(first.told.Pod))
		Expect(second.told.Header.Get(mcpSession)).To(Equal(own))
		Expect(second.header.Get(mcpSession)).To(Equal(theirs))

		By("an error, which has it too")
		r := doors[0].request(ctx, path(agent, "invocations"), id(), ask{Code: http.StatusTeapot})
		r.Header.Set(mcpSession, theirs)
		a := send(r)
		Expect(a.body).To(ContainSubstring(`"code":-32010`))
		Expect(a.header.Get(mcpSession)).To(Equal(theirs))
	})
})
