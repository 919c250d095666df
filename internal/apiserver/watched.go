package apiserver

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
)

// Watched has a line written to the log when the API server stops answering, and one when
// it answers again: client-go tries again in silence.
func Watched(config *rest.Config, log logr.Logger) *rest.Config {
	config = rest.CopyConfig(config)
	away := &atomic.Bool{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &watched{next, log, away} })
	return config
}

type watched struct {
	http.RoundTripper
	log  logr.Logger
	away *atomic.Bool
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	switch {
	case err == nil && w.away.CompareAndSwap(true, false):
		w.log.Info("The API server answers again", "host", r.URL.Host)
	case err != nil && !errors.Is(err, context.Canceled) && w.away.CompareAndSwap(false, true):
		w.log.Error(err, "The API server does not answer; trying again", "host", r.URL.Host)
	}
	return answer, err
}
