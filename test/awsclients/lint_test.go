package awsclients

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lint"
)

// TestLintPasses: agents on AWS's own SDKs keep the contract, while they work too. What is said of
// them is a false alarm.
func TestLintPasses(t *testing.T) {
	t.Parallel()
	agents := map[string]func(g Gomega) (*exec.Cmd, error){
		"Python": func(g Gomega) (*exec.Cmd, error) {
			python := os.Getenv("AGENTSESSION_PYTHON")
			g.Expect(python).NotTo(BeEmpty(), "AGENTSESSION_PYTHON must be a Python with bedrock-agentcore: run make conformance")
			return exec.CommandContext(t.Context(), python, "agent.py"), nil
		},
		"TypeScript": func(Gomega) (*exec.Cmd, error) {
			made, err := install(t.Context(), "typescript", []string{"package.json", "package-lock.json", "agent.js"}, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
			return exec.CommandContext(t.Context(), "node", filepath.Join(made, "agent.js")), err
		},
	}
	for name, agent := range agents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			command, err := agent(g)
			g.Expect(err).NotTo(HaveOccurred())
			seen, err := lint.Watch(t.Context(), lint.Options{
				Base: "http://" + serve(t, command), Invoke: true, Payload: []byte(`{"words":["a","b","c","d"]}`), SessionID: "lint-" + strings.Repeat("0", 40),
				Period: time.Second, For: 10 * time.Second, Slow: time.Minute, Wait: time.Minute, Elsewhere: []netip.Addr{},
			})
			g.Expect(err).NotTo(HaveOccurred())
			report := lint.Judge(name, &seen)
			g.Expect(report.Findings).To(BeEmpty(), report.Text())
			g.Expect(report.Unchecked).To(ConsistOf(HaveField("Rule", "loopback-only"), HaveField("Rule", "made-at-start")), "all others were looked at")
		})
	}
}

// serve starts an agent that is told its port, and returns where it is when it listens.
func serve(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	g := NewWithT(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	at := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	command.Args = append(command.Args, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	command.Stderr = os.Stderr
	g.Expect(command.Start()).To(Succeed())
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()
	})
	g.Eventually(func() error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at)
		if err != nil {
			return err
		}
		return conn.Close()
	}).WithTimeout(time.Minute).Should(Succeed())
	return at
}
