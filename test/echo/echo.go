// Package echo is an agent that does as it is told and tells what it was asked:
// in the stand-in for a node, and as an image (echo-agent).
package echo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Ask is what an agent is told to do.
type Ask struct {
	Sleep  string `json:"sleep,omitempty"`  // how long it takes
	Wait   string `json:"wait,omitempty"`   // how long before that, with a stream too, unless it is woken
	Wakes  bool   `json:"wakes,omitempty"`  // has all that wait go on
	Blocks bool   `json:"blocks,omitempty"` // answers no ping meanwhile
	Hangs  bool   `json:"hangs,omitempty"`  // answers no ping from then on
	Code   int    `json:"code,omitempty"`   // what it fails with
	Chunks int    `json:"chunks,omitempty"` // of a stream, one and then a sleep; on a WebSocket how often it echoes this
	Kind   string `json:"kind,omitempty"`   // of a stream, in the place of text/event-stream
	Die    bool   `json:"die,omitempty"`    // in mid-answer
	Exit   bool   `json:"exit,omitempty"`   // without an answer, its process too
	Early  bool   `json:"early,omitempty"`  // says more than it should: a 103 before, and trailers
	MCP    string `json:"mcp,omitempty"`    // what it calls its session, as an MCP server
	Raw    string `json:"raw,omitempty"`    // what it writes on its connection, in the place of an answer
	Lots   int    `json:"lots,omitempty"`   // of bytes that it writes after that
	Method string `json:"method,omitempty"` // of MCP; a ping is no call
}

// Told is what it answers.
type Told struct {
	Pod     string      `json:"pod"`
	Calls   int64       `json:"calls"`  // of this compute so far
	Others  int64       `json:"others"` // in flight when this one came
	Path    string      `json:"path"`
	Host    string      `json:"host"`
	Header  http.Header `json:"header"`
	Payload []byte      `json:"payload"`
	URL     string      `json:"url,omitempty"` // of a card, as AWS's SDK writes it
}

// Secret is what an agent says when it fails.
const Secret = "a secret of the agent"

// Agent has a memory: how often it was called.
type Agent struct {
	// Pod is its name.
	Pod string
	// Gone gets the session id of each invocation whose caller had gone.
	Gone chan<- string
	// Hang and Resume have its pings go unanswered, and answered, where it can be told to.
	Hang, Resume func()
	// Exit ends the process.
	Exit func()

	calls atomic.Int64
	busy  atomic.Int64

	mu    sync.Mutex
	woken chan struct{} // closed when those that wait are to go on
}

func (e *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var do Ask
	_ = json.Unmarshal(raw, &do) // or it is something else to echo
	if do.Method == "ping" {
		e.tell(w, do, Told{Pod: e.Pod})
		return
	}
	woken := e.untilWoken() // before others can see it
	calls, others := e.calls.Add(1), e.busy.Add(1)-1
	defer e.busy.Add(-1)
	if r.URL.Path == contract.WebSocketPath {
		e.talk(w, r)
		return
	}
	defer e.hang(do)()
	if do.Wakes {
		e.wake()
	}
	if !e.pause(r, do.Wait, woken) {
		return
	}
	switch {
	case do.Exit:
		e.Exit()
		panic(http.ErrAbortHandler)
	case do.Raw != "":
		e.write(w, r, do)
	case do.Chunks > 0:
		e.stream(w, r, do)
	case e.pause(r, do.Sleep, nil):
		e.tell(w, do, Told{
			Pod: e.Pod, Calls: calls, Others: others, Path: r.URL.Path, Host: r.Host, Header: r.Header, Payload: raw, URL: cardURL(r.URL.Path),
		})
	}
}

// cardURL is what AWS's SDK has an agent's card name, which is not told its own URL.
func cardURL(path string) string {
	if strings.HasSuffix(path, "/agent-card.json") {
		return "http://localhost:9000/"
	}
	return ""
}

// hang has pings go unanswered where that is asked for, until the call is over or for ever.
func (e *Agent) hang(do Ask) (over func()) {
	if do.Blocks || do.Hangs {
		e.Hang()
	}
	if do.Blocks {
		return e.Resume
	}
	return func() {}
}

// tell answers, or fails.
func (*Agent) tell(w http.ResponseWriter, do Ask, told Told) {
	if do.Code != 0 {
		http.Error(w, Secret, do.Code)
		return
	}
	if do.Early {
		w.Header().Set("X-Early", Secret)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set(http.TrailerPrefix+"X-Late", Secret)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "a=b")
	if do.MCP != "" {
		w.Header().Set(contract.HeaderMCPSessionID, do.MCP)
	}
	_ = json.NewEncoder(w).Encode(told) // the caller may have gone
}

// talk answers every message with itself, and with the session at first.
func (e *Agent) talk(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer socket.CloseNow() //nolint:errcheck // closed already, or nothing to be done
	socket.SetReadLimit(-1) // the gateway's limits are those to see
	err = socket.Write(r.Context(), websocket.MessageText, []byte(r.Header.Get(contract.HeaderSessionID)))
	for err == nil {
		var kind websocket.MessageType
		var message []byte
		kind, message, err = socket.Read(r.Context())
		var do Ask
		_ = json.Unmarshal(message, &do) // as above
		for i := 0; err == nil && i < max(do.Chunks, 1); i++ {
			err = socket.Write(r.Context(), kind, message)
		}
	}
}

func (e *Agent) stream(w http.ResponseWriter, r *http.Request, do Ask) {
	w.Header().Set("Content-Type", cmp.Or(do.Kind, "text/event-stream"))
	for i := range do.Chunks {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", i)  // as above
		_ = http.NewResponseController(w).Flush() // as above
		if do.Die {
			panic(http.ErrAbortHandler)
		}
		if !e.pause(r, do.Sleep, nil) {
			return
		}
	}
}

// write keeps its connection until the caller lets it go.
func (e *Agent) write(w http.ResponseWriter, r *http.Request, do Ask) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()                  //nolint:errcheck // nothing to be done about it
	_, _ = io.WriteString(conn, do.Raw) // the caller may have gone
	_, _ = io.WriteString(conn, strings.Repeat("x", do.Lots))
	if do.Die {
		return
	}
	_, _ = conn.Read(make([]byte, 1)) // as above
	e.Gone <- r.Header.Get(contract.HeaderSessionID)
}

// untilWoken is closed when a call wakes those that are there.
func (e *Agent) untilWoken() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.woken == nil {
		e.woken = make(chan struct{})
	}
	return e.woken
}

func (e *Agent) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.woken) // there is one: that of the call that wakes
	e.woken = make(chan struct{})
}

// pause is false if the caller goes meanwhile.
func (e *Agent) pause(r *http.Request, long string, woken <-chan struct{}) bool {
	wait, _ := time.ParseDuration(long) // none is none
	select {
	case <-time.After(wait):
		return true
	case <-woken:
		return true
	case <-r.Context().Done():
		e.Gone <- r.Header.Get(contract.HeaderSessionID)
		return false
	}
}
