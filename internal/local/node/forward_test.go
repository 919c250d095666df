package node

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
)

// The kernel gives a port again that nobody listens at yet.
func TestNoTwoAgentsAreToldOnePort(t *testing.T) {
	g := NewWithT(t)
	addresses := newAddresses()
	first := netip.AddrFrom4([4]byte{127, 77, 0, 1})
	pod, seen := first, map[uint16]bool{}
	for range 2000 {
		port, err := addresses.assign(t.Context(), pod)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(seen).NotTo(HaveKey(port))
		seen[port] = true
		pod = pod.Next()
	}
	g.Expect(addresses.assigned).To(HaveLen(2000))
	addresses.release(first)
	g.Expect(addresses.assigned).To(HaveLen(1999), "one that has gone needs none")
}
