package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// atRest is for how many periods an agent is watched before it is called.
	atRest = 3
	// waiting is how long an answer to a ping is waited for. A late one is a breach, and
	// how late it is says more than that it was.
	waiting = 5 * time.Second
	// connecting is how long a connection may take: else nobody is there.
	connecting = 3 * time.Second
	// maxPingHeader bounds the bytes before the body of an answer to a ping, as the operator
	// does, and maxHeader those of a call's.
	maxPingHeader, maxHeader = 4 << 10, 64 << 10
)

// Options say how an agent is watched.
type Options struct {
	// Base is where it is, as http://127.0.0.1:8080.
	Base string
	// Host is what requests name as their host. By default it is localhost with the port of
	// Base, as the platform says it, and that of Base if that is a name.
	Host string
	// Protocol that it speaks; HTTP by default.
	Protocol v1alpha1.ServerProtocol
	// Path that it is called at; the protocol's by default.
	Path string
	// Question that it is asked; the protocol's by default.
	Question lifecycle.Question
	// For is how long it is watched, after the last call if it is called, each of which
	// may take as long. 30 s by default.
	For time.Duration
	// Period is the time between two pings; contract.PingPeriod by default.
	Period time.Duration
	// Slow is from when on an answer to a ping is late: 1.5 s by default, the operator's
	// limit. Wait is how long one is waited for.
	Slow, Wait time.Duration
	// Invoke has it called, twice.
	Invoke bool
	// Payload of the calls; {} by default.
	Payload []byte
	// SessionID that the calls name, and SecondID that the second one does; the same by default.
	SessionID, SecondID string
	// Started is when the agent was started for this; zero if it runs anyway.
	Started time.Time
	// Forwarded tells that Base is forwarded to the agent by what takes connections also where
	// no agent listens.
	Forwarded bool
	// Elsewhere are addresses where an agent on loopback is that listens on all. By
	// default they are this machine's.
	Elsewhere []netip.Addr
}

func (o Options) withDefaults() Options {
	o.For = cmp.Or(o.For, 30*time.Second)
	o.Period = cmp.Or(o.Period, contract.PingPeriod)
	o.Slow = cmp.Or(o.Slow, contract.PingPeriod*3/4)
	o.Wait = cmp.Or(o.Wait, waiting)
	o.SecondID = cmp.Or(o.SecondID, o.SessionID)
	o.Host = cmp.Or(o.Host, hostOf(o.Base))
	o.Protocol = cmp.Or(o.Protocol, v1alpha1.ProtocolHTTP)
	o.Path = cmp.Or(o.Path, lifecycle.ProtocolOf(v1alpha1.ProtocolConfiguration{ServerProtocol: o.Protocol}).Path)
	if o.Protocol == v1alpha1.ProtocolMCP {
		o.Question.MCP = cmp.Or(o.Question.MCP, o.Path)
	}
	return o
}

// watcher watches one agent.
type watcher struct {
	Options
	// asks is for pings, and calls for calls.
	asks, calls *http.Client
	pings       []Ping
}

func newWatcher(o Options) *watcher {
	if o.Payload == nil {
		o.Payload = []byte("{}")
	}
	return &watcher{Options: o.withDefaults(), asks: newClient(maxPingHeader), calls: newClient(maxHeader)}
}

// Watch asks an agent for a while, and calls it if it may. That no agent is there is an
// error; whatever else one does is an observation, also where ctx ends before its time.
func Watch(ctx context.Context, o Options) (Observation, error) {
	w := newWatcher(o)
	seen := Observation{Protocol: w.Protocol, Question: w.Question, Period: w.Period, Slow: w.Slow, OwnPayload: o.Payload != nil}
	first := w.ping(ctx)
	w.pings = []Ping{first}
	if seen.TLS = w.speaksTLS(ctx, first); !seen.TLS { // else there is no more to see
		if err := w.nobody(ctx, first); err != nil {
			return seen, err
		}
		w.askOtherwise(ctx, &seen)
		w.look(ctx, &seen)
	}
	if !w.Started.IsZero() {
		seen.Starts = []Start{{Began: w.Started, Ready: first.Asked.Add(first.Took), Calls: seen.Calls}}
	}
	seen.Pings, seen.Incomplete = w.pings, ctx.Err() != nil
	return seen, nil
}

// nobody is an error if the first ping shows that there is no agent to look at.
func (w *watcher) nobody(ctx context.Context, first Ping) error {
	connects := first.Answer.Failure == lifecycle.FailureConnect
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) //nolint:wrapcheck // the caller's own end
	case first.Unconnected, connects && w.Forwarded:
		return fmt.Errorf("nobody is at %s: %s", w.Base, cmp.Or(first.Answer.Detail, "no connection"))
	case strings.HasPrefix(first.ErrorType, gatewayError):
		return fmt.Errorf("at %s is a gateway, which takes AgentCore's calls, and no agent: give the name of a session, or the address at which the agent itself listens", w.Base)
	}
	return nil
}

// look watches the agent for its time, or until ctx ends.
func (w *watcher) look(ctx context.Context, seen *Observation) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var pinger sync.WaitGroup
	pinger.Go(func() { w.pingOn(asking) })
	seen.Listens = w.listens(ctx)
	if w.Invoke {
		seen.Calls = w.callTwice(ctx)
	}
	pause(ctx, w.For)
	stop()
	pinger.Wait()
}

// newClient goes nowhere else than it is told to, and decodes nothing. A connection is
// for one request.
func newClient(maxHeader int64) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:        (&net.Dialer{Timeout: connecting}).DialContext,
			DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
		},
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// pingOn asks every period until ctx ends. A ping that this cuts off says nothing.
func (w *watcher) pingOn(ctx context.Context) {
	due := time.NewTicker(w.Period)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
		p := w.ping(ctx)
		if ctx.Err() != nil {
			return
		}
		w.pings = append(w.pings, p)
	}
}

func (w *watcher) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.Base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Host = w.Host
	r.Header.Set("User-Agent", "agentsession-lint")
	return r, nil
}

func (w *watcher) ping(ctx context.Context) Ping {
	ctx, cancel := context.WithTimeout(ctx, w.Wait)
	defer cancel()
	p := Ping{Asked: time.Now(), Host: w.Host}
	p.Answer = w.ask(ctx, &p)
	p.Took = time.Since(p.Asked)
	return p
}

// ask asks, and has the operator's rules judge the answer.
func (w *watcher) ask(ctx context.Context, p *Ping) lifecycle.Answer {
	method, path, body := http.MethodGet, contract.PingPath, ""
	if w.Question.MCP != "" {
		method, path, body = http.MethodPost, w.Question.MCP, contract.MCPPing
	}
	r, err := w.request(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return lifecycle.Answer{Failure: lifecycle.FailureProtocol, Detail: lifecycle.Printable(err.Error())}
	}
	if w.Question.MCP != "" {
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := w.asks.Do(r)
	if err != nil {
		p.Unconnected = isDial(err)
		return unanswered(w.Question, err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing to be done about it
	p.Code, p.ContentType = response.StatusCode, lifecycle.Printable(response.Header.Get("Content-Type"))
	p.ErrorType = lifecycle.Printable(response.Header.Get("X-Amzn-ErrorType"))
	return w.judge(response, p)
}

// judge reads the body if it says something: that of a 101 has no end, and deadlines do
// not hold for it.
func (w *watcher) judge(response *http.Response, p *Ping) lifecycle.Answer {
	q, location := w.Question, response.Header.Get("Location")
	if q.MCP != "" && response.StatusCode != http.StatusBadRequest {
		return q.JudgeMCP(response.StatusCode, location, nil) // its body may be a stream
	}
	if response.StatusCode != http.StatusOK && response.StatusCode < http.StatusBadRequest {
		return q.Refused(response.StatusCode, location)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, contract.MaxPingBytes+1))
	p.Body = body[:min(len(body), contract.MaxPingBytes)]
	switch {
	case q.MCP != "":
		return q.JudgeMCP(response.StatusCode, location, body)
	case response.StatusCode != http.StatusOK:
		return q.JudgeRefusal(response.StatusCode, location, body)
	case err != nil:
		return unanswered(q, err)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return q.Encoded(encoding)
	}
	return q.Judge(body) // which takes one that is too large for that
}

// unanswered tells how a request failed that has no whole answer.
func unanswered(q lifecycle.Question, err error) lifecycle.Answer {
	var timeout interface{ Timeout() bool }
	var number syscall.Errno
	switch {
	case errors.As(err, &number): // refused, reset
		return lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: number.Error()}
	case isDial(err):
		return lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: lifecycle.Printable(inner(err))}
	case errors.As(err, &timeout) && timeout.Timeout():
		return lifecycle.Answer{Failure: lifecycle.FailureTimeout}
	case errors.Is(err, io.EOF):
		return lifecycle.Answer{Failure: lifecycle.FailureConnect, Detail: "connection closed without an answer"}
	}
	return lifecycle.Answer{Failure: lifecycle.FailureProtocol, Detail: lifecycle.Printable(fmt.Sprintf("%s was not answered in HTTP/1.1: %s", q, inner(err)))}
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// inner leaves out what http.Client puts before an error.
func inner(err error) string {
	text := err.Error()
	if wrapped := errors.Unwrap(err); wrapped != nil {
		text = wrapped.Error()
	}
	return strings.TrimPrefix(text, "net/http: ")
}
