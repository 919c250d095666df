package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
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

	memory []byte
	file   *os.File
	free   func() // gives the file up; nil if there is none
}

// spool reads the body of a request.
func (g *Gateway) spool(w http.ResponseWriter, r *http.Request) (*Payload, error) {
	if r.ContentLength > contract.MaxPayloadBytes {
		return nil, tooLarge(contract.MaxPayloadBytes)
	}
	sum := sha256.New()
	body := io.TeeReader(http.MaxBytesReader(w, r.Body, contract.MaxPayloadBytes), sum)
	p := &Payload{}
	var memory bytes.Buffer
	n, err := io.CopyN(&memory, body, inMemory)
	p.Size, p.memory = n, memory.Bytes()
	if err == nil {
		err = g.spill(r, p, body)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.close()
		if f, known := errors.AsType[*failure](err); known {
			return nil, f
		}
		if _, is := errors.AsType[*http.MaxBytesError](err); is {
			return nil, tooLarge(contract.MaxPayloadBytes)
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
func (g *Gateway) spill(r *http.Request, p *Payload, rest io.Reader) error {
	size := int64(contract.MaxPayloadBytes) // it may be, if it does not say
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
	if p.file == nil {
		return io.NopCloser(bytes.NewReader(p.memory))
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(p.memory), io.NewSectionReader(p.file, 0, p.Size-int64(len(p.memory)))))
}

// send is open for an agent: when it has read all, the file is given up. The agent
// may take an hour to answer.
func (p *Payload) send() io.ReadCloser { return sending{p.open(), p} }

type sending struct {
	io.ReadCloser
	payload *Payload
}

func (s sending) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		s.payload.close()
	}
	return n, err
}

func (p *Payload) close() {
	if p.free != nil {
		p.free()
	}
}
