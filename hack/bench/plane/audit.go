package plane

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Audit is the API server's log of the operator's writes. The server writes a
// line before it answers, so what the operator knows to be done is in the log.
type Audit struct {
	file string
}

// auditPolicy logs the writes of the operator and nothing else.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [` + operatorUser + `], verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
`

// Request is one line of it.
type Request struct {
	Verb, Resource, Name, Session string
	Code                          int32
}

// String leaves out the name, so that equal requests can be counted.
func (q Request) String() string {
	return fmt.Sprintf("%s %s: %d", q.Verb, q.Resource, q.Code)
}

// Read returns the requests since a moment, refused ones too.
func (a Audit) Read(since time.Time) ([]Request, error) {
	file, err := os.Open(a.file)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	var requests []Request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb                     string
			RequestReceivedTimestamp metav1.MicroTime
			ObjectRef                struct{ Resource, Subresource, Name string }
			ResponseStatus           struct{ Code int32 }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		ref := event.ObjectRef
		// A review asks a question: it is a create by name only.
		if event.RequestReceivedTimestamp.Time.Before(since) || strings.HasSuffix(ref.Resource, "reviews") {
			continue
		}
		q := Request{Verb: event.Verb, Resource: ref.Resource, Name: ref.Name, Code: event.ResponseStatus.Code}
		// Pods are named session-activation, Events session.hash.
		q.Session, _, _ = strings.Cut(q.Name, ".")
		q.Session, _, _ = strings.Cut(q.Session, "-")
		if ref.Subresource != "" {
			q.Resource += "/" + ref.Subresource
		}
		requests = append(requests, q)
	}
	return requests, lines.Err()
}

// Tally counts requests by verb, resource and answer, one a line.
func Tally(requests []Request) string {
	counts := map[string]int{}
	for _, q := range requests {
		counts[q.String()]++
	}
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&text, "\n  %4d  %s", counts[kind], kind)
	}
	return text.String()
}
