package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheSameHostStandsOnce(t *testing.T) {
	for name, row := range map[string]struct{ request, want string }{
		"once":             {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"},
		"twice":            {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost:a \r\nZ: y\r\n\r\nbody", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: y\r\n\r\nbody"},
		"two":              {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		"two, and one":     {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nHost: a\r\n\r\n"},
		"none":             {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"},
		"with a space":     {"GET / HTTP/1.1\r\nHost: a\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost : a\r\n\r\n"},
		"in a body":        {"POST / HTTP/1.1\r\nHost: a\r\n\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\nHost: a\r\n\r\n"},
		"in what is asked": {"Host: a\r\nHost: a\r\n\r\n", "Host: a\r\nHost: a\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(string(sameHostOnce([]byte(row.request)))).To(Equal(row.want))
		})
	}
}

// What is sent bit by bit, and what comes after the first head, is as it was sent.
func TestAConnectionIsReadAsItIs(t *testing.T) {
	g := NewWithT(t)
	client, server := net.Pipe()
	conn := &firstHead{Conn: server}
	go func() {
		for _, part := range []string{"GET / HTTP/1.1\r\nHo", "st: a\r\nHost: a\r", "\n\r\nfirst", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"} {
			_, _ = client.Write([]byte(part)) // a pipe of this test
		}
		_ = client.Close()
	}()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Host).To(Equal("a"))
	rest, err := io.ReadAll(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(rest)).To(Equal("firstGET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"))

	for _, sent := range []string{"", "GET / HTTP/1.1\r\nHost"} { // it ends before its head does
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write([]byte(sent)) // as above
			_ = client.Close()
		}()
		got, err := io.ReadAll(&firstHead{Conn: server})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(got)).To(Equal(sent))
	}
}
