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
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	// inMemory is how much of a body is kept in memory; more goes to a file.
	inMemory = 256 << 10
	// maxFiles is how many bodies may be in files at once: with 100 MB each they
	// fill what config/gateway gives them.
	maxFiles = 16
)

var files = make(chan struct{}, maxFiles)

// Payload is the body of a request. A signature covers all of it, so it has to
// be there before anything is done.
type Payload struct {
	// Hash is its SHA-256, in hex.
	Hash string
	// Size is its length in bytes.
	Size int64

	memory []byte
	file   *os.File
	placed bool // it has one of the places of files
}

// spool reads the body of a request.
func spool(w http.ResponseWriter, r *http.Request) (*Payload, error) {
	deadline := http.NewResponseController(w)
	if err := deadline.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
		defer deadline.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	}
	sum := sha256.New()
	body := io.TeeReader(http.MaxBytesReader(w, r.Body, contract.MaxPayloadBytes), sum)
	p := &Payload{}
	var memory bytes.Buffer
	n, err := io.CopyN(&memory, body, inMemory)
	p.Size, p.memory = n, memory.Bytes()
	if err == nil {
		err = p.spill(r.Context(), body)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.close()
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			f := invalid("payload", fmt.Sprintf("Value at 'payload' failed to satisfy constraint: Member must have length less than or equal to %d", contract.MaxPayloadBytes))
			f.Code = http.StatusRequestEntityTooLarge
			return nil, f
		}
		return nil, unparsable("The request's body could not be read to its end")
	}
	p.Hash = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// spill writes what is left of a body to a file without a name, when there is
// place for one more.
func (p *Payload) spill(ctx context.Context, rest io.Reader) error {
	select {
	case files <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.placed = true
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

func (p *Payload) close() {
	if p.placed {
		<-files
		p.placed = false
	}
	if p.file != nil {
		_ = p.file.Close() // it has no name any more
	}
}
