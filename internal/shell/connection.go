package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// The channels of a shell's frames, by their first byte: those of v5.channel.k8s.io, and
// AgentCore's own.
const (
	channelStdin     = 0
	channelStdout    = 1
	channelStatus    = 3
	channelResize    = 4
	channelHeartbeat = 5
	channelClose     = 255
)

const (
	// maxTexts is AgentCore's bound of text frames in a row.
	maxTexts = 5
	// outputFrame is how much output a frame has, and frameTimeout how long its caller may
	// take for it: until then the shell waits with more than maxReplay.
	outputFrame  = 16 << 10
	frameTimeout = 10 * time.Second
	// pingEvery is how often it is asked whether the caller is there.
	pingEvery = 30 * time.Second
	// statusReplaced closes a connection when another one was opened to its shell.
	statusReplaced websocket.StatusCode = 4000
)

var (
	errTooOld   = errors.New("the connection has lasted as long as it may: come back to the shell by its shellId")
	errTooFast  = fmt.Errorf("more than %d frames came in a second", contract.MaxFrameRate)
	errText     = errors.New("frames must be binary")
	errResize   = errors.New(`a RESIZE frame must be {"width":COLUMNS,"height":ROWS}, each from 1 to 65535`)
	errSaidEnd  = errors.New("the caller has closed the shell")
	errNotThere = errors.New("the caller answers no ping")
)

// Serve serves a caller's connection to a shell with an id, of a session, until end, or
// until it or the shell ends. It returns why.
func (s *Shell) Serve(ctx context.Context, conn *websocket.Conn, id, session string, end time.Time) error {
	return (&connection{conn, s, id, session}).serve(ctx, end)
}

// connection is a caller's to a shell.
type connection struct {
	conn        *websocket.Conn
	shell       *Shell
	id, session string
}

// serve serves it until it or the shell ends.
func (c *connection) serve(ctx context.Context, end time.Time) (why error) {
	bounded, cancel := context.WithDeadlineCause(ctx, end, errTooOld)
	defer cancel()
	within, cancelConn := context.WithCancelCause(bounded)
	defer cancelConn(nil)
	own, again := c.shell.attach(cancelConn)
	defer c.shell.detach(own)
	c.conn.SetReadLimit(contract.MaxFrameBytes)
	var all sync.WaitGroup
	for _, part := range []func() error{
		func() error { return c.send(within, own, again) },
		func() error { return c.receive(within) },
		func() error { return c.ping(within) },
	} {
		all.Go(func() { cancelConn(part()) })
	}
	<-within.Done()
	why = context.Cause(within)
	code, says := closing(why)
	_ = c.conn.Close(code, says) // the caller may have gone
	all.Wait()
	return why
}

// closing is what a connection is closed with.
func closing(why error) (websocket.StatusCode, string) {
	_, exit := errors.AsType[utilexec.ExitError](why)
	switch {
	case errors.Is(why, errReplaced):
		return statusReplaced, why.Error()
	case errors.Is(why, errTooOld), errors.Is(why, errTooFast):
		return websocket.StatusPolicyViolation, why.Error()
	case errors.Is(why, errText):
		return websocket.StatusUnsupportedData, why.Error()
	case errors.Is(why, errResize):
		return websocket.StatusInvalidFramePayloadData, why.Error()
	case exit, stops(why), errors.Is(why, errExited), errors.Is(why, errForgotten), errors.Is(why, errSaidEnd):
		return websocket.StatusNormalClosure, ""
	}
	return websocket.StatusInternalError, "the shell cannot be reached"
}

// send tells the caller which shell he has, all that it writes, and how it ends.
func (c *connection) send(ctx context.Context, own *attachment, again bool) error {
	hello := newStatus("Success")
	hello.Metadata = metadata{c.id, c.session, &again}
	if err := c.tell(ctx, hello); err != nil {
		return err
	}
	for {
		output, err := c.shell.next(ctx, own, outputFrame)
		if err == nil {
			err = c.write(ctx, channelStdout, output)
		} else if ctx.Err() == nil {
			c.shell.forget() // whoever comes back has heard of it
			return errors.Join(err, c.bye(ctx, err))
		}
		if err != nil {
			return err
		}
	}
}

// bye tells how the shell has ended.
func (c *connection) bye(ctx context.Context, why error) error {
	exit, exited := errors.AsType[utilexec.ExitError](why)
	switch {
	case errors.Is(why, errSaidEnd):
		return nil
	case errors.Is(why, errForgotten), stops(why): // the platform's doing
		return c.write(ctx, channelClose, nil)
	case errors.Is(why, errExited):
		return c.tell(ctx, newStatus("Success"))
	}
	failed := newStatus("Failure")
	if exited && exit.Exited() {
		code := strconv.Itoa(exit.ExitStatus())
		failed.Reason, failed.Message = "NonZeroExitCode", "command terminated with exit code "+code
		failed.Details = &details{[]cause{{"ExitCode", code}}}
	} else {
		failed.Reason, failed.Message, failed.Code = "InternalError", "The shell cannot be reached any more", 500
	}
	return c.tell(ctx, failed)
}

// tell sends a STATUS frame.
func (c *connection) tell(ctx context.Context, what status) error {
	payload, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("make a status of a shell: %w", err)
	}
	return c.write(ctx, channelStatus, payload)
}

// write sends a frame. A caller who does not take it is cut.
func (c *connection) write(ctx context.Context, channel byte, payload []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), frameTimeout)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageBinary, append([]byte{channel}, payload...)); err != nil {
		return fmt.Errorf("write to the caller of a shell: %w", err)
	}
	return nil
}

// receive takes what the caller sends.
func (c *connection) receive(ctx context.Context) error {
	pace, texts := rate.NewLimiter(contract.MaxFrameRate, contract.MaxFrameRate), 0
	for {
		kind, frame, err := c.conn.Read(context.WithoutCancel(ctx)) // whose end would close it without a word
		switch {
		case err != nil:
			return fmt.Errorf("read from the caller of a shell: %w", err)
		case !pace.Allow():
			return errTooFast
		case kind == websocket.MessageText:
			if texts++; texts >= maxTexts {
				return errText
			}
			continue
		}
		texts = 0
		if err := c.take(ctx, frame); err != nil {
			return err
		}
	}
}

// take does what a frame says. Channels that are not known are left alone.
func (c *connection) take(ctx context.Context, frame []byte) error {
	if len(frame) == 0 {
		return nil
	}
	channel, payload := frame[0], frame[1:]
	switch channel {
	case channelStdin:
		select {
		case c.shell.input <- payload:
		case <-c.shell.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case channelResize:
		var size remotecommand.TerminalSize
		if err := json.Unmarshal(payload, &size); err != nil || size.Width == 0 || size.Height == 0 {
			return errResize
		}
		c.shell.resize(size)
	case channelHeartbeat:
		return c.write(ctx, channelHeartbeat, nil)
	case channelClose:
		c.shell.finish(errSaidEnd)
	}
	return nil
}

// ping looks whether the caller is there: one who is not would hold the session.
func (c *connection) ping(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pingEvery):
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingEvery)
		err := c.conn.Ping(within)
		cancel()
		if err != nil {
			return errors.Join(errNotThere, err)
		}
	}
}

// status is a STATUS frame: a Status of Kubernetes.
type status struct {
	Kind     string   `json:"kind"`
	Version  string   `json:"apiVersion"`
	Metadata metadata `json:"metadata"`
	Status   string   `json:"status"`
	Reason   string   `json:"reason,omitempty"`
	Message  string   `json:"message,omitempty"`
	Details  *details `json:"details,omitempty"`
	Code     int      `json:"code,omitempty"`
}

// metadata is in the first one: pages of browsers cannot read the head of the answer.
type metadata struct {
	ShellID     string `json:"shellId,omitempty"`
	SessionID   string `json:"sessionId,omitempty"`
	Reconnected *bool  `json:"reconnected,omitempty"`
}

type details struct {
	Causes []cause `json:"causes"`
}

type cause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func newStatus(is string) status {
	return status{Kind: "Status", Version: "v1", Status: is}
}
