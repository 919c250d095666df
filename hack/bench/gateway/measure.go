//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/echo"
	"github.com/agentsession/agentsession/test/front"
)

const (
	callers  = 32
	turns    = 3
	cold     = 60
	one      = 2000 // calls of one caller
	streams  = 1000
	sessions = 50 // of the streams
)

// way is one of calling: straight, by the proxy or by the gateway.
type way struct {
	name     string
	requests []*http.Request // one for each caller, to be sent again and again
	client   *http.Client
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streams, DisableCompression: true}}
}

// request is signed once: a signature is good for 15 minutes.
func (b *bench) request(ctx context.Context, agent *v1alpha1.AgentRuntime, session string, payload echo.Ask) (*http.Request, error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	target := b.url + "/runtimes/" + url.PathEscape(agent.Status.AgentRuntimeArn) + "/invocations"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	r.Header.Set(contract.HeaderSessionID, session)
	return r, caller.Sign(r, accessKey, secretKey)
}

// straight is the same request to an agent, or to the proxy before it.
func straight(ctx context.Context, base string, payload echo.Ask) (*http.Request, error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/invocations", bytes.NewReader(raw))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

// send sends a request, and tells when the first byte of its answer came.
func send(c *http.Client, r *http.Request) (firstByte time.Duration, err error) {
	again := r.Clone(r.Context())
	if again.Body, err = r.GetBody(); err != nil {
		return 0, err
	}
	begun := time.Now()
	response, err := c.Do(again)
	if err != nil {
		return 0, err
	}
	firstByte = time.Since(begun)
	body, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s: %s", response.Status, body)
	}
	return firstByte, err
}

func (b *bench) measure(ctx context.Context) error {
	agent, err := b.runtime(ctx, "bench", 28800)
	if err != nil {
		return err
	}
	ways, err := b.ways(ctx, agent)
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, []way, *v1alpha1.AgentRuntime) error{
		b.measureRates, b.measureLatency, b.measureCold, b.measureStreams, b.measureWrites,
	} {
		if err := part(ctx, ways, agent); err != nil {
			return err
		}
	}
	return nil
}

// ways starts a session for each caller, and the proxy before one of them.
func (b *bench) ways(ctx context.Context, agent *v1alpha1.AgentRuntime) ([]way, error) {
	direct, proxied, through := way{"direct", nil, newClient()}, way{"proxy", nil, newClient()}, way{"gateway", nil, newClient()}
	var proxyURL string
	for range callers {
		session := string(uuid.NewUUID())
		r, err := b.request(ctx, agent, session, echo.Ask{})
		if err != nil {
			return nil, err
		}
		if _, err := send(through.client, r); err != nil {
			return nil, fmt.Errorf("start a session: %w", err)
		}
		through.requests = append(through.requests, r)
		base, err := b.agentOf(ctx, session)
		if err != nil {
			return nil, err
		}
		if proxyURL == "" {
			if proxyURL, err = b.startProxy(ctx, base); err != nil {
				return nil, err
			}
		}
		for _, to := range []struct {
			*way
			base string
		}{{&direct, base}, {&proxied, proxyURL}} {
			r, err := straight(ctx, to.base, echo.Ask{})
			if err != nil {
				return nil, err
			}
			to.requests = append(to.requests, r)
		}
	}
	var err error
	b.r.Callers, b.r.SecondsOfATurn, b.r.TurnsOfEachKind = callers, b.turn.Seconds(), turns
	b.r.EmptyRSS, err = b.rss()
	return []way{direct, proxied, through}, err
}

// agentOf is where a session's agent listens.
func (b *bench) agentOf(ctx context.Context, session string) (string, error) {
	found, err := b.sessionOf(ctx, session)
	if err != nil {
		return "", err
	}
	return "http://" + net.JoinHostPort(found.Status.Pod.IP, strconv.Itoa(int(b.Port))), nil
}

func (b *bench) sessionOf(ctx context.Context, session string) (*v1alpha1.AgentSession, error) {
	var list v1alpha1.AgentSessionList
	if err := b.API.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{"spec.runtimeSessionId": session}); err != nil {
		return nil, fmt.Errorf("find the session: %w", err)
	}
	if len(list.Items) != 1 || list.Items[0].Status.Pod == nil {
		return nil, fmt.Errorf("%d sessions %s, or one without a pod", len(list.Items), session)
	}
	return &list.Items[0], nil
}

func (b *bench) measureRates(_ context.Context, ways []way, _ *v1alpha1.AgentRuntime) error {
	say("%d callers, %d turns of %s each way", callers, turns, b.turn)
	rates := map[string][]float64{}
	for range turns {
		for _, w := range ways {
			n, err := w.load(b.turn)
			if err != nil {
				return fmt.Errorf("call (%s): %w", w.name, err)
			}
			rates[w.name] = append(rates[w.name], float64(n)/b.turn.Seconds())
		}
	}
	median := func(name string) float64 {
		slices.Sort(rates[name])
		return round(rates[name][turns/2])
	}
	b.r.DirectRPS, b.r.ProxyRPS, b.r.GatewayRPS = median("direct"), median("proxy"), median("gateway")
	b.r.GatewayOver = round(b.r.GatewayRPS / b.r.ProxyRPS)
	say("%.0f a second direct, %.0f by the proxy, %.0f by the gateway", b.r.DirectRPS, b.r.ProxyRPS, b.r.GatewayRPS)
	return nil
}

// load has all callers call for a while, and counts.
func (w way) load(during time.Duration) (n int, err error) {
	until := time.Now().Add(during)
	counts, errs := make([]int, len(w.requests)), make([]error, len(w.requests))
	var all sync.WaitGroup
	for i, r := range w.requests {
		all.Go(func() {
			for time.Now().Before(until) && errs[i] == nil {
				_, errs[i] = send(w.client, r)
				counts[i]++
			}
		})
	}
	all.Wait()
	for _, count := range counts {
		n += count
	}
	return n, errors.Join(errs...)
}

func (b *bench) measureLatency(_ context.Context, ways []way, _ *v1alpha1.AgentRuntime) error {
	say("One caller, %d calls each way", one)
	took := map[string][]time.Duration{}
	for range one { // in turns, call by call
		for _, w := range ways {
			begun := time.Now()
			if _, err := send(w.client, w.requests[0]); err != nil {
				return fmt.Errorf("call (%s): %w", w.name, err)
			}
			took[w.name] = append(took[w.name], time.Since(begun))
		}
	}
	us := func(name string, p int) float64 { return float64(percentile(p, took[name]).Nanoseconds()) / 1000 }
	b.r.DirectP50, b.r.ProxyP50 = round(us("direct", 50)), round(us("proxy", 50))
	b.r.AddedP50, b.r.AddedP99 = round(us("gateway", 50)-us("direct", 50)), round(us("gateway", 99)-us("direct", 99))
	b.r.OverProxyP50 = round(us("gateway", 50) - us("proxy", 50))
	b.r.WarmP50, b.r.WarmP99 = round(us("gateway", 50)/1000), round(us("gateway", 99)/1000)
	say("the gateway adds %.0f us, %.0f of them more than the proxy", b.r.AddedP50, b.r.OverProxyP50)
	return nil
}

func (b *bench) measureCold(ctx context.Context, ways []way, agent *v1alpha1.AgentRuntime) error {
	say("%d sessions are started, one after the other", cold)
	var took []time.Duration
	for range cold {
		r, err := b.request(ctx, agent, string(uuid.NewUUID()), echo.Ask{})
		if err != nil {
			return err
		}
		first, err := send(ways[2].client, r)
		if err != nil {
			return fmt.Errorf("start a session: %w", err)
		}
		took = append(took, first)
	}
	b.r.ColdP50, b.r.ColdP99 = milliseconds(percentile(50, took)), milliseconds(percentile(99, took))
	return nil
}

// measureStreams opens streams that say one thing and then nothing for an hour.
func (b *bench) measureStreams(ctx context.Context, ways []way, agent *v1alpha1.AgentRuntime) error {
	say("%d streams are opened", streams)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := echo.Ask{Chunks: 2, Sleep: "1h"}
	before, err := b.rss()
	if err != nil {
		return err
	}
	var through, direct []time.Duration
	for i := range sessions {
		session := string(uuid.NewUUID())
		warm, err := b.request(ctx, agent, session, echo.Ask{})
		if err != nil {
			return err
		}
		if _, err := send(ways[2].client, warm); err != nil {
			return fmt.Errorf("start a session: %w", err)
		}
		base, err := b.agentOf(ctx, session)
		if err != nil {
			return err
		}
		stream, err := b.request(ctx, agent, session, quiet)
		if err != nil {
			return err
		}
		for range streams / sessions {
			took, err := firstChunk(ways[2].client, stream)
			if err != nil {
				return fmt.Errorf("open a stream (%d): %w", i, err)
			}
			through = append(through, took)
		}
		own, err := straight(ctx, base, quiet)
		if err != nil {
			return err
		}
		took, err := firstChunk(ways[0].client, own)
		if err != nil {
			return fmt.Errorf("open a stream directly: %w", err)
		}
		direct = append(direct, took)
	}
	after, err := b.rss()
	if err != nil {
		return err
	}
	b.r.RSSPerThousand = round((after - before) * 1000 / streams)
	b.r.ChunkHeldBack = milliseconds(percentile(50, through) - percentile(50, direct))
	say("%.1f MiB for %d streams", b.r.RSSPerThousand, streams)
	return nil
}

// firstChunk opens a stream, reads its first line, and leaves it open.
func firstChunk(c *http.Client, r *http.Request) (time.Duration, error) {
	again := r.Clone(r.Context())
	var err error
	if again.Body, err = r.GetBody(); err != nil {
		return 0, err
	}
	begun := time.Now()
	response, err := c.Do(again) //nolint:bodyclose // it ends with its context
	if err != nil {
		return 0, err
	}
	if _, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil {
		return 0, err
	}
	return time.Since(begun), nil
}

// measureWrites has a session in constant use, and counts what is written.
func (b *bench) measureWrites(ctx context.Context, ways []way, _ *v1alpha1.AgentRuntime) error {
	const timeouts = 8
	agent, err := b.runtime(ctx, "used", 60)
	if err != nil {
		return err
	}
	say("A session is called all the time, for %d idle timeouts of %s", timeouts, front.Idle)
	session := string(uuid.NewUUID())
	r, err := b.request(ctx, agent, session, echo.Ask{})
	if err != nil {
		return err
	}
	writes, last := 0, ""
	for begun := time.Now(); time.Since(begun) < timeouts*front.Idle; time.Sleep(5 * time.Millisecond) {
		if _, err := send(ways[2].client, r); err != nil {
			return fmt.Errorf("call: %w", err)
		}
		found, err := b.sessionOf(ctx, session)
		if err != nil {
			return err
		}
		if traffic := found.Status.Traffic; traffic != nil && fmt.Sprint(*traffic) != last {
			writes, last = writes+1, fmt.Sprint(*traffic)
		}
	}
	b.r.WritesPerIdle = round(float64(writes) / timeouts)
	b.r.WritesPerHour = round(float64(writes) / timeouts * 3600 / 900) // with AgentCore's default
	return nil
}

// percentile is the smallest of a list that p of a hundred are not above.
func percentile(p int, of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[max(int(math.Ceil(float64(len(of)*p)/100))-1, 0)]
}

func milliseconds(d time.Duration) float64 { return round(float64(d.Microseconds()) / 1000) }

func round(f float64) float64 { return math.Round(f*1000) / 1000 }
