package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
)

// serveRaw answers each connection with a text.
func serveRaw(ctx context.Context, listener net.Listener, text string) error {
	closed := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer closed()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil // it was told to end
		}
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// heads keeps what connections send first, as it is spelled.
type heads struct{ net.Listener }

func (h heads) Accept() (net.Conn, error) {
	conn, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headed{Conn: conn}, nil
}

type headed struct {
	net.Conn
	head bytes.Buffer
}

func (h *headed) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if h.head.Len() < 4096 {
		h.head.Write(b[:n])
	}
	return n, err
}

type headKey struct{}

func withHead(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, headKey{}, conn)
}

// headOf is the head of the first request of a connection. It is read before its handler
// runs, and not after.
func headOf(r *http.Request) string {
	conn, _ := r.Context().Value(headKey{}).(*headed)
	head, _, _ := bytes.Cut(conn.head.Bytes(), []byte("\r\n\r\n"))
	return string(head)
}
