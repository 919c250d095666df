package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// kubeProxy has been here: its chains, and a rule of somebody else's.
const kubeProxy = `case "$*" in
*"-t nat -S"*) printf '%s\n' '-P OUTPUT ACCEPT' '-N KUBE-SERVICES' '-N KUBE-SEP-1' '-N MINE' '-A OUTPUT -m comment --comment "service portals" -j KUBE-SERVICES' '-A OUTPUT -j MINE' '-A KUBE-SERVICES -j KUBE-SEP-1';;
*-S*) echo '-P INPUT ACCEPT';;
esac`

// newTestNode is a node with directories of its own, and the calls of iptables that change something.
func newTestNode(t *testing.T, iptables string) (n node, changes func() []string) {
	t.Helper()
	calls := tools(t, map[string]string{"ip": "", "iptables": iptables, "ip6tables": "exit 1", "sh": `exec /bin/sh "$@"`})
	dir := t.TempDir()
	n = node{dir: filepath.Join(dir, "node"), run: filepath.Join(dir, "run")}
	n.processes = processes{pids: n.path("pids"), logs: n.path("logs")}
	return n, func() (all []string) {
		for _, call := range calls() {
			if strings.HasPrefix(call, "iptables") && !strings.HasSuffix(call, " -S") {
				all = append(all, call)
			}
		}
		return all
	}
}

// noteHost alone, and not up: it would go on to the machine's own cgroups if it did not refuse.
func TestAnothersChainsAreLeftAlone(t *testing.T) {
	g := NewWithT(t)
	n, changes := newTestNode(t, kubeProxy)
	g.Expect(n.noteHost(t.Context())).To(MatchError(And(ContainSubstring("iptables -t nat has the chain KUBE-SERVICES"), ContainSubstring("USE_CLUSTER=current"))))
	g.Expect(n.exists()).To(BeFalse(), "or the down that follows took all away")
	g.Expect(n.sameBoot()).To(BeFalse())
	g.Expect(changes()).To(BeEmpty())
}

func TestOurChainsAreRemoved(t *testing.T) {
	g := NewWithT(t)
	n, _ := newTestNode(t, "")
	g.Expect(n.noteHost(t.Context())).To(Succeed())
	// What the machine has besides is left as it is.
	g.Expect(os.Remove(n.path("forwarding-before"))).To(Succeed())
	g.Expect(os.WriteFile(n.path("strays-before"), []byte(strings.Join(strays, "\n")), 0o600)).To(Succeed())
	noted := n.dir
	n, changes := newTestNode(t, kubeProxy)
	n.dir = noted
	g.Expect(n.restoreNetwork(t.Context())).To(Succeed())
	want := []string{
		"iptables -w -t nat -D OUTPUT -m comment --comment service portals -j KUBE-SERVICES",
		"iptables -w -t nat -F KUBE-SERVICES", "iptables -w -t nat -F KUBE-SEP-1",
		"iptables -w -t nat -X KUBE-SERVICES", "iptables -w -t nat -X KUBE-SEP-1",
	}
	g.Expect(changes()).To(Equal(want))
	g.Expect(n.restoreHost(t.Context())).To(Succeed())
	g.Expect(changes()).To(HaveLen(2*len(want)), "the machine runs since")

	g.Expect(os.WriteFile(n.path("boot"), []byte("another\n"), 0o600)).To(Succeed())
	g.Expect(n.restoreHost(t.Context())).To(Succeed())
	g.Expect(changes()).To(HaveLen(2*len(want)), "after a restart they are another's")
}
