package agentruntime

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

type idsKey struct{}

type ids struct{ session, request string }

// SessionID is the runtimeSessionId that the invocation came with; empty
// outside of invocations, and in those that name no session.
func SessionID(ctx context.Context) string { return idsOf(ctx).session }

// RequestID is the id of the invocation: the platform's, or a random UUID if
// the request had none. Empty outside of invocations.
func RequestID(ctx context.Context) string { return idsOf(ctx).request }

func idsOf(ctx context.Context) ids {
	found, _ := ctx.Value(idsKey{}).(ids)
	return found
}

func withIDs(ctx context.Context, h http.Header) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{
		session: h.Get(contract.HeaderSessionID),
		request: cmp.Or(h.Get(contract.HeaderRequestID), newUUID()),
	})
}

// newUUID makes a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it would end the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
