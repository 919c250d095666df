package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// watchdog ends the process groups it was told of when its input ends, which it does
// when this process has ended, also by SIGKILL. A shell is on every system, and takes a
// megabyte, where a copy of this program would take dozens.
const watchdog = `trap '' INT TERM HUP
groups=' '
while read -r op group; do
	case $op in
	+) groups="$groups$group " ;;
	-) groups="${groups%% $group *} ${groups#* $group }" ;;
	esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
rm -rf -- "$1"`

// waiting becomes the command, in the same process, when it is told to: after the
// watchdog knows of it. If this process ends before, it ends too.
const waiting = `read -r _ || exit 1
exec "$@" </dev/null`

// guard has no process outlive this one.
type guard struct {
	command *exec.Cmd

	// dir is for temporary files. It goes with this process, too.
	dir string

	mu    sync.Mutex
	input io.WriteCloser
}

func newGuard() (*guard, error) {
	dir, err := os.MkdirTemp("", "agentsession-local-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for temporary files: %w", err)
	}
	command := exec.Command("/bin/sh", "-c", watchdog, "sh", dir) //nolint:noctx,gosec // it ends when its input does
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}      // what the terminal sends is not for it
	input, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make the watchdog's input: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &guard{command: command, dir: dir, input: input}, nil
}

func (g *guard) tell(op string, group int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := fmt.Fprintln(g.input, op, group); err != nil {
		return fmt.Errorf("tell the watchdog: %w", err)
	}
	return nil
}

// start starts a command as the leader of a process group of its own.
func (g *guard) start(command *exec.Cmd) error {
	command.Args = append([]string{"sh", "-c", waiting, "sh"}, command.Args...)
	command.Path = "/bin/sh"
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begin, err := command.StdinPipe()
	if err != nil {
		return fmt.Errorf("make its input: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start it: %w", err)
	}
	err = g.tell("+", command.Process.Pid)
	if err == nil {
		_, err = fmt.Fprintln(begin)
	}
	if err != nil {
		return errors.Join(err, syscall.Kill(-command.Process.Pid, syscall.SIGKILL), command.Wait())
	}
	return nil
}

// ended ends what is left of a group whose leader has ended.
func (g *guard) ended(group int) {
	_ = syscall.Kill(-group, syscall.SIGKILL) // mostly nobody is left
	_ = g.tell("-", group)                    // a watchdog that is gone needs to know nothing
}

// close ends the watchdog, and with it all that still runs.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.input.Close(), g.command.Wait())
}
