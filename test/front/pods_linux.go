package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/internal/gateway"
)

// Pods serves pods/exec (v5.channel.k8s.io) as an API server with nodes does: what is to
// run in a pod runs on this machine, on a terminal if it is asked for. As there, nothing is
// killed when whoever asked has gone.
type Pods struct {
	server *httptest.Server
	home   string
}

// NewPods serves it until Close, with a home directory for what runs.
func NewPods(home string) *Pods {
	p := &Pods{home: home}
	p.server = httptest.NewServer(http.HandlerFunc(p.exec))
	return p
}

// Close ends the connections, and not what runs.
func (p *Pods) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Run has a gateway run commands there.
func (p *Pods) Run(o *gateway.Options) { o.Cluster = &rest.Config{Host: p.server.URL} }

// The channels of v5.channel.k8s.io.
const (
	stdin  = 0
	stdout = 1
	status = 3
	resize = 4
	closes = 255
)

func (p *Pods) exec(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !strings.HasSuffix(r.URL.Path, "/exec") || len(query["command"]) == 0 {
		http.NotFound(w, r)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v5.channel.k8s.io"}})
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()                                                 //nolint:errcheck // it is over
	command := exec.Command(query["command"][0], query["command"][1:]...) //nolint:gosec,noctx // it outlives its caller
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "PS1=$ ", "TERM=dumb", "HISTFILE="}
	answer := metav1.Status{Status: metav1.StatusSuccess}
	if err := run(context.WithoutCancel(r.Context()), conn, command, query.Get("tty") == "true"); err != nil {
		answer = failed(err)
	}
	raw, err := json.Marshal(answer)
	if err == nil {
		err = conn.Write(r.Context(), websocket.MessageBinary, append([]byte{status}, raw...))
	}
	if err == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "") // whoever asked may have gone
	}
}

func failed(err error) metav1.Status {
	exit, is := errors.AsType[*exec.ExitError](err)
	if !is {
		return metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
	}
	code := exit.ExitCode()
	if signal, is := exit.Sys().(syscall.WaitStatus); is && signal.Signaled() {
		code = 128 + int(signal.Signal())
	}
	return metav1.Status{
		Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: "command terminated with non-zero exit code",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(code)}}},
	}
}

// run runs a command to its end, with what comes and goes on a connection.
func run(ctx context.Context, conn *websocket.Conn, command *exec.Cmd, tty bool) error {
	var in io.WriteCloser
	var out io.ReadCloser
	var err error
	size := func(unix.Winsize) {}
	if tty {
		terminal, line, err := openTerminal()
		if err != nil {
			return err
		}
		defer line.Close() //nolint:errcheck // it is the command's
		command.Stdin, command.Stdout, command.Stderr = line, line, line
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		in, out = terminal, terminal
		size = func(size unix.Winsize) { _ = unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &size) } // it may have ended
	} else {
		if in, err = command.StdinPipe(); err != nil {
			return fmt.Errorf("make its input: %w", err)
		}
		if out, err = command.StdoutPipe(); err != nil {
			return fmt.Errorf("make its output: %w", err)
		}
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start it: %w", err)
	}
	var written sync.WaitGroup
	written.Go(func() { writeAll(ctx, conn, out) })
	go func() {
		readAll(ctx, conn, in, size)
		if !tty { // a terminal has no end
			_ = in.Close() // it may have ended
		}
	}()
	if tty {
		err = command.Wait()
		_ = command.Stdin.(io.Closer).Close() //nolint:forcetypeassert // a terminal's line, whose reader hears of it
		written.Wait()
		_ = out.Close() // it is over
		return err
	}
	written.Wait()
	return command.Wait()
}

// writeAll sends what a command writes.
func writeAll(ctx context.Context, conn *websocket.Conn, out io.Reader) {
	b := make([]byte, 4<<10)
	for {
		n, err := out.Read(b)
		if n > 0 {
			_ = conn.Write(ctx, websocket.MessageBinary, append([]byte{stdout}, b[:n]...)) // whoever asked may have gone
		}
		if err != nil {
			return
		}
	}
}

// readAll gives a command what comes for it, until its input ends.
func readAll(ctx context.Context, conn *websocket.Conn, in io.Writer, size func(unix.Winsize)) {
	for {
		_, frame, err := conn.Read(ctx)
		switch {
		case err != nil, len(frame) == 2 && frame[0] == closes && frame[1] == stdin:
			return
		case len(frame) > 1 && frame[0] == stdin:
			_, _ = in.Write(frame[1:]) // it may have ended
		case len(frame) > 1 && frame[0] == resize:
			var to struct{ Width, Height uint16 }
			if json.Unmarshal(frame[1:], &to) == nil {
				size(unix.Winsize{Col: to.Width, Row: to.Height})
			}
		}
	}
}

// openTerminal makes a terminal, and its other end for a command.
func openTerminal() (terminal, line *os.File, err error) {
	terminal, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		line, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a terminal: %w", err), terminal.Close())
	}
	return terminal, line, nil
}
