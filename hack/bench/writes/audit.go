package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// audit is the API server's log of the operator's writes.
type audit struct {
	file string
}

// request is one line of it.
type request struct {
	verb, resource, name, session string
	code                          int32
}

// String names the request in an error.
func (q request) String() string {
	return fmt.Sprintf("%s %s %s: %d", q.verb, q.resource, q.name, q.code)
}

// read returns the requests since a moment, refused ones too.
func (a audit) read(since time.Time) ([]request, error) {
	file, err := os.Open(a.file)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	var requests []request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb                     string
			RequestReceivedTimestamp metav1.MicroTime
			ObjectRef                struct{ Resource, Subresource, Name string }
			ResponseStatus           struct{ Code int32 }
			RequestURI               string
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		ref := event.ObjectRef
		if event.RequestReceivedTimestamp.Time.Before(since) || strings.HasSuffix(ref.Resource, "reviews") {
			continue
		}
		q := request{verb: event.Verb, resource: ref.Resource, name: ref.Name, code: event.ResponseStatus.Code}
		// Pods are named session-activation, Events session.hash.
		q.session, _, _ = strings.Cut(q.name, ".")
		q.session, _, _ = strings.Cut(q.session, "-")
		if ref.Subresource != "" {
			q.resource += "/" + ref.Subresource
		}
		requests = append(requests, q)
	}
	return requests, lines.Err()
}
