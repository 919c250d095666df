package node

import (
	"net"
	"testing"

	. "github.com/onsi/gomega"
)

// TestSuitesThatMeet: two suites of a machine that come to the same addresses do not share
// one.
func TestSuitesThatMeet(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	one, err := serveAgents(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	defer one.server.Close()
	other, err := serveAgents(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	defer other.server.Close()
	other.next = one.next

	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer free.Close() // of another address, so that nobody takes the port on all of them
	port := int32(free.Addr().(*net.TCPAddr).Port)
	first, err := one.add(ctx, NewAgent(), []int32{port})
	g.Expect(err).NotTo(HaveOccurred())
	second, err := other.add(ctx, NewAgent(), []int32{port})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second).NotTo(Equal(first))
	one.remove(first)
	other.remove(second)
}
