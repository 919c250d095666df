package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	"k8s.io/client-go/rest"
)

// defaultTimeout is how long an answer may take, unless --request-timeout says otherwise.
const defaultTimeout = "30s"

// unanswered is the error of a request that the API server has not answered in time.
type unanswered struct {
	asked string
	limit time.Duration
}

func (e *unanswered) Error() string {
	return fmt.Sprintf("%s was not answered in %s: see whether it runs, and whether --context or --kubeconfig names the right one, or give it more time with --request-timeout", e.asked, e.limit)
}

// Timeout is for net.Error.
func (e *unanswered) Timeout() bool { return true }

// Temporary is for net.Error.
func (e *unanswered) Temporary() bool { return false }

// limited has requests fail that are not answered in time; 0 is no limit. It takes the
// place of config.Timeout, which would end watches and logs too.
func limited(config *rest.Config, limit time.Duration) *rest.Config {
	config = rest.CopyConfig(config)
	config.Timeout = 0
	if limit > 0 {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &deadline{next, limit} })
	}
	return config
}

// late is when what is asked now has not been answered in time; nil if there is no limit.
func (c *cluster) late() <-chan time.Time {
	if c.limit == 0 {
		return nil
	}
	return time.After(c.limit)
}

type deadline struct {
	http.RoundTripper
	limit time.Duration
}

// RoundTrip bounds a request until its answer begins, and the rest of the answer too unless
// it is a stream.
func (d *deadline) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	isLog := path.Base(r.URL.Path) == "log"
	if isLog && query.Get("follow") == "true" { // a kubelet may answer with the first line
		return d.RoundTripper.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	late := &unanswered{r.Method + " " + r.URL.Path, d.limit}
	timer := time.AfterFunc(d.limit, func() { cancel(late) })
	end := func() {
		timer.Stop()
		cancel(nil)
	}
	answer, err := d.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		defer end()
		if errors.Is(context.Cause(ctx), late) {
			return nil, late
		}
		return nil, err
	}
	if isLog || query.Get("watch") == "true" || answer.StatusCode == http.StatusSwitchingProtocols {
		timer.Stop()
	}
	if answer.StatusCode != http.StatusSwitchingProtocols { // whose body is written, too
		answer.Body = &deadlineBody{answer.Body, ctx, end}
	}
	return answer, nil
}

type deadlineBody struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // of the request whose answer it is
	end func()
}

func (b *deadlineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var late *unanswered
	if err != nil && !errors.Is(err, io.EOF) && errors.As(context.Cause(b.ctx), &late) {
		err = late
	}
	return n, err
}

func (b *deadlineBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
