package node_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// stranger answers at an address, as another program of this user or, if this one is root's,
// as one of another user. It counts who connects.
func stranger(t *testing.T, at string, uid int) *atomic.Int64 {
	t.Helper()
	var listener net.Listener
	var err error
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		runtime.LockOSThread() // for good: the thread has another user
		if uid != 0 {
			_ = syscall.Setfsuid(uid) // a socket's user; only root may
		}
		listener, err = net.Listen("tcp", at)
	}()
	<-opened
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	asked := &atomic.Int64{}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a stranger") }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				asked.Add(1)
			}
		},
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return asked
}

// late is the command of an agent that listens when a file is there. Before, it tells its port.
const late = `echo "$PORT" >"$TOLD.new"; mv "$TOLD.new" "$TOLD"; until [ -e "$GO" ]; do sleep 0.02; done; exec "$0"`

// TestAStrangerAtTheContractsPort, which listens after the agent was started and before that
// listens, is not the agent.
func TestAStrangerAtTheContractsPort(t *testing.T) {
	l := start(t)
	port, fixed, dir := freePort(t), freePort(t), t.TempDir()
	told, begin := filepath.Join(dir, "told"), filepath.Join(dir, "go")
	pod := l.run("late", port, map[string]string{
		envListen: "127.0.0.1:$PORT", envFixed: strconv.Itoa(int(fixed)), "NAME": "the agent", "TOLD": told, "GO": begin,
	}, "sh", "-c", late, os.Args[0])
	l.becomes(pod, corev1.PodRunning)
	l.Eventually(told, patience).Should(BeAnExistingFile())
	asked := stranger(t, fmt.Sprintf("127.0.0.1:%d", fixed), 0)
	l.Eventually(asked.Load, patience).Should(BeNumerically(">", 3), "the node has looked at it")
	l.Expect(os.WriteFile(begin, nil, 0o600)).To(Succeed())
	l.answers(pod, port, "the agent")
}

// TestAStrangerAtTheAgentsPort, of another user, is not the agent: the session ends, and says
// who it is. (Another program of this user may be what the agent has listen for it. Only root
// can be another user here.)
func TestAStrangerAtTheAgentsPort(t *testing.T) {
	l := start(t)
	port, dir := freePort(t), t.TempDir()
	told := filepath.Join(dir, "told")
	pod := l.run("late", port, map[string]string{"TOLD": told, "GO": filepath.Join(dir, "never")}, "sh", "-c", late)
	l.becomes(pod, corev1.PodRunning)
	l.Eventually(told, patience).Should(BeAnExistingFile())
	at, err := os.ReadFile(told)
	l.Expect(err).NotTo(HaveOccurred())
	stranger(t, "127.0.0.1:"+strings.TrimSpace(string(at)), 4_000_000)
	if os.Geteuid() != 0 {
		l.answers(pod, port, "a stranger")
		return
	}
	l.Expect(l.becomes(pod, corev1.PodFailed).Terminated.Message).To(ContainSubstring("a program of another user (uid 4000000) listens at 127.0.0.1:"))
}
