package gateway

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestMCPSessions(t *testing.T) {
	g := NewWithT(t)
	const session = "a-session-of-33-characters-and-so"
	for _, agents := range []string{"1868a90c7d2f4c0f", "with.mcp.in-it", "~!"} {
		both := mcpSession(session, agents)
		g.Expect(isVisible(both)).To(BeTrue())
		s, a := splitMCP(both)
		g.Expect([]string{s, a}).To(Equal([]string{session, agents}))
	}
	g.Expect(mcpSession(session, "")).To(Equal(session))
	g.Expect(mcpSession(session, session)).To(Equal(session))
	for _, plain := range []string{"", session, session + ".mcp.", session + ".mcp.!", session + ".mcp.DQo", session + ".MCP.fg"} { // DQo is a line's end
		s, a := splitMCP(plain)
		g.Expect([]string{s, a}).To(Equal([]string{plain, ""}))
	}
}
