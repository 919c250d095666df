package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// startedAgent is the command of an agent that writes down its process, its port and a child's
// process first.
func startedAgent(t *testing.T) (file string, args []string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "started")
	script := fmt.Sprintf(`sleep 1000 & echo "$$ $PORT $!" >>%q; exec %q`, file, os.Args[0])
	return file, []string{"--env", envRole + "=agent", "--", "sh", "-c", script}
}

// ended expects the processes of all agents that were started to be no more.
func ended(g *WithT, file string, starts int) {
	text, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	var pids []int
	for rest := string(text); rest != ""; {
		var pid, port, child, n int
		_, err := fmt.Sscanf(rest, "%d %d %d\n", &pid, &port, &child)
		g.Expect(err).NotTo(HaveOccurred())
		pids = append(pids, pid, child)
		n = len(fmt.Sprintf("%d %d %d\n", pid, port, child))
		rest = rest[n:]
	}
	g.Expect(pids).To(HaveLen(2 * starts))
	for _, pid := range pids {
		g.Eventually(func() error { return syscall.Kill(pid, 0) }).WithTimeout(patience).Should(MatchError(syscall.ESRCH), "process %d", pid)
	}
}

// TestLintStartsAnAgent twice, finds nothing wrong with one that is well, and ends it.
func TestLintStartsAnAgent(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	file, agent := startedAgent(t)
	l := lintWith(t.Context(), append([]string{"--for", "10s", "--invoke", "--snapshot", "-o", "json"}, agent...)...)
	g.Expect(l.Status).To(Equal(0), l.Said)
	g.Expect(l.Said).NotTo(ContainSubstring("The agent wrote"), "it started, and ended when it was told to")
	var report struct {
		Target     string
		Calls      int
		Findings   []struct{ Rule, Severity string }
		NotChecked []struct{ Rule, Why string }
	}
	g.Expect(json.Unmarshal([]byte(l.Out), &report)).To(Succeed())
	g.Expect(report.Target).To(HavePrefix("sh -c "))
	g.Expect(report.Calls).To(Equal(2))
	g.Expect(report.Findings).To(HaveEach(HaveField("Rule", "loopback-only")), l.Out)
	g.Expect(report.NotChecked).To(ContainElement(And(HaveField("Rule", "made-at-start"), HaveField("Why", ContainSubstring("no value that looks random")))), l.Out)
	ended(g, file, 2)
}

// TestLintEndsWhatItStarts: also when it is interrupted, and when it is killed.
func TestLintEndsWhatItStarts(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			file, agent := startedAgent(t)
			command := exec.CommandContext(t.Context(), os.Args[0], append([]string{"lint", "--for", "1h"}, agent...)...)
			command.Env = append(os.Environ(), envRole+"=tool")
			g.Expect(command.Start()).To(Succeed())
			g.Eventually(func() error {
				var pid, port int
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				if _, err = fmt.Sscanf(string(text), "%d %d", &pid, &port); err != nil {
					return err
				}
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					return err
				}
				return conn.Close()
			}).WithTimeout(patience).Should(Succeed())
			g.Expect(command.Process.Signal(signal)).To(Succeed())
			exited := make(chan error, 1)
			go func() { exited <- command.Wait() }()
			var err error
			g.Eventually(exited).WithTimeout(patience).Should(Receive(&err))
			if signal == syscall.SIGINT {
				g.Expect(command.ProcessState.ExitCode()).To(Equal(2), "%v", err)
			}
			ended(g, file, 1)
		})
	}
}

// TestLintShowsWhatAnAgentWrote that did not start, or that ended by itself.
func TestLintShowsWhatAnAgentWrote(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := lintWith(t.Context(), "--", "sh", "-c", "echo the key is missing >&2; exit 3")
	g.Expect(l).To(And(HaveField("Status", 2), HaveField("Out", ""),
		HaveField("Said", And(ContainSubstring("The agent wrote:\n  the key is missing\n"), HaveSuffix("start the agent: the agent has ended, with exit code 3")))))

	l = lintWith(t.Context(), "--for", "10s", "--invoke", "--payload", `{"do":"exit"}`, "--env", envRole+"=agent", "--", os.Args[0])
	g.Expect(l).To(And(HaveField("Status", 1), HaveField("Out", ContainSubstring("error    ping-refused: ")),
		HaveField("Said", And(ContainSubstring("note: the agent has ended, with exit code 7"), MatchRegexp(`(?s)The agent wrote:\n.*  these are its last words\n`)))))
}

// TestLintOfAnImageWithoutAnEngine says what is missing.
func TestLintOfAnImageWithoutAnEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l := lintWith(t.Context(), "--image", "my-agent:1")
	NewWithT(t).Expect(l).To(And(HaveField("Status", 2), HaveField("Said", ContainSubstring("neither docker nor podman is in a folder of $PATH"))))
}
