package node

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// TestWhoListens: as Linux tells it, at each address that a program may listen at.
func TestWhoListens(t *testing.T) {
	own, err := familyOf(group{id: syscall.Getpgrp()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for at, seen := range map[string]string{
		"127.0.0.1:0": "127.0.0.1", "0.0.0.0:0": "127.0.0.1", "[::]:0": "127.0.0.1", "[::ffff:127.0.0.1]:0": "127.0.0.1", "[::1]:0": "::1",
	} {
		t.Run(at, func(t *testing.T) {
			g := NewWithT(t)
			listener, err := net.Listen("tcp", at)
			g.Expect(err).NotTo(HaveOccurred())
			port := uint16(listener.Addr().(*net.TCPAddr).Port)
			addr := netip.AddrPortFrom(netip.MustParseAddr(seen), port)
			found, err := listeningAt(addr)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(HaveLen(1))
			g.Expect(found[0].uid).To(BeEquivalentTo(os.Geteuid()))
			g.Expect(own.has(found)).To(BeFalse(), "it was opened later")
			now, err := familyOf(group{id: syscall.Getpgrp()})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(now.has(found)).To(BeTrue())
			g.Expect(listener.Close()).To(Succeed())
			g.Expect(listeningAt(addr)).To(BeEmpty())
		})
	}
}

// TestWhoseAnAgentIs: by its processes; and where nobody else was told to listen, by its user.
func TestWhoseAnAgentIs(t *testing.T) {
	const me, another = "me", "another"
	uid := map[string]uint64{me: uint64(os.Geteuid()), another: 4_000_000, "root": 0}
	agents := &family{inodes: map[string]bool{"7": true}, hidden: map[uint64]bool{4_000_001: true}}
	for name, one := range map[string]struct {
		told   bool
		socket listening
		its    bool
		says   string
	}{
		"its own, of whatever user":          {true, listening{uid[another], "7"}, true, ""},
		"its own at the contract's port":     {false, listening{uid[me], "7"}, true, ""},
		"of a process that hides":            {false, listening{4_000_001, "8"}, true, ""},
		"another program of this user":       {true, listening{uid[me], "8"}, true, ""},
		"an engine of containers":            {true, listening{uid["root"], "8"}, true, ""},
		"another user":                       {true, listening{uid[another], "8"}, false, "another user (uid " + strconv.Itoa(4_000_000) + ") listens at 127.0.0.1:9"},
		"another program, at the contract's": {false, listening{uid[me], "8"}, false, ""},
		"another user, at the contract's":    {false, listening{uid[another], "8"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := &place{at: netip.MustParseAddrPort("127.0.0.1:9"), exclusive: one.told}
			its, err := p.judge([]listening{one.socket}, agents)
			g.Expect(its).To(Equal(one.its))
			if one.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(ContainSubstring(one.says)))
			}
			shared, _ := p.judge([]listening{{uid[another], "7"}, one.socket}, agents)
			g.Expect(shared).To(Equal(one.its), "all that share a port must be the agent's")
		})
	}
}

// TestAReservedAddress refuses connections, and no other program can listen there.
func TestAReservedAddress(t *testing.T) {
	g := NewWithT(t)
	a := newAddresses()
	addr, reserved, err := a.take(28080)
	g.Expect(err).NotTo(HaveOccurred())
	defer reserved.close()
	at := netip.AddrPortFrom(addr, 28080)
	g.Expect(listens(t.Context(), at)).To(BeFalse())
	g.Expect(isFree(t.Context(), at)).To(BeFalse())
	_, err = reserve(at)
	g.Expect(err).To(MatchError(syscall.EADDRINUSE))
	listener, err := reserved.listen()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(listens(t.Context(), at)).To(BeTrue())
	g.Expect(listener.Close()).To(Succeed())
	g.Expect(isFree(t.Context(), at)).To(BeTrue())
}
