package prober

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestPostHook: what an agent answers to a hook, and how little of it is read.
func TestPostHook(t *testing.T) {
	for what, row := range map[string]struct{ answer, failure string }{
		"200":                {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwarm!", ""},
		"204":                {"HTTP/1.1 204 No Content\r\n\r\n", ""},
		"after 100":          {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""},
		"a body without end": {"HTTP/1.1 200 OK\r\n\r\nand so on", ""},
		"302":                {"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "the answer was 302"},
		"101":                {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the answer was 101"},
		"500":                {"HTTP/1.1 500 Oh\r\n\r\n", "the answer was 500"},
		"nothing":            {"", "the connection was closed without an answer in HTTP/1.1"},
		"no HTTP":            {"hello\r\n\r\n", "the connection was closed without an answer in HTTP/1.1"},
		"too much":           {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeader), "the connection was closed without an answer in HTTP/1.1"},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			g.Expect(err).NotTo(HaveOccurred())
			defer listener.Close()
			got := make(chan *http.Request, 1)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				r, _ := http.ReadRequest(bufio.NewReader(conn))
				got <- r
				_, _ = conn.Write([]byte(row.answer))
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			failure, err := PostHook(ctx, netip.MustParseAddrPort(listener.Addr().String()), "/warm-up")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(failure).To(Equal(row.failure))
			r := <-got
			g.Expect([]any{r.Method, r.URL.Path, r.ContentLength}).To(Equal([]any{"POST", "/warm-up", int64(0)}))
		})
	}
	failure, err := PostHook(t.Context(), netip.MustParseAddrPort("169.254.169.254:80"), "/")
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(failure).To(ContainSubstring("not an address of a pod"))
}
