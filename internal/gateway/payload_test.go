package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

// Bodies wait for room, and no longer than they may; what was sent makes room.
func TestPayloadsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, g := NewWithT(t), New(Options{})
		spool := func(length int64) (*Payload, error) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2*inMemory)))
			r.ContentLength = length
			return g.spool(httptest.NewRecorder(), r)
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
	_, err := New(Options{}).spool(httptest.NewRecorder(), r)
	e.Expect(err).To(And(HaveField("Code", http.StatusRequestEntityTooLarge), HaveField("Type", "ValidationException")))
	e.Expect(body.Len()).To(Equal(1))
}
