package prober

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
)

// PostHook sends POST without a body to a path of an agent. failure is empty if it was
// answered with 2xx; the answer's body is not read. It is as careful as HTTPPinger, and an
// error is, as there, about this side. ctx needs a deadline.
func PostHook(ctx context.Context, addr netip.AddrPort, path string) (failure string, err error) {
	line := HTTPPinger{}.open(Target{Addr: addr})
	unconnected, err := line.dial(ctx)
	switch {
	case err != nil:
		return "", err
	case unconnected.Failure != "" && unconnected.Detail == "":
		return "no connection in time", nil
	case unconnected.Failure != "":
		return unconnected.Detail, nil
	}
	defer line.Close()
	if _, err := fmt.Fprintf(line.conn, "POST %s HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		path, line.addr.Port(), userAgent); err != nil {
		return "the connection was closed before the request was sent", nil
	}
	reader := newAnswerReader()
	reader.reset(line.conn)
	resp, err := reader.header() //nolint:bodyclose // the connection is closed instead
	switch {
	case err != nil && isTimeout(reader.err):
		return "no answer in time", nil
	case err != nil:
		return "the connection was closed without an answer in HTTP/1.1", nil
	case resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Sprintf("the answer was %d", resp.StatusCode), nil
	}
	return "", nil
}
