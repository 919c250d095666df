package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// TestAWatchdogThatIsKilled has a successor that knows all, also of what was started before.
func TestAWatchdogThatIsKilled(t *testing.T) {
	g := NewWithT(t)
	guard, err := newGuard()
	g.Expect(err).NotTo(HaveOccurred())
	run := func(words ...string) chan struct{} {
		command, ended := exec.Command(words[0], words[1:]...), make(chan struct{})
		started, err := guard.start(command)
		g.Expect(err).NotTo(HaveOccurred())
		go func() {
			_ = command.Wait()
			close(ended)
		}()
		t.Cleanup(func() { started.signal(syscall.SIGKILL) })
		return ended
	}
	kill := func() *exec.Cmd {
		guard.mu.Lock()
		defer guard.mu.Unlock()
		g.Expect(guard.watchdog.Process.Kill()).To(Succeed())
		return guard.watchdog
	}
	before := run("sleep", "1000")
	killed := kill()
	after := run("sh", "-c", "sleep 1000; :") // whether or not that is noticed
	g.Eventually(func() bool {
		guard.mu.Lock()
		defer guard.mu.Unlock()
		return guard.watchdog != killed
	}, patience).Should(BeTrue())
	g.Expect(guard.groups).To(HaveLen(4), "the group of each, and the one that it may make")
	file := filepath.Join(guard.dir, "file")
	g.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	// As when this process is killed: nobody tells the watchdog anything but the end of its
	// input.
	guard.mu.Lock()
	guard.closed = true
	g.Expect(guard.input.Close()).To(Succeed())
	guard.mu.Unlock()
	g.Eventually(before, patience).Should(BeClosed())
	g.Eventually(after, patience).Should(BeClosed())
	g.Eventually(guard.dir, patience).ShouldNot(BeADirectory())
}
