package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// watchdog ends the process groups it was told of, and the containers of this node, when its
// input ends, which it does when this process has ended, also by SIGKILL. A shell is on every
// system, and takes a megabyte, where a copy of this program would take dozens.
const watchdog = `trap '' INT TERM HUP
groups=' '
while read -r op group; do
	case $op in
	+) groups="$groups$group " ;;
	-) groups="${groups%% $group *} ${groups#* $group }" ;;
	esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
engine=
[ ! -f "$1/engine" ] || read -r engine <"$1/engine"
rm -rf -- "$1"
[ -n "$engine" ] || exit 0
trap - INT TERM HUP
left=$("$engine" ps --all --quiet --filter "label=$2=$1" 2>/dev/null)
[ -z "$left" ] || "$engine" rm --force --volumes $left >/dev/null 2>&1`

// engineFile, in the guard's folder, has the path of the engine that runs containers, if there
// are any. Their processes are the engine's, and no signal to this one's groups ends them.
const engineFile = "engine"

// anchor holds a process group until a command begins in it, which the watchdog knows of by
// then. If this process ends before, so does the anchor.
const anchor = `read -r _`

// group is the processes of an agent: a process group, and the one that the agent's first
// process may make for itself.
type group struct {
	id, first int
	// holder has ended, and is not waited for as long as the group is used: its number is the
	// group's, and nobody else gets it.
	holder *exec.Cmd
}

// ids are those that processes of the group may have for their process group.
func (g group) ids() []int {
	if g.first == 0 { // it was not started
		return []int{g.id}
	}
	return []int{g.id, g.first}
}

func (g group) signal(signal syscall.Signal) {
	for _, id := range g.ids() {
		_ = syscall.Kill(-id, signal) // mostly there is one, and it may have ended
	}
}

// again is how long after the start of a watchdog the next is started, if that ended by
// itself.
const again = time.Second

// guard has no process outlive this one.
type guard struct {
	// dir is for temporary files. It goes with this process, too.
	dir string

	mu       sync.Mutex
	groups   map[int]bool // that the watchdog is to know
	watchdog *exec.Cmd
	input    io.WriteCloser // of the watchdog
	closed   bool
	ends     sync.WaitGroup // of all watchdogs
}

func newGuard() (*guard, error) {
	dir, err := os.MkdirTemp("", "agentsession-local-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for temporary files: %w", err)
	}
	g := &guard{dir: dir, groups: map[int]bool{}}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.begin(); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return g, nil
}

// begin starts a watchdog that knows all groups, in the place of one that somebody has
// killed, if there was one.
func (g *guard) begin() error {
	command := exec.Command("/bin/sh", "-c", watchdog, "sh", g.dir, containerLabel) //nolint:noctx,gosec // it ends when its input does
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}                        // what the terminal sends is not for it
	input, err := command.StdinPipe()
	if err != nil {
		return fmt.Errorf("make the watchdog's input: %w", err)
	}
	started := time.Now()
	if err := command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the watchdog: %w", err), input.Close())
	}
	g.watchdog, g.input = command, input
	g.ends.Go(func() {
		_ = command.Wait() // it has nothing to say
		g.replace(command, started.Add(again))
	})
	for group := range g.groups {
		if _, err := fmt.Fprintln(input, "+", group); err != nil {
			return fmt.Errorf("tell the watchdog: %w", err)
		}
	}
	return nil
}

// replace starts another watchdog if one has ended that should not have.
func (g *guard) replace(ended *exec.Cmd, notBefore time.Time) {
	g.mu.Lock()
	gone := g.watchdog == ended && !g.closed
	g.mu.Unlock()
	if !gone {
		return
	}
	time.Sleep(time.Until(notBefore)) // it may end again
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watchdog == ended && !g.closed {
		_ = g.begin() // the next process tries again, and says why it fails
	}
}

// send tells the watchdog, or another if it has gone.
func (g *guard) send(op string, group int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if op == "+" {
		g.groups[group] = true
	} else {
		delete(g.groups, group)
	}
	if _, err := fmt.Fprintln(g.input, op, group); err != nil {
		return g.begin()
	}
	return nil
}

// start starts a command in a process group of its own. No shell comes between: one would
// drop variables of the environment whose names it cannot have, as a.b.
func (g *guard) start(command *exec.Cmd) (group, error) {
	holder := exec.Command("/bin/sh", "-c", anchor) //nolint:noctx // it ends when its input does
	holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := holder.StdinPipe()
	if err != nil {
		return group{}, fmt.Errorf("make the input of its group's first process: %w", err)
	}
	if err := holder.Start(); err != nil {
		return group{}, errors.Join(fmt.Errorf("start its group: %w", err), input.Close())
	}
	started := group{id: holder.Process.Pid, holder: holder}
	if err = g.send("+", started.id); err == nil {
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: started.id}
		err = command.Start()
	}
	_ = input.Close()
	if err == nil {
		started.first = command.Process.Pid
		if err = g.send("+", started.first); err != nil {
			err = errors.Join(err, command.Process.Kill(), command.Wait())
		}
	}
	if err != nil {
		g.ended(started)
		return group{}, fmt.Errorf("start the command: %w", err)
	}
	return started, nil
}

// ended ends what is left of a group whose first process has ended.
func (g *guard) ended(all group) {
	all.signal(syscall.SIGKILL)
	_ = all.holder.Wait() // it has nothing to say
	for _, id := range all.ids() {
		_ = g.send("-", id) // a watchdog that is gone needs to know nothing
	}
}

// close ends the watchdog, and with it all that still runs.
func (g *guard) close() error {
	g.mu.Lock()
	g.closed = true
	_ = g.input.Close() // it is closed if the watchdog has gone
	g.mu.Unlock()
	g.ends.Wait()
	if err := os.RemoveAll(g.dir); err != nil {
		return fmt.Errorf("remove temporary files: %w", err)
	}
	return nil
}
