package gateway

import (
	"bytes"
	"net"
)

// oneHost is a listener for callers who say twice which host they mean, as AWS's SDK for
// Python does where it opens a WebSocket with a signed head: net/http refuses that.
type oneHost struct{ net.Listener }

// Accept is that of the listener.
func (l oneHost) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstHead{Conn: conn}, nil
}

// firstHead is a connection, in the first head of which the same host stands once. A
// WebSocket's head is the first of its connection.
type firstHead struct {
	net.Conn
	held   []byte // of the head, until it is whole
	passes bool
}

// CloseWrite has net/http end what it says to a caller whom it no longer reads: a connection
// that is just closed is reset, and takes the answer with it.
func (c *firstHead) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

var endOfHead = []byte("\r\n\r\n")

func (c *firstHead) Read(b []byte) (int, error) {
	for !c.passes {
		n, err := c.Conn.Read(b)
		from := max(0, len(c.held)-len(endOfHead)+1)
		c.held = append(c.held, b[:n]...)
		whole := bytes.Contains(c.held[from:], endOfHead)
		if whole {
			c.held = sameHostOnce(c.held)
		}
		c.passes = whole || err != nil || len(c.held) > maxHeaders
		if err != nil && len(c.held) == 0 {
			return 0, err
		}
	}
	if len(c.held) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.held)
	if c.held = c.held[n:]; len(c.held) == 0 {
		c.held = nil // so that its memory is not kept
	}
	return n, nil
}

// sameHostOnce drops lines of a head that are the Host that it has already. Others are
// left for net/http to refuse.
func sameHostOnce(request []byte) []byte {
	end := bytes.Index(request, endOfHead)
	var host []byte
	var lines [][]byte
	for i, line := range bytes.Split(request[:end], []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if i > 0 && bytes.EqualFold(name, []byte("Host")) {
			value = bytes.TrimSpace(value)
			if host != nil && bytes.Equal(host, value) {
				continue
			}
			host = value
		}
		lines = append(lines, line)
	}
	return append(bytes.Join(lines, []byte("\r\n")), request[end:]...)
}
