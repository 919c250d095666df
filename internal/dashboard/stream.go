package dashboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

const (
	// pace is how often a page is sent what is new at most, and bytesPerSecond how much of it
	// on average, once it was sent what there is.
	pace           = time.Second / 2
	bytesPerSecond = 64 << 10
	// chunk is how many rows a message has at most.
	chunk = 500
	// pingEvery is how often a stream without news says that it is there.
	pingEvery = 15 * time.Second
	// writeTimeout is how long a page may take to read a message.
	writeTimeout = 30 * time.Second
)

// serveStream sends what there is, and then what changes.
func (d *Dashboard) serveStream(w http.ResponseWriter, r *http.Request) {
	caller := callerOf(r.Context())
	done, why := d.streams.take(caller)
	if done == nil {
		refuse(w, http.StatusServiceUnavailable, why)
		return
	}
	defer done()
	looked := time.Now()
	sight, err := d.visibleTo(r.Context(), nil)
	switch {
	case err != nil:
		d.refuseFor(w, err)
		return
	case sight.empty():
		refuse(w, http.StatusForbidden, caller+" may list neither AgentSessions nor AgentRuntimes in any namespace that has some")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold it back
	w.Header().Add("Vary", "Accept-Encoding")
	reader := d.feed.join(sight)
	defer reader.close()
	s := newStream(reader, w, acceptsGzip(r))
	defer s.close()
	s.looked = looked
	if d.Callers != nil {
		s.look = d.visibleTo
	}
	namespaces := "all"
	if d.Namespace != "" {
		namespaces = d.Namespace
	}
	s.send("hello", map[string]any{
		"now": ms(d.Now()), "write": d.Write, "where": d.Where, "version": d.Version, "namespaces": namespaces, "windowMs": window.Milliseconds(),
		"caller": caller, "writeFlag": d.writeFlag(),
	})
	s.run(r.Context())
}

// stream is one page that is open.
type stream struct {
	reader      *reader
	w           io.Writer
	gzip        *gzip.Writer // nil: it is not compressed
	control     *http.ResponseController
	look        func(context.Context, *visibility) (*visibility, error) // nil: it may see everything
	looked      time.Time                                               // when it was asked last what its page may see
	sentTrouble string                                                  // what trouble it was sent
	err         error                                                   // why nothing can be sent any more
}

// newStream makes one that writes to w, compressed where the page takes that.
func newStream(reader *reader, w http.ResponseWriter, compressed bool) *stream {
	s := &stream{reader: reader, w: w, control: http.NewResponseController(w)}
	if compressed {
		w.Header().Set("Content-Encoding", "gzip")
		s.gzip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is one that there is
		s.w = s.gzip
	}
	return s
}

// acceptsGzip tells whether a request's sender takes an answer that gzip has compressed.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(weight, "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

// allowed tells whether the page may still see all that it saw, and has it see more if it may.
// If that is not known the answer is no.
func (s *stream) allowed(ctx context.Context) bool {
	if s.look == nil || time.Since(s.looked) < reviewPeriod {
		return true
	}
	s.looked = time.Now()
	now, err := s.look(ctx, s.reader.visible)
	if err != nil || !s.reader.visible.within(now) {
		return false
	}
	s.reader.grant(now)
	return true
}

// run sends until ctx ends or the page is gone.
func (s *stream) run(ctx context.Context) {
	if !s.first(ctx) {
		return
	}
	budget := rate.NewLimiter(bytesPerSecond, bytesPerSecond)
	paces, pings := time.NewTicker(pace), time.NewTicker(pingEvery)
	defer paces.Stop()
	defer pings.Stop()
	for s.err == nil {
		select {
		case <-ctx.Done():
			return
		case <-pings.C:
			s.write([]byte(": ping\n\n"))
		case <-paces.C:
			if !s.allowed(ctx) {
				return
			}
			s.trouble()
			now := time.Now()
			m := s.reader.take(chunk, int(budget.TokensAt(now)))
			m.More = false
			if m.empty() {
				continue
			}
			budget.ReserveN(now, min(s.send("rows", m), bytesPerSecond))
		}
	}
}

// first sends what there is, as soon as that is known.
func (s *stream) first(ctx context.Context) bool {
	pings := time.NewTicker(pingEvery)
	defer pings.Stop()
	for {
		s.trouble()
		if listed, _ := s.reader.state(); listed {
			break
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.reader.woken:
		case <-pings.C:
			s.write([]byte(": ping\n\n"))
		}
		if s.err != nil || !s.allowed(ctx) {
			return false
		}
	}
	const all = 1 << 30
	for m := (message{More: true, Reset: true}); m.More && s.err == nil && ctx.Err() == nil && s.allowed(ctx); {
		reset := m.Reset
		m = s.reader.take(chunk, all)
		m.Reset = reset
		s.send("rows", m)
		m.Reset = false
	}
	return s.err == nil
}

// trouble sends what is in the way if that has changed.
func (s *stream) trouble() {
	if _, text := s.reader.state(); text != s.sentTrouble {
		s.sentTrouble = text
		s.send("trouble", map[string]any{"now": ms(s.reader.feed.now()), "text": text})
	}
}

// send sends an event, and returns how many bytes it has.
func (s *stream) send(name string, what any) int {
	text, err := json.Marshal(what)
	if err != nil {
		s.err = fmt.Errorf("write an event: %w", err)
		return 0
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, text)
	s.write(b.Bytes())
	return b.Len()
}

func (s *stream) write(text []byte) {
	if s.err != nil {
		return
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder has none
	if _, s.err = s.w.Write(text); s.err == nil && s.gzip != nil {
		s.err = s.gzip.Flush()
	}
	if s.err == nil {
		s.err = s.control.Flush()
	}
}

// close ends what is compressed, so that the page sees the end of it.
func (s *stream) close() {
	if s.err == nil && s.gzip != nil {
		_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder has none
		s.err = s.gzip.Close()
	}
}
