package local

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// watching is code that is watched, in a time of the test.
type watching struct {
	*WithT
	clock   *clocktesting.FakeClock
	changed chan []string
	told    map[string]bool
}

func watchIn(t *testing.T, paths ...string) *watching {
	t.Helper()
	w := &watching{NewWithT(t), clocktesting.NewFakeClock(time.Now()), make(chan []string, 10), map[string]bool{}}
	c, err := watchCode(paths, []string{filepath.Join(paths[0], "runtime.yaml"), "absent"}, w.clock)
	w.Expect(err).NotTo(HaveOccurred())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.run(ctx, func(names []string) error {
			w.changed <- names
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		w.Eventually(ended, patience).Should(Receive(BeNil()))
		w.Expect(c.watcher.Close()).To(Succeed())
	})
	return w
}

// tells waits until these are told as changed, whatever else is.
func (w *watching) tells(names ...string) {
	w.Eventually(func() []string {
		w.clock.Step(quiet)
		select {
		case some := <-w.changed:
			for _, name := range some {
				w.told[name] = true
			}
		case <-time.After(time.Millisecond):
		}
		return slices.Collect(maps.Keys(w.told))
	}, patience).Should(ContainElements(names))
}

func write(g *WithT, parts ...string) {
	path := filepath.Join(parts...)
	g.Expect(os.MkdirAll(filepath.Dir(path), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(path, []byte("x"), 0o600)).To(Succeed())
}

// TestChangesOfAFolder: of code, also in folders that are new, and not of what tools and
// editors keep beside it.
func TestChangesOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one.py", "gone.py", "same.py"} {
		write(NewWithT(t), dir, "package", name)
	}
	write(NewWithT(t), dir, "node_modules", "x", "index.js")
	link := filepath.Join(t.TempDir(), "link")
	NewWithT(t).Expect(os.Symlink(dir, link)).To(Succeed())
	write(NewWithT(t), dir, "runtime.yaml")
	w := watchIn(t, link)
	write(w.WithT, dir, "runtime.yaml")
	for _, name := range []string{".git/index", ".main.py.swp", "main.py~", "#main.py#", "4913", "__pycache__/main.pyc", "node_modules/x/index.js", "main.pyc"} {
		write(w.WithT, dir, name)
	}
	write(w.WithT, dir, "package", "one.py")
	write(w.WithT, dir, ".env")
	w.tells("package/one.py", ".env")
	w.Expect(os.Mkdir(filepath.Join(dir, "new"), 0o700)).To(Succeed())
	w.tells("new")
	write(w.WithT, dir, "new", "two.py")
	w.tells("new/two.py")
	w.Expect(os.Remove(filepath.Join(dir, "package", "gone.py"))).To(Succeed())
	w.tells("package/gone.py")
	w.Expect(os.Chmod(filepath.Join(dir, "package", "same.py"), 0o644)).To(Succeed())
	write(w.WithT, dir, "last.py")
	w.tells("last.py")
	w.Expect(w.told).To(HaveLen(6), "all others are no code: %v", w.told)
}

// TestChangesOfAFile: also when an editor puts another in its place, and none of its
// neighbours.
func TestChangesOfAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.py")
	write(NewWithT(t), file)
	w := watchIn(t, file)
	write(w.WithT, dir, "other.py")
	w.Expect(os.Rename(filepath.Join(dir, "other.py"), file)).To(Succeed())
	w.tells("main.py")
	w.Expect(w.told).To(HaveLen(1))
}

// TestChangesAreTakenTogether: when there have been none for a while, and at the latest after
// a longer one.
func TestChangesAreTakenTogether(t *testing.T) {
	g := NewWithT(t)
	events := make(chan fsnotify.Event)
	w := &watching{g, clocktesting.NewFakeClock(time.Now()), make(chan []string, 10), map[string]bool{}}
	c := &code{watcher: &fsnotify.Watcher{Events: events, Errors: make(chan error)}, clock: w.clock, folders: []string{"/src"}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.run(ctx, func(names []string) error {
			w.changed <- names
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended, patience).Should(Receive(BeNil()))
	})
	change := func(name string) {
		events <- fsnotify.Event{Name: "/src/" + name, Op: fsnotify.Write}
		events <- fsnotify.Event{Name: "/src/" + name, Op: fsnotify.Chmod} // when this is taken, the first is done with
	}
	change("a")
	w.clock.Step(quiet - 1)
	change("b")
	change("a")
	w.clock.Step(quiet - 1)
	g.Consistently(w.changed, "50ms").ShouldNot(Receive())
	w.clock.Step(1)
	g.Eventually(w.changed, patience).Should(Receive(Equal([]string{"a", "b"})))
	begun := w.clock.Now()
	for len(w.changed) == 0 {
		change("log")
		w.clock.Step(quiet / 2)
		g.Expect(w.clock.Since(begun)).To(BeNumerically("<", 2*longest), "it writes without a pause")
		time.Sleep(time.Millisecond)
	}
}

// TestWatchedThatIsNot: a path that is missing, and one that nobody meant.
func TestWatchedThatIsNot(t *testing.T) {
	g := NewWithT(t)
	_, err := watchCode([]string{filepath.Join(t.TempDir(), "absent")}, nil, clocktesting.NewFakeClock(time.Now()))
	g.Expect(errors.Is(err, os.ErrNotExist)).To(BeTrue())
	g.Expect(err).To(MatchError(HavePrefix("--watch is ")))
}
