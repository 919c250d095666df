package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

func pingWhileBlocked(ctx context.Context, s *subject) (string, error) {
	return s.pingWhile(ctx, 1)
}

func pingWhileManyBlock(ctx context.Context, s *subject) (string, error) {
	return s.pingWhile(ctx, 64)
}

// pingWhile pings while that many invocations block, as many of them in a
// handler as the library runs at once, and then lets go of them.
func (s *subject) pingWhile(ctx context.Context, invocations int) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, invocations)
	for range invocations {
		go func() {
			answer, err := s.order(ctx, `{"do":"block"}`)
			if err == nil && answer != `"released"` {
				err = errors.New("a handler that blocked answered " + answer)
			}
			answers <- err
		}()
	}
	running := min(invocations, cmp.Or(s.handlersAtOnce, invocations))
	if err := s.awaitSigns(ctx, running); err != nil {
		return "", err
	}
	text, err := s.pingWithPatience(ctx)
	if err != nil {
		return "", err
	}
	running += len(s.signs) // more than thought
	if err := s.release(); err != nil {
		return "", err
	}
	for range invocations {
		if err := <-answers; err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d run at once, %s, %d answered later", running, text, invocations), nil
}

// pingWithPatience says which status a ping has, or that there is none.
func (s *subject) pingWithPatience(ctx context.Context) (string, error) {
	hurried, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch p, err := s.ping(hurried); {
	case err == nil:
		return "ping: " + p.Status, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Sprintf("no ping in %s", patience), nil
	default:
		return "", err
	}
}

// webSocket tells how the handshake goes without a handler, and how a
// conversation does, and ends, with one.
func webSocket(ctx context.Context, s *subject) (string, error) {
	refused, err := s.dial(ctx, nil)
	if err != nil {
		return "", err
	}
	answers := []string{refused}
	if _, err := s.order(ctx, `{"do":"serve-websocket"}`); err != nil {
		return "", err
	}
	for _, messages := range [][]string{{"héllo", "session", "close"}, {"raise"}} {
		text, err := s.talk(ctx, messages)
		if err != nil {
			return "", err
		}
		answers = append(answers, text)
	}
	return strings.Join(answers, ", "), nil
}

// dial tells whether a handshake is accepted, or else how it is refused.
func (s *subject) dial(ctx context.Context, header http.Header) (string, error) {
	conn, response, err := websocket.Dial(ctx, s.url+"/ws", &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		return "accepted", conn.CloseNow()
	}
	if response == nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body) // of which Dial keeps the first KB
	return answer{response.StatusCode, response.Header, body}.String(), errors.Join(err, response.Body.Close())
}

// talk sends messages and tells what comes back, and how the agent closes.
func (s *subject) talk(ctx context.Context, messages []string) (string, error) {
	header := http.Header{contract.HeaderSessionID: {"conformance-session"}}
	conn, _, err := websocket.Dial(ctx, s.url+"/ws", &websocket.DialOptions{HTTPHeader: header}) //nolint:bodyclose // there is none
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.CloseNow() }() // closed by the agent, most often
	var answers []string
	for _, message := range messages {
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return "", err
		}
		_, back, err := conn.Read(ctx)
		if closed := (websocket.CloseError{}); errors.As(err, &closed) {
			answers = append(answers, fmt.Sprintf("closed %d %q", closed.Code, closed.Reason))
			break
		}
		if err != nil {
			return "", err
		}
		answers = append(answers, fmt.Sprintf("%q", back))
	}
	return strings.Join(answers, " "), nil
}

// address tells whether the agent is reached at an address of this machine
// that is not the one of loopback.
func address(ctx context.Context, s *subject) (string, error) {
	other, err := otherAddress()
	if err != nil {
		return "", err
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", net.JoinHostPort(other, s.port))
	if err != nil {
		return "127.0.0.1", nil //nolint:nilerr // that it is refused is what is observed
	}
	return "all addresses", conn.Close()
}

func otherAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String(), nil
		}
	}
	return "127.0.0.2", nil // all of 127.0.0.0/8 is this machine, on Linux
}

// sleepUntil waits for a moment to pass: stamps are in whole seconds.
func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nextSecond waits until a stamp made now is another than one made before.
func nextSecond(ctx context.Context) error {
	return sleepUntil(ctx, time.Now().Truncate(time.Second).Add(time.Second+10*time.Millisecond))
}
