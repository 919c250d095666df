//go:build linux

// Command gateway measures the gateway: its own binary, with callers that are
// authenticated by Signature Version 4, on a real API server and etcd
// (KUBEBUILDER_ASSETS), with the operator and agents on loopback.
//
// Beside it, in turns and in the same run, stand the agents themselves without a
// gateway (direct), and a bare httputil.ReverseProxy in a process of its own that
// asks nobody who he is and knows one agent (proxy).
//
//   - how many calls a second 32 callers have answered, each with a session of its
//     own, for a few seconds each in three turns;
//   - how long one caller waits, one call after the other;
//   - how long the first byte takes of a session that has to be started (cold), of
//     one that is there (warm), and of a stream;
//   - how often a session in constant use is written;
//   - how much memory 1,000 open streams take.
//
// Agents, API server, operator and callers share the machine with it, so rates are
// to be compared with those of the same run. The last line is JSON. It judges
// nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// result is the last line.
type result struct {
	DirectRPS       float64 `json:"direct_rps"`
	GatewayRPS      float64 `json:"gateway_rps"`
	ProxyRPS        float64 `json:"proxy_rps"`
	GatewayOver     float64 `json:"gateway_over_proxy"`
	DirectP50       float64 `json:"direct_latency_us_p50"`
	ProxyP50        float64 `json:"proxy_latency_us_p50"`
	AddedP50        float64 `json:"added_latency_us_p50"` // over direct
	AddedP99        float64 `json:"added_latency_us_p99"`
	OverProxyP50    float64 `json:"added_over_proxy_us_p50"`
	ColdP50         float64 `json:"cold_first_byte_ms_p50"`
	ColdP99         float64 `json:"cold_first_byte_ms_p99"`
	WarmP50         float64 `json:"warm_first_byte_ms_p50"`
	WarmP99         float64 `json:"warm_first_byte_ms_p99"`
	ChunkHeldBack   float64 `json:"first_chunk_held_back_ms_p50"`
	WritesPerIdle   float64 `json:"activity_writes_per_idle_timeout"`
	WritesPerHour   float64 `json:"activity_writes_per_session_hour"`
	EmptyRSS        float64 `json:"empty_rss_mib"`
	RSSPerThousand  float64 `json:"rss_mib_per_1000_streams"`
	Callers         int     `json:"callers"`
	SecondsOfATurn  float64 `json:"seconds"`
	TurnsOfEachKind int     `json:"turns"`
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "proxy" {
		fmt.Fprintln(os.Stderr, "gateway:", proxy(os.Args[2]))
		os.Exit(1)
	}
	seconds := flag.Int("seconds", 5, "how long a turn takes, in `seconds`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, time.Duration(*seconds)*time.Second)
	stop()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// proxy is the yardstick: it says where it listens, and serves until it is killed.
func proxy(target string) error {
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for as long as it lives
	if err != nil {
		return err
	}
	if _, err := fmt.Println("http://" + listener.Addr().String()); err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}
	return (&http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
	}}).Serve(listener)
}

func run(ctx context.Context, turn time.Duration) (r result, err error) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "agentsession-gateway-")
	if err != nil {
		return r, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)                          //nolint:errcheck // in the temporary directory
	if err := os.Setenv("TMPDIR", dir); err != nil { // envtest leaves files behind when it fails
		return r, fmt.Errorf("make a place for the API server: %w", err)
	}
	b := &bench{dir: dir, turn: turn, r: &r}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return r, err
	}
	return r, b.measure(ctx)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
