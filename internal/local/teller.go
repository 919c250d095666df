package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/local/node"
)

// The kinds of Event.
const (
	EventReady    = "ready"    // the platform can be called; always the first
	EventSession  = "session"  // a session's state, or why it is in it, is new
	EventDeleted  = "deleted"  // a session is gone
	EventContract = "contract" // an agent's answers to pings break AgentCore's contract
	EventVersion  = "version"  // a runtime has another version
	EventOutput   = "output"   // an agent wrote a line
	EventNote     = "note"     // something is not done as one may expect
	EventStopping = "stopping" // the platform ends when the processes have ended
)

// Event is what is told, as a line of JSON. A field stands only where there is something to
// say. Names and meanings of fields stay; others may be added.
type Event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`

	// Endpoint is AgentCore's, and what follows is where all else is: with ready.
	Endpoint string `json:"endpoint,omitempty"`
	// Page is the address of the page to look at, with its token.
	Page       string  `json:"page,omitempty"`
	Runtimes   []Agent `json:"runtimes,omitempty"`
	Kubeconfig string  `json:"kubeconfig,omitempty"`
	// AccessKeyID and SecretAccessKey are what calls are to be signed with.
	AccessKeyID     string `json:"accessKeyId,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`

	// Session is the session's id as callers know it, and Name its AgentSession's: with
	// session, deleted, contract and output, and with note if it is of one.
	Session   string `json:"session,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Runtime is the name of its AgentRuntime, and Version the one that it runs: with
	// session, deleted and version.
	Runtime    string                `json:"runtime,omitempty"`
	Version    int64                 `json:"version,omitempty"`
	State      v1alpha1.SessionState `json:"state,omitempty"`
	Reason     string                `json:"reason,omitempty"`
	Activation int32                 `json:"activation,omitempty"`
	Next       *Next                 `json:"next,omitempty"`
	// Message says it for people.
	Message string `json:"message,omitempty"`

	// Stream is stdout or stderr, and Line what the agent wrote to it: with output.
	Stream string  `json:"stream,omitempty"`
	Line   *string `json:"line,omitempty"` // it may be empty
	// Cut is how many bytes are left out at the end of Line.
	Cut int `json:"cut,omitempty"`
}

// Agent is a runtime that can be called.
type Agent struct {
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	AgentRuntimeArn string `json:"agentRuntimeArn"`
}

// Next is the stop that comes next, if nothing happens before.
type Next struct {
	Reason v1alpha1.StopReason `json:"reason"`
	At     time.Time           `json:"at"`
}

// teller tells what happens, one thing at a time: for people, or for programs.
type teller struct {
	mu       sync.Mutex
	out, err io.Writer
	json     bool
	headless bool
	terminal bool // err is one

	introduced map[string]bool // sessions, by their ids, of which names have been told with them
}

// tell tells an event. Who closed the terminal reads nothing.
func (t *teller) tell(e Event) {
	if t.headless && e.Event != EventReady && e.Event != EventStopping {
		return
	}
	e.Time = time.Now().UTC().Truncate(time.Millisecond)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.json:
		_, _ = t.out.Write(jsonLine(e))
	case e.Event == EventReady:
		_, _ = io.WriteString(t.out, beginning(e))
	case e.Event == EventOutput:
		text := *e.Line
		if t.terminal {
			text = harmless(text)
		}
		if e.Cut > 0 {
			text += fmt.Sprintf(" [cut: %d bytes more]", e.Cut)
		}
		_, _ = fmt.Fprintf(t.err, "%s | %s\n", printableLine(cmp.Or(e.Name, e.Session)), text)
	case e.Event == EventNote:
		_, _ = fmt.Fprintf(t.err, "note: %s\n", printableLine(e.Message))
	case e.Event == EventStopping:
		_, _ = fmt.Fprintf(t.err, "%s\n", e.Message)
	default:
		_, _ = fmt.Fprintf(t.out, "%s  %s  %s\n", e.Time.Local().Format(time.TimeOnly), printableLine(t.of(e)), printableLine(e.Message))
	}
}

// of is what an event is of: a session by the name that all commands take and show, the first
// time with the id that its caller gave it.
func (t *teller) of(e Event) string {
	known := t.introduced[e.Session]
	if e.Event == EventDeleted {
		delete(t.introduced, e.Session)
		known = true
	}
	if known || e.Name == "" || e.Session == "" {
		return cmp.Or(e.Name, e.Session, e.Runtime)
	}
	if t.introduced == nil {
		t.introduced = map[string]bool{}
	}
	t.introduced[e.Session] = true
	return fmt.Sprintf("%s (%s)", e.Name, e.Session)
}

// keeps tells whether what agents write goes to a file, which loses none of it.
func (t *teller) keeps() bool {
	to := t.err
	if t.json {
		to = t.out
	}
	file, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// note tells what is not done as one may expect.
func (t *teller) note(message string) { t.tell(Event{Event: EventNote, Message: message}) }

// output tells what an agent wrote.
func (t *teller) output(l node.Line) {
	if l.Stream == node.Note {
		t.tell(Event{Event: EventNote, Session: l.Session, Name: l.Name, Message: l.Text})
		return
	}
	t.tell(Event{Event: EventOutput, Session: l.Session, Name: l.Name, Stream: l.Stream, Line: &l.Text, Cut: l.Cut})
}

// beginning says where everything is.
func beginning(e Event) string {
	var b strings.Builder
	b.WriteString("AgentCore's endpoint is here, for any AWS client:\n\n")
	fmt.Fprintf(&b, "  export AWS_ENDPOINT_URL_BEDROCK_AGENTCORE=%s\n", e.Endpoint)
	if e.AccessKeyID != "" {
		fmt.Fprintf(&b, "  export AWS_ACCESS_KEY_ID=%s\n  export AWS_SECRET_ACCESS_KEY=%s\n", e.AccessKeyID, e.SecretAccessKey)
	}
	b.WriteString("\n")
	for _, agent := range e.Runtimes {
		fmt.Fprintf(&b, "agentRuntimeArn: %s\n", agent.AgentRuntimeArn)
	}
	if e.Page != "" {
		fmt.Fprintf(&b, "page: %s\n", e.Page)
	}
	if e.Kubeconfig != "" {
		fmt.Fprintf(&b, "kubeconfig: %s\n", printableLine(e.Kubeconfig))
	}
	b.WriteString("\n")
	return b.String()
}

// sessionEvent is what there is to say of a session.
func sessionEvent(session *v1alpha1.AgentSession, kind, message string) Event {
	e := Event{
		Event: kind, Session: session.Spec.RuntimeSessionID, Namespace: session.Namespace, Name: session.Name,
		State: session.Status.State, Activation: session.Status.Activation, Message: message,
	}
	if ref := session.Spec.RuntimeRef; ref != nil {
		e.Runtime = ref.Name
	}
	if started := session.Status.Runtime; started != nil {
		e.Version = started.AgentRuntimeVersion
	}
	if why := explain.RowOf(time.Now(), session).Why; why != "-" {
		e.Reason = why
	}
	if stop := session.Status.NextStop; stop != nil {
		e.Next = &Next{Reason: stop.Reason, At: stop.At.UTC()}
	}
	return e
}

// jsonLine is an event as JSON, of which a terminal obeys nothing: encoding/json leaves DEL and
// the controls of ISO 8859-1 as they are, and marks that turn the direction of writing.
func jsonLine(e Event) []byte {
	var text, safe bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		panic(err) // no value of these types is refused
	}
	for _, r := range text.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			safe.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&safe, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&safe, `\u%04x`, r)
		}
	}
	return safe.Bytes()
}

// printableLine is a text as one line that a terminal obeys nothing of.
func printableLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}

// colours are what agents colour their words with.
var colours = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// harmless is a line of an agent as a terminal shows it, without what it would obey. Tabs
// stay.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, colours.ReplaceAllString(strings.TrimSuffix(text, "\r"), ""))
}
