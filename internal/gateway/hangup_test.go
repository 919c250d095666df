package gateway

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestPlacesOfThoseWhoHangUp(t *testing.T) {
	g := NewWithT(t)
	var places finishing
	of := func(n int) compute { return compute{pod: types.UID(rune('a' + n))} }
	for n := range maxFinishing {
		g.Expect(places.acquire(of(n / maxFinishingEach))).To(BeTrue())
		if n == maxFinishingEach-1 {
			g.Expect(places.acquire(of(0))).To(BeFalse(), "one compute's are full")
		}
	}
	other := of(maxFinishing)
	g.Expect(places.acquire(other)).To(BeFalse(), "all are full")
	places.release(of(0))
	g.Expect(places.acquire(other)).To(BeTrue())
	places.release(other)
	for n := 1; n < maxFinishing; n++ {
		places.release(of(n / maxFinishingEach))
	}
	g.Expect(places.all).To(BeZero())
	g.Expect(places.each).To(BeEmpty())
}

func TestWhoeverHangsUp(t *testing.T) {
	for name, row := range map[string]struct {
		op            operation
		policy        v1alpha1.OnDisconnect
		before, after func(*hangup) // he does
		left          int           // places
		ends          bool          // the work
	}{
		"on an invocation":                {op: opInvoke, policy: v1alpha1.OnDisconnectFinish, left: 1},
		"on one of an older runtime":      {op: opInvoke, left: 1},
		"on one that says Cancel":         {op: opInvoke, policy: v1alpha1.OnDisconnectCancel, left: 1, ends: true},
		"on one too many":                 {op: opInvoke, ends: true},
		"before a stream comes":           {op: opInvoke, left: 1, after: (*hangup).streams, ends: true},
		"in a stream":                     {op: opInvoke, left: 1, before: (*hangup).streams, ends: true},
		"on a WebSocket":                  {op: opSocket, policy: v1alpha1.OnDisconnectFinish, left: 1, ends: true},
		"on the card of an agent":         {op: opCard, left: 1, ends: true},
		"on a WebSocket that has ended":   {op: opSocket, left: 1, before: func(h *hangup) { h.end() }},
		"on an invocation that has ended": {op: opInvoke, left: 1, before: func(h *hangup) { h.end() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				one, of := New(Options{}), compute{pod: "a"}
				for range maxFinishingEach - row.left {
					one.finishing.acquire(of)
				}
				caller, leave := context.WithCancel(t.Context())
				work, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				runtime := &v1alpha1.AgentRuntime{Spec: v1alpha1.AgentRuntimeSpec{OnDisconnect: row.policy}}
				h := one.onHangup(caller, &call{op: row.op, runtime: runtime}, of, cancel)
				if row.before != nil {
					row.before(h)
				}
				leave()
				synctest.Wait()
				if row.after != nil {
					g.Expect(work.Err()).NotTo(HaveOccurred())
					row.after(h)
				}
				g.Expect(errors.Is(context.Cause(work), errHungUp)).To(Equal(row.ends))
				h.end()
				g.Expect(h.end()).To(Equal(h.left))
				g.Expect(one.finishing.all).To(Equal(maxFinishingEach-row.left), "the place is given back once")
			})
		})
	}
}

// failing cannot be written to.
type failing struct{ *httptest.ResponseRecorder }

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWhatNobodyHearsIsReadToItsEnd(t *testing.T) {
	g := NewWithT(t)
	for _, finishes := range []bool{true, false} {
		w := &detachableWriter{ResponseWriter: failing{httptest.NewRecorder()}, hangup: &hangup{finishes: finishes}}
		n, err := w.Write([]byte("half"))
		g.Expect(err == nil && n == 4).To(Equal(finishes))
	}
	heard := httptest.NewRecorder()
	w := &detachableWriter{ResponseWriter: heard, hangup: &hangup{finishes: true}}
	_, err := w.Write([]byte(strings.Repeat("x", 5)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(heard.Body.Len()).To(Equal(5), "one who has closed his side only may still read")
}
