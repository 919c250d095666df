package gateway

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// closeHandshake is how long a caller has to answer the frame that closes his WebSocket.
const closeHandshake = 5 * time.Second

const opcodeClose = 8

// frames finds the frames of a WebSocket (RFC 6455, 5.2) in the bytes that pass.
type frames struct {
	head [10]byte // of the frame that begins, without its mask
	have int
	left uint64 // of the frame that passes
}

// scan calls begin for each frame, with its opcode and the length of its payload. For one
// that begin refuses it returns how much of b comes before it, and what b has behind its head.
func (f *frames) scan(b []byte, begin func(opcode byte, payload uint64) error) (before int, behind []byte, err error) {
	for i := 0; i < len(b); {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)-i))
			f.left -= n
			i += int(n) //nolint:gosec // not more than b has
			continue
		}
		f.head[f.have] = b[i]
		f.have++
		i++
		payload, known := f.payload()
		if !known {
			continue
		}
		before = max(0, i-f.have)
		f.have, f.left = 0, payload
		if masked := f.head[1]&0x80 != 0; masked {
			f.left += 4
		}
		if err := begin(f.head[0]&0xf, payload); err != nil {
			return before, b[i:], err
		}
	}
	return len(b), nil, nil
}

// payload is the length of it, once the head has come that far.
func (f *frames) payload() (length uint64, known bool) {
	if f.have < 2 {
		return 0, false
	}
	switch length := f.head[1] &^ 0x80; length {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:])), f.have == 4
	case 127:
		return binary.BigEndian.Uint64(f.head[2:]) &^ (1 << 63), f.have == 10
	default:
		return uint64(length), true
	}
}

// between tells whether a frame may be put in here.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// boundedSocket writes an answer that becomes a WebSocket, within AgentCore's bounds.
type boundedSocket struct {
	http.ResponseWriter
	broken atomic.Pointer[websocket.CloseError] // the bound that the caller broke, if he did
}

func (w *boundedSocket) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The answer's head is no frame: what is buffered goes to the connection itself.
	return &boundedConn{Conn: conn, pace: rate.NewLimiter(contract.MaxFrameRate, contract.MaxFrameRate), broken: &w.broken}, buffered, nil
}

// Unwrap lets http.ResponseController flush.
func (w *boundedSocket) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// boundedConn is a caller's connection. AgentCore's documentation does not say whether its
// bounds hold for what an agent sends too: here they do not. A caller is told which bound he
// broke, and the agent gets what came before that.
type boundedConn struct {
	net.Conn
	pace   *rate.Limiter
	in     frames
	broken *atomic.Pointer[websocket.CloseError]

	mu     sync.Mutex
	out    frames
	closed bool // by a frame of ours
}

func (c *boundedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	before, behind, broken := c.in.scan(b[:n], func(_ byte, payload uint64) error {
		switch {
		case payload > contract.MaxFrameBytes:
			return websocket.CloseError{Code: websocket.StatusMessageTooBig, Reason: fmt.Sprintf("a frame has %d bytes, and %d are allowed", payload, contract.MaxFrameBytes)}
		case !c.pace.Allow():
			return websocket.CloseError{Code: websocket.StatusPolicyViolation, Reason: fmt.Sprintf("more than %d frames came in a second", contract.MaxFrameRate)}
		}
		return nil
	})
	if broken, ok := errors.AsType[websocket.CloseError](broken); ok {
		c.broken.Store(&broken)
		if c.refuse(broken) {
			c.awaitClose(behind)
		}
		return before, broken
	}
	return n, err
}

// refuse closes the WebSocket. It tells whether the caller was told: he cannot be amid a
// frame of the agent's.
func (c *boundedConn) refuse(why websocket.CloseError) bool {
	_ = c.SetDeadline(time.Now().Add(closeHandshake)) // else the end of the call is the end
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if !c.out.between() {
		return false
	}
	frame := []byte{0x80 | opcodeClose, byte(2 + len(why.Reason))}                        //nolint:gosec // words of ours
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(why.Code)), why.Reason...) //nolint:gosec // a code of 16 bits
	_, err := c.Conn.Write(frame)
	return err == nil
}

// awaitClose reads until the caller closes the WebSocket too: one who is cut while he sends
// may never see why.
func (c *boundedConn) awaitClose(sent []byte) {
	closes := func(opcode byte, _ uint64) error {
		if opcode == opcodeClose {
			return net.ErrClosed
		}
		return nil
	}
	buffer := make([]byte, agentBuffer)
	for {
		if _, _, closed := c.in.scan(sent, closes); closed != nil {
			return
		}
		n, err := c.Conn.Read(buffer)
		if err != nil {
			return
		}
		sent = buffer[:n]
	}
}

// Write passes on what the agent sends, until the WebSocket is closed.
func (c *boundedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return len(b), nil
	}
	n, err := c.Conn.Write(b)
	_, _, _ = c.out.scan(b[:n], func(byte, uint64) error { return nil })
	return n, err
}

// CloseWrite passes on that the agent sends no more.
func (c *boundedConn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if c.closed || !ok {
		return nil
	}
	return half.CloseWrite()
}
