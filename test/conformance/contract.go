package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// patience is after how long what does not happen counts as not happening.
const patience = 5 * time.Second

// contractChecks are those of what an agent serves.
func contractChecks() []check {
	return append([]check{
		{
			id: "1", name: "GET /ping", observe: play("GET /ping"),
			want: `200 application/json {"status":"Healthy","time_of_last_update":"…"}`,
		},
		{
			id: "2", name: "10 pings in 5 s without a change", observe: stampIsStable,
			want: "one stamp",
		},
		{
			id: "3", name: "POST /ping, GET /invocations", observe: play("POST /ping", "GET /invocations"),
			want: "405 text/plain; charset=utf-8 Method Not Allowed, 405 text/plain; charset=utf-8 Method Not Allowed",
		},
		{
			id: "4", name: "POST /invocations without Content-Type, as text, as bytes", observe: anyContentType,
			want: "200 application/json [1], 200 application/json [1], 200 application/json [1]",
		},
		{
			id: "5", name: "malformed JSON", observe: posts(`{bad`),
			want: `400 application/json {"details":"…","error":"Invalid JSON"}`,
		},
		{
			id: "6", name: "empty body", observe: posts(""),
			want: `400 application/json {"details":"…","error":"Invalid JSON"}`,
		},
		{
			id: "7", name: `handler fails with "boom"`, observe: posts(`{"do":"raise","text":"boom"}`),
			want: `500 application/json {"error":"boom"}`,
		},
		{
			id: "8", name: "no entrypoint", mode: "bare", observe: posts(`{}`),
			want: `500 application/json {"error":"No entrypoint defined"}`,
		},
		{
			id: "9", name: "handler returns null, or a string",
			observe: posts(`{"do":"echo","value":null}`, `{"do":"echo","value":"héllo <b>&"}`),
			want:    `200 application/json null, 200 application/json "héllo <b>&"`,
		},
		{
			id: "10", name: "stream of 3 chunks, the 2nd made after the 1st was read", mode: "async", observe: stream,
			want: `200 text/event-stream; charset=utf-8 data: {"chunk":1}, data: {"chunk":2}, data: {"chunk":3}, end`,
		},
		{
			id: "11", name: "stream that fails after 2 chunks", observe: streamError,
			want: `200 text/event-stream; charset=utf-8 data: {"chunk":1}, data: {"chunk":2}, ` +
				`data: {"error":"mid","error_type":"RuntimeError","message":"An error occurred during streaming"}, end`,
			ours: `200 text/event-stream; charset=utf-8 data: {"chunk":1}, data: {"chunk":2}, ` +
				`data: {"error":"mid","error_type":"*errors.errorString","message":"An error occurred during streaming"}, end`,
			why: "error_type names the type of the error in the agent's language",
		},
	}, requestChecks()...)
}

// requestChecks are those of what a handler is told, and of many at once.
func requestChecks() []check {
	return []check{
		{
			id: "12", name: "session header given, absent", observe: sessionHeader,
			want: `"conformance-session", null`,
		},
		{
			id: "13", name: "request id given, absent; in the log", observe: requestID,
			want: `given: "conformance-request", in the log too, absent: a UUID, in the log too`,
		},
		{
			id: "14", name: "headers that the handler sees, of those sent", observe: forwardedHeaders,
			want: "authorization, x-amzn-bedrock-agentcore-runtime-custom-foo, x-my",
		},
		{
			id: "15", name: "both token headers, the old, the new", observe: tokens,
			want: `"new", "old", "new"`,
		},
		{
			id: "16", name: "ping while a handler blocks", mode: "async", observe: pingWhileBlocked,
			want: "1 run at once, ping: Healthy, 1 answered later",
		},
		{
			id: "17", name: "ping while 64 handlers block", observe: pingWhileManyBlock,
			want: "40 run at once, no ping in 5s, 64 answered later",
			ours: "64 run at once, ping: Healthy, 64 answered later",
			why:  "in Python pings wait behind 40 blocking handlers; with us they wait for nobody",
		},
		{
			id: "18", name: "/ws without handler; echo; close; handler fails", observe: webSocket,
			want: `403 text/plain; charset=utf-8, "héllo" "conformance-session" closed 1000 "", closed 1011 ""`,
			ours: `403 application/json {"error":"No WebSocket handler defined"}, ` +
				`"héllo" "conformance-session" closed 1000 "", closed 1011 ""`,
			why: "the refusal says why",
		},
		{
			id: "19", name: "default address outside Docker", mode: "address", observe: address,
			want: "127.0.0.1",
			ours: "all addresses",
			why:  "in Kubernetes there is no mark of Docker, and an agent on loopback cannot be reached",
		},
	}
}

func stampIsStable(ctx context.Context, s *subject) (string, error) {
	stamps := map[int64]bool{}
	for next := time.Now(); len(stamps) <= 1 && next.Before(s.ready.Add(5*time.Second)); next = next.Add(500 * time.Millisecond) {
		if err := sleepUntil(ctx, next); err != nil {
			return "", err
		}
		p, err := s.ping(ctx)
		if err != nil {
			return "", err
		}
		stamps[p.Stamp] = true
	}
	if len(stamps) != 1 {
		return fmt.Sprintf("stamps %v", slices.Sorted(maps.Keys(stamps))), nil
	}
	return "one stamp", nil
}

func anyContentType(ctx context.Context, s *subject) (string, error) {
	var answers []string
	for _, contentType := range []string{"", "text/plain", "application/octet-stream"} {
		header := http.Header{}
		if contentType != "" {
			header.Set("Content-Type", contentType)
		}
		a, err := s.do(ctx, http.MethodPost, "/invocations", `[1]`, header)
		if err != nil {
			return "", err
		}
		answers = append(answers, a.String())
	}
	return strings.Join(answers, ", "), nil
}

func stream(ctx context.Context, s *subject) (string, error) {
	return s.readStream(ctx, `{"do":"stream"}`, s.release)
}

func streamError(ctx context.Context, s *subject) (string, error) {
	return s.readStream(ctx, `{"do":"stream-error"}`, func() error { return nil })
}

// readStream calls afterFirst when it has read the first event.
func (s *subject) readStream(ctx context.Context, payload string, afterFirst func() error) (string, error) {
	response, err := s.open(ctx, http.MethodPost, "/invocations", payload, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // which fails if it was not read to its end
	body := bufio.NewReader(response.Body)
	first, err := readEvent(body)
	if err != nil {
		return "", fmt.Errorf("the first event: %w", err)
	}
	if err := afterFirst(); err != nil {
		return "", err
	}
	others, err := readEvents(body)
	if err != nil {
		return "", err
	}
	events := append([]string{first}, others...)
	return fmt.Sprintf("%d %s %s, end", response.StatusCode, response.Header.Get("Content-Type"), strings.Join(events, ", ")), nil
}

// told is what a handler is told of its request.
type told struct {
	Session *string           `json:"session"`
	Request *string           `json:"request"`
	Headers map[string]string `json:"headers"`
	Token   *string           `json:"token"`
}

func (s *subject) ask(ctx context.Context, payload string, header http.Header) (told, error) {
	a, err := s.do(ctx, http.MethodPost, "/invocations", payload, header)
	if err != nil {
		return told{}, err
	}
	var t told
	if err := json.Unmarshal(a.body, &t); err != nil || a.code != http.StatusOK {
		return told{}, fmt.Errorf("the order %s was answered with %s", payload, a)
	}
	return t, nil
}

func quoted(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}

func sessionHeader(ctx context.Context, s *subject) (string, error) {
	with, err := s.ask(ctx, `{"do":"context"}`, http.Header{contract.HeaderSessionID: {"conformance-session"}})
	if err != nil {
		return "", err
	}
	without, err := s.ask(ctx, `{"do":"context"}`, nil)
	return quoted(with.Session) + ", " + quoted(without.Session), err
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func requestID(ctx context.Context, s *subject) (string, error) {
	given, err := s.requestID(ctx, "given", http.Header{contract.HeaderRequestID: {"conformance-request"}})
	if err != nil {
		return "", err
	}
	absent, err := s.requestID(ctx, "absent", nil)
	return "given: " + given + ", absent: " + absent, err
}

// requestID tells what id the handler sees, and whether its lines in the log
// have it.
func (s *subject) requestID(ctx context.Context, line string, header http.Header) (string, error) {
	t, err := s.ask(ctx, fmt.Sprintf(`{"do":"log","text":%q}`, line), header)
	if err != nil {
		return "", err
	}
	lines, err := s.log.upTo(ctx, line)
	if err != nil {
		return "", err
	}
	kind := quoted(t.Request)
	if t.Request != nil && uuid.MatchString(*t.Request) {
		kind = "a UUID"
	}
	if logged := lines[len(lines)-1].RequestID; t.Request == nil || logged != *t.Request {
		return fmt.Sprintf("%s, in the log %q", kind, logged), nil
	}
	return kind + ", in the log too", nil
}

func forwardedHeaders(ctx context.Context, s *subject) (string, error) {
	t, err := s.ask(ctx, `{"do":"context"}`, http.Header{
		"Authorization":                     {"Bearer x"},
		contract.HeaderCustomPrefix + "Foo": {"x"},
		"Cookie":                            {"x=y"},
		"X-Amz-Date":                        {"x"},
		"X-Amzn-Trace-Id":                   {"x"},
		"X-Forwarded-For":                   {"192.0.2.1"},
		"X-My":                              {"x"},
	})
	var names []string
	for name := range t.Headers { // spelt as HTTP/2 has them by the one, as HTTP/1.1 by the other
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return strings.Join(names, ", "), err
}

func tokens(ctx context.Context, s *subject) (string, error) {
	var answers []string
	for _, header := range []http.Header{
		{contract.HeaderWorkloadAccessToken: {"old"}, contract.HeaderWAT: {"new"}},
		{contract.HeaderWorkloadAccessToken: {"old"}},
		{contract.HeaderWAT: {"new"}},
	} {
		t, err := s.ask(ctx, `{"do":"context"}`, header)
		if err != nil {
			return "", err
		}
		answers = append(answers, quoted(t.Token))
	}
	return strings.Join(answers, ", "), nil
}
