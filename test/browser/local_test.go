package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/local"
)

// programs is where the programs that the tests run are; empty until they are built.
var programs string

// build builds them, once.
var build = sync.OnceValue(func() error {
	command := exec.Command("go", "build", "-o", programs, "./cmd/agentsession", "./examples/agents", "./test/echo/echo-agent")
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build what the tests run: %w: %s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	os.Exit(func() int {
		var err error
		if programs, err = os.MkdirTemp("", "browser-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(programs) //nolint:errcheck // the temporary directory goes some day
		return m.Run()
	}())
}

// start runs the tool until the test ends. What it says first is returned.
func start(t *testing.T, args ...string) string {
	t.Helper()
	g := NewWithT(t)
	g.Expect(build()).To(Succeed())
	tool := exec.CommandContext(t.Context(), filepath.Join(programs, "agentsession"), args...)
	tool.Cancel = func() error { return tool.Process.Signal(syscall.SIGTERM) }
	tool.WaitDelay = time.Minute
	tool.Stderr = t.Output()
	says, err := tool.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(tool.Start()).To(Succeed())
	lines := bufio.NewReader(says)
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = tool.Cancel() // it may have ended
		<-read
		_ = tool.Wait() // and says so above
	})
	first, err := lines.ReadString('\n')
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, lines) // to its end
	}()
	g.Expect(err).NotTo(HaveOccurred())
	return first
}

// laptop is agentsession local.
type laptop struct {
	*WithT
	t    *testing.T
	page string
	api  string // AgentCore's invocations of the agent
}

// newLaptop runs an agent on it, one of those that are built.
func newLaptop(t *testing.T, flags []string, agent ...string) *laptop {
	t.Helper()
	l := &laptop{WithT: NewWithT(t), t: t}
	args := append([]string{"local", "-o", "json"}, flags...)
	args = append(args, "--", filepath.Join(programs, agent[0]))
	args = append(args, agent[1:]...)
	var ready local.Event
	l.Expect(json.Unmarshal([]byte(start(t, append(args, "--addr", "127.0.0.1:{port}")...)), &ready)).To(Succeed())
	l.Expect(ready.Runtimes).To(HaveLen(1))
	l.page, l.api = ready.Page, ready.Endpoint+"/runtimes/"+url.PathEscape(ready.Runtimes[0].AgentRuntimeArn)+"/invocations"
	return l
}

// call calls the agent in a session.
func (l *laptop) call(session, payload string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.api, strings.NewReader(payload))
	l.Expect(err).NotTo(HaveOccurred())
	r.Header.Set(contract.HeaderSessionID, session)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	l.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(answer.StatusCode).To(Equal(http.StatusOK), "%s", text)
	return string(text)
}
