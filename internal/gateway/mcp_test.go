package gateway

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestMCPSessions(t *testing.T) {
	g := NewWithT(t)
	const session = "a-session-of-33-characters-and-so"
	for _, state := range []mcpState{{"1868a90c7d2f4c0f", 1}, {"with.mcp.in-it", 2147483647}, {"~!", 0}} {
		both := mcpSession(session, state)
		g.Expect(isVisible(both)).To(BeTrue())
		named, kept := splitMCP(both)
		g.Expect(named).To(Equal(session))
		g.Expect(kept).To(Equal(state))
	}
	g.Expect(mcpSession(session, mcpState{})).To(Equal(session))
	g.Expect(mcpSession(session, mcpState{session, 1})).To(Equal(session))
	for _, plain := range []string{ // DQo is a line's end
		"", session, session + ".mcp.", session + ".mcp.1", session + ".mcp.1.", session + ".mcp.1.!", session + ".mcp.1.DQo", session + ".MCP.1.fg",
		session + ".mcp.-1.fg", session + ".mcp.2147483648.fg", session + ".mcp.a.fg",
	} {
		named, kept := splitMCP(plain)
		g.Expect(named).To(Equal(plain))
		g.Expect(kept).To(Equal(mcpState{}))
	}
}

func TestLostMCPState(t *testing.T) {
	g := NewWithT(t)
	g.Expect(mcpState{"an-id", 1}.isLost(2)).To(BeTrue())
	for _, kept := range []mcpState{{"an-id", 2}, {"an-id", 0}, {"", 1}} {
		g.Expect(kept.isLost(2)).To(BeFalse())
	}
}
