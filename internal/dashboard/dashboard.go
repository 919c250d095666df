package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/explain"
)

const (
	// maxStreams is how many pages may be open.
	maxStreams = 32
	// maxBody is how many bytes a payload may have, and maxHead a request's head.
	maxBody, maxHead = 1 << 20, 64 << 10
	// shutdown is how long requests may take that are under way at the end.
	shutdown = 2 * time.Second
)

// Options of a Dashboard.
type Options struct {
	// Client reads, and writes with Write. What it may is what the page may.
	Client client.WithWatch
	// Callers makes the page one for many: each signs in with a bearer token, which this
	// authenticates. Client must act as the bearer in its context (authn.AsBearer). Nil: the
	// page is one user's, who has the token of its address.
	Callers authn.Authenticator
	// Cache has the objects that are shown. Nil: Client lists and watches them.
	Cache cache.Informers
	// Namespace whose sessions are shown. Empty: all.
	Namespace string
	// Now is the cluster's time, in the user's zone.
	Now func() time.Time
	// Where says which cluster it is, and Version which version serves the page.
	Where, Version string
	// Tools are how the commands begin that the page suggests. Without Self it suggests none.
	Tools explain.Tools
	// Write lets the page stop, wake and invoke sessions.
	Write bool
	// Hosts are names by which the page may be asked for, beside its address. One without a
	// port is meant at any port.
	Hosts []string
	// PublicPath is the path below which a proxy serves the page. Empty: /.
	PublicPath string
	// InWords says of an error of the cluster what to do. Nil: the error's own words.
	InWords func(error) error
	// Invoke sends a payload to a session's agent and hands its answer to a function.
	Invoke func(ctx context.Context, session *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error
	// Tasks asks a session's agent what it works on.
	Tasks func(context.Context, *v1alpha1.AgentSession) ([]contract.RunningTask, error)
}

// Dashboard serves the page.
type Dashboard struct {
	Options
	at      string
	token   string
	feed    *feed
	streams *slots
	http    *http.Server
}

// New makes a dashboard for an address on which Serve will listen.
func New(o Options, at net.Addr) (*Dashboard, error) {
	if o.PublicPath == "" {
		o.PublicPath = "/"
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.InWords == nil {
		o.InWords = func(err error) error { return err }
	}
	d := &Dashboard{Options: o, at: at.String(), token: rand.Text(), streams: newSlots()}
	d.feed = newFeed(o.Now)
	d.http = &http.Server{Handler: d.guard(d.routes()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHead}
	return d, nil
}

// URL is the address of the page, with the token that opens it. The token is in the fragment,
// which browsers send to nobody.
func (d *Dashboard) URL() string { return "http://" + d.reachable() + "/#token=" + d.token }

// reachable is the address where a browser of this machine finds the page: one that stands for
// all addresses of the machine cannot be opened.
func (d *Dashboard) reachable() string {
	at, err := netip.ParseAddrPort(d.at)
	if err != nil || !at.Addr().IsUnspecified() {
		return d.at
	}
	host := "127.0.0.1"
	if at.Addr().Is6() {
		host = "localhost"
	}
	return fmt.Sprintf("%s:%d", host, at.Port())
}

// URLs are the addresses of the page by the names that are allowed: behind proxies, which speak
// TLS.
func (d *Dashboard) URLs() (all []string) {
	for _, host := range d.Hosts {
		all = append(all, "https://"+host+d.PublicPath+"#token="+d.token)
	}
	return all
}

// Serve serves the page until ctx ends.
func (d *Dashboard) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.http.BaseContext = func(net.Listener) context.Context { return ctx } // which ends streams
	watching, err := d.watch(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- d.http.Serve(listener) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
		defer stop()
		_ = d.http.Shutdown(late) // what takes longer is cut off
		err = errors.Join(d.http.Close(), <-ended)
	}
	cancel()
	watching.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the page: %w", err)
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveIndex)
	mux.HandleFunc("GET /assets/{file}", serveAsset)
	mux.HandleFunc("GET /api/stream", d.serveStream)
	mux.HandleFunc("GET /api/sessions/{namespace}/{name}", d.serveSession)
	mux.HandleFunc("GET /api/runtimes/{namespace}/{name}", d.serveRuntime)
	mux.HandleFunc("POST /api/sessions/{namespace}/{name}/{verb}", d.serveVerb)
	return mux
}
