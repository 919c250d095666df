package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	// inMemory is how much of a body is kept in memory; more goes to a file.
	inMemory = 64 << 10
	// maxInFiles is how many bytes of bodies may be in files at once, of what
	// config/gateway gives them.
	maxInFiles = 16 * contract.MaxPayloadBytes
	// minInFile is what the smallest counts, or they would be too many files.
	minInFile = 1 << 20
)

// Payload is the body of a request. A signature covers all of it, so it has to
// be there before anything is done.
type Payload struct {
	// Hash is its SHA-256, in hex.
	Hash string
	// Size is its length in bytes.
	Size int64

	memory atomic.Pointer[[]byte] // nil when it was given up
	file   *os.File
	free   func() // gives the file up; nil if there is none
}

// spool reads the body of a request, of so many bytes at most.
func (g *Gateway) spool(w http.ResponseWriter, r *http.Request, most int64) (*Payload, error) {
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	sum := sha256.New()
	body := io.TeeReader(http.MaxBytesReader(w, r.Body, most), sum)
	p := &Payload{}
	var memory bytes.Buffer
	n, err := io.CopyN(&memory, body, inMemory)
	p.Size = n
	p.memory.Store(new(memory.Bytes()))
	if err == nil {
		err = g.spill(r, p, body, most)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.close()
		if f, known := errors.AsType[*failure](err); known {
			return nil, f
		}
		if _, is := errors.AsType[*http.MaxBytesError](err); is {
			return nil, tooLarge(most)
		}
		if _, is := errors.AsType[*fs.PathError](err); is {
			return nil, errors.Join(throttled("The gateway has no room for the payload now. Please retry."), err)
		}
		return nil, unparsable("The request's body could not be read to its end")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // that of Serve was for the body; tests have none
	p.Hash = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

func tooLarge(most int64) *failure {
	f := invalid("payload", fmt.Sprintf("Value at 'payload' failed to satisfy constraint: Member must have length less than or equal to %d", most))
	f.Code = http.StatusRequestEntityTooLarge
	return f
}

// spill writes what is left of a body to a file without a name, when there is
// room for it.
func (g *Gateway) spill(r *http.Request, p *Payload, rest io.Reader, most int64) error {
	size := most // it may be, if it does not say
	if r.ContentLength >= 0 {
		size = max(r.ContentLength, minInFile)
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), g.QueueTimeout, throttled("Too many large payloads are on their way to agents. Please retry."))
	defer cancel()
	if g.files.Acquire(ctx, size) != nil {
		return context.Cause(ctx)
	}
	p.free = sync.OnceFunc(func() {
		if p.file != nil {
			_ = p.file.Close() // it has no name any more
		}
		g.files.Release(size)
	})
	file, err := os.CreateTemp("", "agentsession-payload-")
	if err != nil {
		return fmt.Errorf("make a file for the payload: %w", err)
	}
	p.file = file
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("take the name off the payload's file: %w", err)
	}
	n, err := io.Copy(file, rest)
	p.Size += n
	return err
}

// open returns the body from its beginning.
func (p *Payload) open() io.ReadCloser {
	memory := p.memory.Load()
	switch {
	case memory == nil:
		return io.NopCloser(io.NewSectionReader(givenUp{}, 0, p.Size))
	case p.file == nil:
		return io.NopCloser(bytes.NewReader(*memory))
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(*memory), io.NewSectionReader(p.file, 0, p.Size-int64(len(*memory)))))
}

// givenUp is what is left of a payload that was given up: nobody may take it for one
// that is empty.
type givenUp struct{}

func (givenUp) ReadAt([]byte, int64) (int, error) { return 0, os.ErrClosed }

// send is open for an agent: when all was sent, a payload that is no smaller than the
// buffer of the connection is given up, since the agent may take an hour to answer. A
// smaller one may lie in that buffer when it has been read to its end, and be sent again
// on another connection.
func (p *Payload) send() io.ReadCloser { return &sending{body: p.open(), payload: p} }

type sending struct {
	mu      sync.Mutex // a transport may close what it is reading
	body    io.ReadCloser
	payload *Payload
}

func (s *sending) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.body.Read(b)
	if errors.Is(err, io.EOF) && s.payload.Size > agentBuffer {
		s.body = http.NoBody
		s.payload.close()
	}
	return n, err
}

// Close does nothing: the call gives the payload up at its end.
func (s *sending) Close() error { return nil }

// close gives the payload up.
func (p *Payload) close() {
	p.memory.Store(nil)
	if p.free != nil {
		p.free()
	}
}
