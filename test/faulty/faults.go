package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	sessionHeader = contract.HeaderSessionID
	// taskTime is how long the work of a call takes.
	taskTime = time.Second
	// slowness is how late a slow answer is.
	slowness = 4 * time.Second
)

// handler serves a request of an agent.
type handler func(a *agent, w http.ResponseWriter, r *http.Request)

// fault is what an agent does wrong; the zero fault is nothing.
type fault struct {
	// breaks is the rule of lint that finds it.
	breaks string
	// called tells that it shows only if the agent is called.
	called bool
	// twice tells that it shows only if the agent is called, and then started again.
	twice bool
	// mcp tells that it is asked as an MCP server.
	mcp bool

	hosts   []string // that it serves; all by default
	word    string   // in the place of the status
	busy    bool     // from the start
	forgets bool     // its tasks
	dies    int      // after so many pings
	raw     string   // is answered to whatever is asked
	stamp   func(a *agent, changed time.Time, ever bool) string
	ping    handler
	invoke  handler
}

// faults by their names.
var faults = map[string]fault{
	"dies":         {breaks: "ping-refused", dies: 3},
	"closes":       {breaks: "ping-refused", ping: func(*agent, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	"slow":         {breaks: "ping-slow", ping: slow},
	"hangs":        {breaks: "ping-slow", ping: func(_ *agent, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	"blocked":      {breaks: "ping-blocked-by-call", called: true, invoke: lockedWork},
	"not-http":     {breaks: "ping-not-http", raw: "220 mail.example ESMTP\r\n"},
	"cut-off":      {breaks: "ping-not-http", raw: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"},
	"large-header": {breaks: "ping-not-http", raw: "HTTP/1.1 200 OK\r\nX-Trace: " + strings.Repeat("x", 5000) + "\r\nContent-Length: 2\r\n\r\n{}"},
	"no-ping":      {breaks: "ping-missing", ping: code(http.StatusNotFound)},
	"login":        {breaks: "ping-needs-login", ping: code(http.StatusUnauthorized)},
	"redirects":    {breaks: "ping-redirected", ping: redirect},
	"rate-limited": {breaks: "ping-rate-limited", ping: limited},
	"fails":        {breaks: "ping-fails", ping: code(http.StatusInternalServerError)},
	"switches":     {breaks: "ping-fails", raw: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"},

	"local-hosts": {breaks: "host-refused", hosts: []string{"localhost", "127.0.0.1"}},
	"own-host":    {breaks: "host-refused", hosts: []string{"agent.example"}},

	"unhealthy-200":     {breaks: "ping-says-unhealthy", word: "Unhealthy"},
	"unhealthy-503":     {breaks: "ping-says-unhealthy", word: "Unhealthy", ping: unhealthy(http.StatusServiceUnavailable)},
	"unhealthy-500":     {breaks: "ping-says-unhealthy", word: "UNHEALTHY", ping: unhealthy(http.StatusInternalServerError)},
	"status-lower-case": {breaks: "ping-status-unknown", word: "healthy"},
	"status-of-its-own": {breaks: "ping-status-unknown", word: "HEALTHY_BUSY"},
	"no-status":         {breaks: "ping-status-unknown", ping: says("application/json", "{}")},
	"not-json":          {breaks: "ping-not-json", ping: says("text/plain", "OK")},
	"byte-order-mark":   {breaks: "ping-byte-order-mark", ping: says("application/json", "\ufeff"+`{"status":"Healthy","time_of_last_update":1}`)},
	"compressed":        {breaks: "ping-encoded", ping: compressed},
	"too-large":         {breaks: "ping-too-large", ping: says("application/json", `{"status":"Healthy","more":"`+strings.Repeat("x", contract.MaxPingBytes)+`"}`)},
	"content-type":      {breaks: "ping-content-type", ping: says("text/html", `{"status":"Healthy","time_of_last_update":1}`)},

	"stamp-moves":        {breaks: "stamp-advances", stamp: func(*agent, time.Time, bool) string { return stampOf(time.Now().Unix()) }},
	"stamp-stays":        {breaks: "stamp-frozen", called: true, stamp: func(*agent, time.Time, bool) string { return stampOf(1700000000) }},
	"stamp-milliseconds": {breaks: "stamp-milliseconds", stamp: func(_ *agent, t time.Time, _ bool) string { return stampOf(t.UnixMilli()) }},
	"stamp-text":         {breaks: "stamp-not-a-number", stamp: func(_ *agent, t time.Time, _ bool) string { return stampOf(fmt.Sprintf("%q", t.Format(time.RFC3339))) }},
	"stamp-of-nothing":   {breaks: "stamp-out-of-range", stamp: func(*agent, time.Time, bool) string { return stampOf(time.Time{}.Unix()) }},
	"stamp-in-future":    {breaks: "stamp-in-future", stamp: func(*agent, time.Time, bool) string { return stampOf(time.Now().Add(24 * time.Hour).Unix()) }},
	"several-processes":  {breaks: "stamp-goes-back", stamp: inTurn},
	"busy-unstamped":     {breaks: "stamp-missing", busy: true, stamp: func(*agent, time.Time, bool) string { return "" }},
	"stamp-late":         {breaks: "stamp-late", called: true, stamp: onceChanged},

	"forgets-its-task": {breaks: "busy-to-the-end", called: true, forgets: true},

	"no-invocations":  {breaks: "invocations-missing", called: true, invoke: code(http.StatusNotFound)},
	"calls-fail":      {breaks: "invocations-fail", called: true, invoke: code(http.StatusInternalServerError)},
	"calls-are-cut":   {breaks: "invocations-fail", called: true, invoke: func(*agent, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	"session-by-case": {breaks: "session-header-lost", called: true, invoke: byCase},
	"session-unseen":  {breaks: "session-header-lost", called: true, invoke: func(_ *agent, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, `{"session_id":null}`) }},
	"session-refused": {breaks: "session-header-lost", called: true, invoke: func(_ *agent, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusBadRequest, `{"error":"Missing sessionId"}`)
	}},
	"stream-collected":  {breaks: "stream-buffered", called: true, invoke: stream(false)},
	"stream-in-a-burst": {breaks: "stream-buffered", called: true, invoke: stream(true)},

	"mcp-elsewhere":   {breaks: "mcp-ping-refused", mcp: true},
	"mcp-local-hosts": {breaks: "host-refused", mcp: true, hosts: []string{"localhost", "127.0.0.1"}},

	"loopback": {breaks: "loopback-only"},

	"id-of-the-start":   {breaks: "made-at-start", twice: true, invoke: tells(func(a *agent) string { return a.id })},
	"seeded-alike":      {breaks: "made-at-start", twice: true, invoke: tells(func(a *agent) string { return fmt.Sprintf("%016x", a.random.Uint64()) })},
	"time-of-the-start": {breaks: "made-at-start", twice: true, invoke: tells(func(a *agent) string { return a.changed.Format(time.RFC3339Nano) })},
}

func stampOf(value any) string { return fmt.Sprintf(`,"time_of_last_update":%v`, value) }

func code(code int) handler {
	return func(_ *agent, w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

func says(contentType, body string) handler {
	return func(_ *agent, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

func unhealthy(code int) handler {
	return func(a *agent, w http.ResponseWriter, _ *http.Request) { reply(w, code, a.body()) }
}

func slow(a *agent, w http.ResponseWriter, _ *http.Request) {
	time.Sleep(slowness)
	a.answer(w)
}

// lockedWork holds what pings are counted under, as a server with one thread does.
func lockedWork(a *agent, w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	time.Sleep(slowness)
	a.mu.Unlock()
	work(a, w, r)
}

func redirect(_ *agent, w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://localhost/ping", http.StatusMovedPermanently)
}

func limited(a *agent, w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	spent := a.pings > 2
	a.mu.Unlock()
	if spent {
		http.Error(w, "Too Many Requests", http.StatusTooManyRequests)
		return
	}
	a.answer(w)
}

func compressed(a *agent, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, a.body())
	_ = z.Close()
}

// inTurn is the stamp of two processes that answer in turn.
func inTurn(a *agent, changed time.Time, _ bool) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return stampOf(changed.Add(time.Duration(a.pings%2) * time.Minute).Unix())
}

func onceChanged(_ *agent, changed time.Time, ever bool) string {
	if !ever {
		return ""
	}
	return stampOf(changed.Unix())
}

// tells answers with something of the agent's.
func tells(what func(a *agent) string) handler {
	return func(a *agent, w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		told := what(a)
		a.mu.Unlock()
		reply(w, http.StatusOK, fmt.Sprintf(`{"sessionId":%q,"told":%q}`, r.Header.Get(sessionHeader), told))
	}
}

// byCase looks the session's header up as one does in a map.
func byCase(_ *agent, w http.ResponseWriter, r *http.Request) {
	id := ""
	if strings.Contains(headOf(r), sessionHeader+": ") {
		id = r.Header.Get(sessionHeader)
	}
	reply(w, http.StatusOK, fmt.Sprintf(`{"answer":"for %s"}`, id))
}

// stream answers with events that it has collected; chunked if it then sends them at once.
func stream(chunked bool) handler {
	return func(_ *agent, w http.ResponseWriter, _ *http.Request) {
		time.Sleep(1500 * time.Millisecond)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\ndata: 2\n\ndata: 3\n\n")
		if chunked {
			_ = http.NewResponseController(w).Flush()
		}
	}
}
