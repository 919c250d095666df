package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// client makes a connection for each request, so that none waits for another.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what a subject said to one request.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (s *subject) do(ctx context.Context, method, path, body string, header http.Header) (answer, error) {
	response, err := s.open(ctx, method, path, body, header)
	if err != nil {
		return answer{}, err
	}
	read, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return answer{response.StatusCode, response.Header, read}, nil
}

// open leaves the body of the answer to the caller.
func (s *subject) open(ctx context.Context, method, path, body string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	return client.Do(request)
}

// invoke posts a payload.
func (s *subject) invoke(ctx context.Context, payload string) (answer, error) {
	return s.do(ctx, http.MethodPost, "/invocations", payload, nil)
}

// order posts a payload whose answer must be 200, and returns its JSON.
func (s *subject) order(ctx context.Context, payload string) (string, error) {
	a, err := s.invoke(ctx, payload)
	if err != nil {
		return "", err
	}
	if a.code != http.StatusOK {
		return "", fmt.Errorf("the order %s was answered with %s", payload, a)
	}
	return normalised(a.body), nil
}

// orders posts several payloads, one after the other, and returns the answers.
func (s *subject) orders(ctx context.Context, payloads ...string) ([]string, error) {
	var answers []string
	for _, payload := range payloads {
		got, err := s.order(ctx, payload)
		if err != nil {
			return nil, err
		}
		answers = append(answers, got)
	}
	return answers, nil
}

// pinged is an answer to a ping.
type pinged struct {
	Status string `json:"status"`
	Stamp  int64  `json:"time_of_last_update"`
}

func (s *subject) ping(ctx context.Context) (pinged, error) {
	a, err := s.do(ctx, http.MethodGet, "/ping", "", nil)
	if err != nil {
		return pinged{}, err
	}
	var p pinged
	if err := json.Unmarshal(a.body, &p); err != nil || a.code != http.StatusOK {
		return pinged{}, fmt.Errorf("ping was answered with %s", a)
	}
	return p, nil
}

// String is the answer without what differs from one time to the next: status,
// type and body. Blanks and the order of keys in JSON mean nothing, nor does
// the line end after a text.
func (a answer) String() string {
	text := fmt.Sprintf("%d %s", a.code, a.header.Get("Content-Type"))
	if body := normalised(a.body); body != "" {
		text += " " + body
	}
	return text
}

func normalised(body []byte) string {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil || decoder.More() {
		return strings.TrimSpace(string(body))
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(masked(value)) != nil {
		return string(body) // cannot be: it was decoded
	}
	return strings.TrimSpace(text.String())
}

// masked replaces the values of keys that are never the same twice, if they are
// what such values must be.
func masked(value any) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = masked(value[i])
		}
	case map[string]any:
		for key := range value {
			if isVolatile(key, value[key]) {
				value[key] = "…"
			} else {
				value[key] = masked(value[key])
			}
		}
	}
	return value
}

func isVolatile(key string, value any) bool {
	switch key {
	case "details": // the words of the JSON library
		text, ok := value.(string)
		return ok && text != ""
	case "time_of_last_update": // Unix seconds, whole ones
		number, ok := value.(json.Number)
		if !ok {
			return false
		}
		seconds, err := number.Int64()
		return err == nil && math.Abs(time.Since(time.Unix(seconds, 0)).Hours()) < 1
	case "duration": // seconds
		number, ok := value.(json.Number)
		if !ok {
			return false
		}
		seconds, err := number.Float64()
		return err == nil && seconds >= 0 && seconds < time.Hour.Seconds()
	}
	return false
}

// readEvent reads one Server-Sent Event as it stands on the wire; io.EOF where
// the stream ends as it should.
func readEvent(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		if line != "" {
			return "", fmt.Errorf("the stream ends within %q", line)
		}
		return "", err
	}
	end, err := r.ReadString('\n')
	if err != nil || end != "\n" {
		return "", fmt.Errorf("no empty line after %q, but %q", line, end)
	}
	data, ok := strings.CutPrefix(line, "data: ")
	if !ok {
		return "", fmt.Errorf("an event that is no data: %q", line)
	}
	return "data: " + normalised([]byte(data)), nil
}

// readEvents reads to the end of the stream.
func readEvents(r *bufio.Reader) ([]string, error) {
	var events []string
	for {
		event, err := readEvent(r)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
}
