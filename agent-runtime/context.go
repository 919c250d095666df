package agentruntime

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

type invocationKey struct{}

// invocation is what a request said of itself.
type invocation struct {
	session, request string
	header           http.Header
}

// SessionID is the runtimeSessionId that the invocation came with; empty
// outside of invocations, and in those that name no session. In the protocol
// MCP it is the Mcp-Session-Id.
func SessionID(ctx context.Context) string { return invocationOf(ctx).session }

// RequestID is the id of the invocation: the platform's, or a random UUID if
// the request had none. Empty outside of invocations.
func RequestID(ctx context.Context) string { return invocationOf(ctx).request }

// WorkloadAccessToken is the token with which the agent gets credentials from
// AgentCore Identity; empty if the invocation came without.
func WorkloadAccessToken(ctx context.Context) string {
	header := invocationOf(ctx).header
	return cmp.Or(header.Get(contract.HeaderWAT), header.Get(contract.HeaderWorkloadAccessToken))
}

// OAuth2CallbackURL is where the user returns to after a consent that the agent
// asks for; empty if the invocation came without.
func OAuth2CallbackURL(ctx context.Context) string {
	return invocationOf(ctx).header.Get(contract.HeaderOAuth2CallbackURL)
}

// Headers are the headers of the invocation that an agent may see: those for
// which contract.Forwardable holds, Authorization among them where the platform
// lets it through. The answer is a copy; nil outside of invocations.
func Headers(ctx context.Context) http.Header {
	return headersOf(ctx, contract.Forwardable)
}

// TraceContext are the headers of the invocation that carry its trace:
// traceparent, tracestate, baggage and X-Amzn-Trace-Id. For OpenTelemetry:
//
//	ctx = propagator.Extract(ctx, propagation.HeaderCarrier(agentruntime.TraceContext(ctx)))
func TraceContext(ctx context.Context) http.Header {
	return headersOf(ctx, contract.IsTraceHeader)
}

func headersOf(ctx context.Context, wanted func(name string) bool) http.Header {
	var found http.Header
	for name, values := range invocationOf(ctx).header {
		if !wanted(name) {
			continue
		}
		if found == nil {
			found = http.Header{}
		}
		found[name] = append([]string(nil), values...)
	}
	return found
}

func invocationOf(ctx context.Context) invocation {
	found, _ := ctx.Value(invocationKey{}).(invocation)
	return found
}

func withInvocation(ctx context.Context, h http.Header) context.Context {
	return context.WithValue(ctx, invocationKey{}, invocation{
		session: cmp.Or(h.Get(contract.HeaderSessionID), h.Get(contract.HeaderMCPSessionID)),
		request: cmp.Or(h.Get(contract.HeaderRequestID), newUUID()),
		header:  h,
	})
}

// newUUID makes a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it would end the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
