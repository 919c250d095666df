package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// edgeChecks are what is beside the checks: where the two libraries could be
// thought to be the same, or are known to differ.
func edgeChecks() []check {
	return append([]check{
		{
			id: "1a", name: "HEAD /ping", observe: play("HEAD /ping"),
			want: "200 application/json",
		},
		{
			id: "3a", name: "unknown path, slash at the end", observe: play("GET /unknown", "POST /invocations/"),
			want: "404 text/plain; charset=utf-8 Not Found, 307 ",
			ours: "404 text/plain; charset=utf-8 404 page not found, 404 text/plain; charset=utf-8 404 page not found",
			why:  "agents have no such paths; a redirect would have clients send their payload twice",
		},
		{
			id: "4a", name: "JSON of any kind", observe: posts(`null`, `[]`, `"text"`, ` 1 `),
			want: `200 application/json null, 200 application/json [], 200 application/json "text", 200 application/json 1`,
		},
		{
			id: "5a", name: "bytes that are not UTF-8", observe: posts("\"\xff\""),
			want: `400 application/json {"details":"…","error":"Invalid encoding"}`,
		},
		{
			id: "5b", name: "NaN", observe: posts(`NaN`),
			want: `200 application/json NaN`,
			ours: `400 application/json {"details":"…","error":"Invalid JSON"}`,
			why:  "NaN is no JSON: no other client could read the answer",
		},
		{
			id: "5c", name: "UTF-8 with a byte order mark, UTF-16", observe: posts("\xef\xbb\xbf1", "1\x00"),
			want: `200 application/json 1, 200 application/json 1`,
			ours: `400 application/json {"details":"…","error":"Invalid JSON"}, 400 application/json {"details":"…","error":"Invalid JSON"}`,
			why:  "JSON between systems is UTF-8 without a byte order mark (RFC 8259, 8.1)",
		},
		{
			id: "7a", name: "handler fails with a status of its own", observe: posts(`{"do":"http-error","code":418,"text":"tea"}`),
			want: `418 application/json {"error":"tea"}`,
		},
		{
			id: "9a", name: "handler returns what is no JSON", observe: posts(`{"do":"unencodable"}`),
			want: `200 application/json "<class 'object'>"`,
			ours: `500 application/json {"error":"encode the result: json: unsupported type: func()"}`,
			why:  "a caller is better off with an error than with a text nobody meant for him",
		},
		{
			id: "9b", name: "handler returns a whole response", observe: posts(`{"do":"response","code":201,"text":"a;b"}`),
			want: `201 text/csv; charset=utf-8 a;b`,
		},
		{
			id: "10a", name: "the client leaves a stream", mode: "async", observe: leaveStream,
			want: "no end in 5s",
			ours: "the stream ends",
			why:  "in Python the producer hears of it when garbage is collected, and blocks until then",
		},
	}, hostileChecks()...)
}

// hostileChecks are those in which an asker, or the agent's own code, does what
// it should not.
func hostileChecks() []check {
	return []check{
		{
			id: "18a", name: "/ws from a web page of another origin", observe: webSocketOfOtherOrigin,
			want: "accepted",
			ours: "403",
			why:  "a browser would let any page talk to the agent",
		},
		{
			id: "29a", name: "custom handler blocks", observe: pingHandlerBlocks,
			want: "no ping in 5s",
			ours: "ping: Healthy",
			why:  "a ping is answered within 100 ms, with the automatic status if need be",
		},
		{
			id: "33a", name: "debug on: asked through a proxy", mode: "debug", observe: debugByOutsider,
			want: `200 application/json {"forced_status":"HealthyBusy"}`,
			ours: `403 application/json {"details":"…","error":"Forbidden"}`,
			why:  "only who is inside the pod or has the token may order the agent about",
		},
		{
			id: "33b", name: "debug on: a list", mode: "debug", observe: posts(`[]`),
			want: `500 application/json {"error":"'list' object has no attribute 'get'"}`,
			ours: `200 application/json []`,
			why:  "a list is no action, and goes to the handler as with debug off",
		},
	}
}

// leaveStream reads the first event of an endless stream and goes.
func leaveStream(ctx context.Context, s *subject) (string, error) {
	response, err := s.open(ctx, http.MethodPost, "/invocations", `{"do":"stream-endless"}`, nil)
	if err != nil {
		return "", err
	}
	_, err = readEvent(bufio.NewReader(response.Body))
	_ = response.Body.Close() // which closes the connection too
	if err != nil {
		return "", err
	}
	hurried, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch err := s.awaitSigns(hurried, 1); {
	case err == nil:
		return "the stream ends", nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Sprintf("no end in %s", patience), nil
	default:
		return "", err
	}
}

func webSocketOfOtherOrigin(ctx context.Context, s *subject) (string, error) {
	if _, err := s.order(ctx, `{"do":"serve-websocket"}`); err != nil {
		return "", err
	}
	text, err := s.dial(ctx, http.Header{"Origin": {"https://other.example"}})
	code, _, _ := strings.Cut(text, " ") // what follows names the port
	return code, err
}

func pingHandlerBlocks(ctx context.Context, s *subject) (string, error) {
	if _, err := s.order(ctx, `{"do":"ping-handler","kind":"block"}`); err != nil {
		return "", err
	}
	return s.pingWithPatience(ctx)
}

func debugByOutsider(ctx context.Context, s *subject) (string, error) {
	a, err := s.do(ctx, http.MethodPost, "/invocations", `{"_agent_core_app_action":"force_busy"}`,
		http.Header{"X-Forwarded-For": {"192.0.2.1"}})
	return a.String(), err
}
