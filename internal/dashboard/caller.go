package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/agentsession/agentsession/internal/authn"
)

// maxStreamsEach is how many pages one caller may have open, where there are many callers.
const maxStreamsEach = 8

type callerKey struct{}

// admitCaller has a request be its bearer's.
func (d *Dashboard) admitCaller(w http.ResponseWriter, r *http.Request, token string) (*http.Request, bool) {
	proof, err := d.Callers(r.Context(), r)
	if err != nil {
		refuseCaller(w, err)
		return nil, false
	}
	caller, err := proof("")
	if err != nil {
		refuseCaller(w, err)
		return nil, false
	}
	return r.WithContext(context.WithValue(authn.WithBearer(r.Context(), token), callerKey{}, caller.Name)), true
}

// callerOf is the name of who asks; empty on a page of one user.
func callerOf(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

func refuseCaller(w http.ResponseWriter, err error) {
	code, why := http.StatusInternalServerError, "it cannot be found out who you are"
	if e, is := errors.AsType[*authn.Error](err); is {
		why = e.Message
		switch e.Kind {
		case authn.Denied, authn.InsufficientScope, authn.Unauthorized:
			code = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", "Bearer")
		case authn.Throttled:
			code = http.StatusTooManyRequests
		case authn.Unknown:
			code = http.StatusServiceUnavailable
		}
	}
	refuse(w, code, why)
}

// slots bound how many pages are open, by caller too.
type slots struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

func newSlots() *slots { return &slots{each: map[string]int{}} }

// take has room for a page of a caller until done, or says why there is none. A page of one
// user has no callers.
func (s *slots) take(caller string) (done func(), why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.all == maxStreams:
		return nil, fmt.Sprintf("%d pages are open, which is the limit: close one of them", maxStreams)
	case caller != "" && s.each[caller] == maxStreamsEach:
		return nil, fmt.Sprintf("%s has %d pages open, which is the limit of one caller: close one of them", caller, maxStreamsEach)
	}
	s.all++
	s.each[caller]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.each[caller]--; s.each[caller] == 0 {
			delete(s.each, caller)
		}
	}, ""
}
