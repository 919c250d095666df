package main

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"time"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// story is what stream is asked for.
type story struct {
	Text    string  `json:"text"`    // told word by word
	Pause   float64 `json:"pause"`   // seconds between two words
	Unhappy bool    `json:"unhappy"` // ends with an error
}

type word struct {
	Word string `json:"word"`
}

// stream answers word by word, as Server-Sent Events.
func stream(ctx context.Context, args []string) error {
	flags := newServer("stream")
	if err := flags.Parse(args); err != nil {
		return err
	}
	app := flags.app()
	app.Entrypoint(agentruntime.SSE(tell))
	return app.Run(ctx)
}

func tell(ctx context.Context, in story) iter.Seq2[word, error] {
	return func(yield func(word, error) bool) {
		for next := range strings.FieldsSeq(in.Text) {
			if !yield(word{next}, nil) {
				return // the client has gone
			}
			select {
			case <-time.After(time.Duration(in.Pause * float64(time.Second))):
			case <-ctx.Done(): // it has gone while we thought
				yield(word{}, context.Cause(ctx))
				return
			}
		}
		if in.Unhappy {
			yield(word{}, &agentruntime.HTTPError{Code: http.StatusTeapot, Message: "no happy end"})
		}
	}
}
