package local

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	notes   chan string
	code    *code
}

func watchIn(t *testing.T, paths ...string) *watching {
	t.Helper()
	return watchAtMost(t, mostFolders, paths...)
}

func watchAtMost(t *testing.T, most int, paths ...string) *watching {
	t.Helper()
	w := &watching{NewWithT(t), clocktesting.NewFakeClock(time.Now()), make(chan []string, 10), map[string]bool{}, make(chan string, 10), nil}
	c, err := watchCode(paths, []string{filepath.Join(paths[0], "runtime.yaml"), "absent"}, w.clock)
	w.Expect(err).NotTo(HaveOccurred())
	w.code, c.most = c, most
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.run(ctx, func(names []string) error {
			w.changed <- names
			return nil
		}, func(text string) { w.notes <- text })
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
	for _, name := range []string{".git/index", ".main.py.swp", "main.py~", "#main.py#", "4913", "__pycache__/main.pyc", "node_modules/x/index.js", "main.pyc", "agent.log", "agent.log.1", "sessions.db-wal", "agent.pid"} {
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

// TestItsOwnOutput is no code, whatever it is redirected to.
func TestItsOwnOutput(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	out, err := os.Create(filepath.Join(dir, "run.out"))
	g.Expect(err).NotTo(HaveOccurred())
	defer out.Close()
	write(g, dir, "main.py")
	c, err := watchCode([]string{dir}, nil, clocktesting.NewFakeClock(time.Now()))
	g.Expect(err).NotTo(HaveOccurred())
	defer c.watcher.Close()
	c.leaveOut(out)
	root := c.roots[0].path
	g.Expect(c.taken(fsnotify.Event{Name: filepath.Join(root, "run.out"), Op: fsnotify.Write})).To(BeEmpty())
	g.Expect(c.taken(fsnotify.Event{Name: filepath.Join(root, "main.py"), Op: fsnotify.Write})).To(HaveLen(1))
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
	w := &watching{WithT: g, clock: clocktesting.NewFakeClock(time.Now()), changed: make(chan []string, 10)}
	c := &code{watcher: &fsnotify.Watcher{Events: events, Errors: make(chan error)}, clock: w.clock, roots: []*root{{path: "/src", deep: true}}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.run(ctx, func(names []string) error {
			w.changed <- names
			return nil
		}, nil)
	}()
	t.Cleanup(func() {
		stop()
		g.Eventually(ended, patience).Should(Receive(BeNil()))
	})
	change := func(name string) {
		for _, op := range []fsnotify.Op{fsnotify.Write, fsnotify.Chmod} { // when this is taken, the first is done with
			g.Eventually(events, patience).Should(BeSent(fsnotify.Event{Name: "/src/" + name, Op: op}))
		}
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

// TestFilesThatGitIgnores make no version, but for .env.
func TestFilesThatGitIgnores(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	out, err := exec.Command("git", "-C", dir, "init").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	g.Expect(os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("out/\n*.csv\n.env\n"), 0o600)).To(Succeed())
	w := watchIn(t, dir)
	write(w.WithT, dir, "out", "answer.json")
	write(w.WithT, dir, "data.csv")
	write(w.WithT, dir, ".env")
	write(w.WithT, dir, "last.py")
	w.tells(".env", "last.py")
	w.Expect(w.told).To(HaveLen(2), "git ignores the others: %v", w.told)
}

// TestFoldersThatGo make room for others.
func TestFoldersThatGo(t *testing.T) {
	dir := t.TempDir()
	w := watchAtMost(t, 3, dir)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.Expect(os.MkdirAll(filepath.Join(dir, name, "below"), 0o700)).To(Succeed())
		w.Eventually(w.code.watcher.WatchList, patience).Should(HaveLen(3))
		write(w.WithT, dir, name, "main.py")
		w.tells(name + "/main.py")
		w.Expect(os.RemoveAll(filepath.Join(dir, name))).To(Succeed())
		w.Eventually(w.code.watcher.WatchList, patience).Should(HaveLen(1))
	}
	w.Expect(w.notes).NotTo(Receive())
	w.Expect(os.MkdirAll(filepath.Join(dir, "x", "y", "z"), 0o700)).To(Succeed())
	w.Eventually(w.notes, patience).Should(Receive(ContainSubstring("there are more than 3 folders")))
}

// TestAFolderThatWasFoundAlready: its own event, which comes after the walk through the folder
// above has found it, does not count it again.
func TestAFolderThatWasFoundAlready(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	below := filepath.Join(dir, "a", "below")
	g.Expect(os.MkdirAll(below, 0o700)).To(Succeed())
	c, err := watchCode([]string{dir}, nil, clocktesting.NewFakeClock(time.Now()))
	g.Expect(err).NotTo(HaveOccurred())
	defer c.watcher.Close()
	c.most = 3
	g.Expect(c.taken(fsnotify.Event{Name: below, Op: fsnotify.Create})).To(HaveLen(1))
	g.Expect(c.notes).To(BeEmpty())
	g.Expect(c.watcher.WatchList()).To(HaveLen(3))
	g.Expect(os.Mkdir(filepath.Join(below, "more"), 0o700)).To(Succeed())
	g.Expect(c.taken(fsnotify.Event{Name: filepath.Join(below, "more"), Op: fsnotify.Create})).To(HaveLen(1))
	g.Expect(c.notes).To(ContainElement(ContainSubstring("there are more than 3 folders")))
}

// TestAFolderThatIsReplaced, as by git or by who makes it anew, is watched again.
func TestAFolderThatIsReplaced(t *testing.T) {
	for name, replace := range map[string]func(g *WithT, parent, dir string){
		"made anew": func(g *WithT, _, dir string) {
			g.Expect(os.RemoveAll(dir)).To(Succeed())
			g.Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		},
		"moved away": func(g *WithT, _, dir string) {
			g.Expect(os.Rename(dir, dir+".old")).To(Succeed())
			g.Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		},
		"moved with its parent": func(g *WithT, parent, dir string) {
			g.Expect(os.Rename(parent, parent+".old")).To(Succeed())
			g.Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			parent := filepath.Join(t.TempDir(), "parent")
			dir := filepath.Join(parent, "code")
			write(g, dir, "package", "old.py")
			w := watchIn(t, dir)
			replace(g, parent, dir)
			w.tells("code")
			w.Expect(os.Mkdir(filepath.Join(dir, "below"), 0o700)).To(Succeed())
			w.tells("below")
			write(w.WithT, dir, "below", "new.py")
			w.tells("below/new.py")
		})
	}
}

// TestAFolderThatCannotBeWatched is told, and the others are watched. (Root may read
// everything; nobody may have a path of more than 4,096 bytes.)
func TestAFolderThatCannotBeWatched(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	top, err := os.OpenRoot(dir)
	g.Expect(err).NotTo(HaveOccurred())
	defer top.Close()
	g.Expect(top.MkdirAll(strings.Repeat(strings.Repeat("long", 50)+"/", 21), 0o700)).To(Succeed())
	write(g, dir, "zz", "main.py")
	w := watchIn(t, dir)
	w.Eventually(w.notes, patience).Should(Receive(And(HavePrefix("--watch: changes in 1 of its folders make no version"), ContainSubstring("file name too long"))))
	write(w.WithT, dir, "zz", "main.py")
	w.tells("zz/main.py")
}

// TestWatchedThatIsNot: a path that is missing, and one that nobody meant.
func TestWatchedThatIsNot(t *testing.T) {
	g := NewWithT(t)
	_, err := watchCode([]string{filepath.Join(t.TempDir(), "absent")}, nil, clocktesting.NewFakeClock(time.Now()))
	g.Expect(errors.Is(err, os.ErrNotExist)).To(BeTrue())
	g.Expect(err).To(MatchError(HavePrefix("--watch is ")))
}
