package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

// What a connection's end says of an answer that has no other.
func TestAnAnswerThatEndsWithItsConnection(t *testing.T) {
	const plain, object, events = "text/plain", "application/json", "text/event-stream"
	for name, row := range map[string]struct {
		kind, body string
		dies       bool // the agent
		resets     bool // its connection
		whole      bool
	}{
		"text":                             {kind: plain, body: "some", whole: true},
		"nothing":                          {kind: object, whole: true},
		"an object":                        {kind: object + "; charset=utf-8", body: `{"a": ["]", "\"", "\\"]}` + "\n", whole: true},
		"an object without its end":        {kind: object, body: `{"a": ["]"]`},
		"a text without its end":           {kind: "application/problem+json", body: `"some \"`},
		"an object that says it is text":   {kind: plain, body: `{"a"`, whole: true},
		"text that says it is JSON":        {kind: object, body: "some", whole: true},
		"events":                           {kind: events, body: "data: 1\n\ndata: 2\n\n", whole: true},
		"no events":                        {kind: events, whole: true},
		"events without the last one's":    {kind: events, body: "data: 1\n\ndata: 2\n", whole: true},
		"events within a line":             {kind: events, body: "data: 1\n\ndata: 2"},
		"text of an agent that dies":       {kind: plain, body: "some", dies: true},
		"an object of an agent that dies":  {kind: object, body: "{}", dies: true},
		"text on a connection that resets": {kind: plain, body: "some", resets: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			g.Expect(err).NotTo(HaveOccurred())
			defer listener.Close()
			read := make(chan struct{}) // the answer's head
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: "+row.kind+"\r\n\r\n"+row.body)
				<-read
				if row.dies {
					_ = listener.Close()
				}
				if row.resets {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			}()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String(), http.NoBody)
			g.Expect(err).NotTo(HaveOccurred())
			answer, err := toAgents(true).RoundTrip(r)
			g.Expect(err).NotTo(HaveOccurred())
			defer answer.Body.Close()
			close(read)
			body, err := io.ReadAll(answer.Body)
			if g.Expect(err == nil).To(Equal(row.whole), "%v", err); !row.resets {
				g.Expect(string(body)).To(Equal(row.body))
			}
		})
	}
}

// The time to reach an agent is over long before its answer is.
func TestAnAgentIsThereAfterTheTimeToReachIt(t *testing.T) {
	agent := httptest.NewServer(http.NotFoundHandler())
	defer agent.Close()
	ctx := context.WithValue(t.Context(), reachBy{}, time.Now().Add(-time.Second))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, agent.URL, nil)
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(toAgents(true).isAlive(r)).To(BeTrue())
}

// No part of a JSON object ends well but the whole of it, however it comes.
func TestOnlyAWholeObjectEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, err := json.Marshal(map[string]any{
			rapid.String().Draw(t, "key"): []any{rapid.String().Draw(t, "text"), rapid.Float64().Draw(t, "number"), map[string]any{}, nil},
		})
		g := NewWithT(t)
		g.Expect(err).NotTo(HaveOccurred())
		text := textOf("application/json")
		for i := range whole {
			text.add(whole[i : i+1])
			g.Expect(text.open()).To(Equal(i < len(whole)-1), "%s", whole[:i+1])
		}
		at := rapid.IntRange(0, len(whole)).Draw(t, "at")
		pieces := textOf("application/json")
		pieces.add(whole[:at])
		pieces.add(whole[at:])
		g.Expect(pieces.open()).To(BeFalse())
	})
}
