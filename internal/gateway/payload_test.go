package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

// Bodies wait for room, and no longer than they may; what was sent makes room.
func TestPayloadsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, g := NewWithT(t), New(Options{})
		spool := func(length int64) (*Payload, error) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2*inMemory)))
			r.ContentLength = length
			return g.spool(httptest.NewRecorder(), r, contract.MaxPayloadBytes)
		}
		var all []*Payload
		for range 16 { // any of them may become as large as it may
			p, err := spool(-1)
			e.Expect(err).NotTo(HaveOccurred())
			all = append(all, p)
		}
		began := time.Now()
		_, err := spool(2 * inMemory)
		e.Expect(err).To(And(HaveField("Code", http.StatusTooManyRequests), HaveField("Type", "ThrottlingException")))
		e.Expect(time.Since(began)).To(Equal(DefaultQueueTimeout))

		time.AfterFunc(time.Second, func() { _, _ = io.Copy(io.Discard, all[0].send()) })
		began = time.Now()
		for range 95 { // these tell that they are small: 100 MB are 95 times 1 MiB
			p, err := spool(2 * inMemory)
			e.Expect(err).NotTo(HaveOccurred())
			all = append(all, p)
		}
		e.Expect(time.Since(began)).To(Equal(time.Second))
		_, err = spool(2 * inMemory)
		e.Expect(err).To(HaveField("Code", http.StatusTooManyRequests))
		for _, p := range append(all, all...) { // a call's end follows upon what was sent
			p.close()
		}
		e.Expect(g.files.TryAcquire(maxInFiles)).To(BeTrue(), "all is given back")
	})
}

func TestPayloadThatIsTooLargeIsNotRead(t *testing.T) {
	e := NewWithT(t)
	body := strings.NewReader("x")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	r.ContentLength = 100_000_001
	_, err := New(Options{}).spool(httptest.NewRecorder(), r, contract.MaxPayloadBytes)
	e.Expect(err).To(And(HaveField("Code", http.StatusRequestEntityTooLarge), HaveField("Type", "ValidationException")))
	e.Expect(body.Len()).To(Equal(1))
}

// A disk that is full is not the caller's fault.
func TestPayloadWithoutADisk(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/gone")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2*inMemory)))
	g := New(Options{})
	_, err := g.spool(httptest.NewRecorder(), r, contract.MaxPayloadBytes)
	e := NewWithT(t)
	f, is := errors.AsType[*failure](err)
	e.Expect(is).To(BeTrue(), "%v", err)
	e.Expect(f).To(And(HaveField("Code", http.StatusTooManyRequests), HaveField("RetryAfter", time.Second)))
	e.Expect(err).To(MatchError(os.ErrNotExist), "for the log")
	e.Expect(g.files.TryAcquire(maxInFiles)).To(BeTrue(), "its room is given back")
}

func payloadOf(body string) *Payload {
	p := &Payload{Size: int64(len(body))}
	p.memory.Store(new([]byte(body)))
	return p
}

// What an agent has read costs nothing while it works, and is not sent again as nothing.
func TestWhatWasSentIsGivenUp(t *testing.T) {
	e := NewWithT(t)
	large := strings.Repeat("x", agentBuffer+1)
	p := payloadOf(large)
	again := p.send()
	e.Expect(io.ReadAll(p.send())).To(BeEquivalentTo(large))
	e.Expect(p.memory.Load()).To(BeNil())
	_, err := io.ReadAll(p.send())
	e.Expect(err).To(MatchError(os.ErrClosed))
	e.Expect(io.ReadAll(again)).To(BeEquivalentTo(large), "what was being sent is sent to its end")
	e.Expect(again.(*sending).body).To(BeIdenticalTo(http.NoBody))

	p = payloadOf(large[1:])
	e.Expect(io.ReadAll(p.send())).To(BeEquivalentTo(large[1:]))
	e.Expect(io.ReadAll(p.send())).To(BeEquivalentTo(large[1:]), "the connection's buffer may have held it, and was lost")
}
