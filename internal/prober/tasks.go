package prober

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// tasksTimeout is how long an answer of GET /tasks may take in all.
	tasksTimeout = time.Second
	// maxAsking is how many agents are asked for their tasks at the same time.
	// Half of the places are for those that told when they were last asked, so
	// that agents that hang leave room for the rest.
	maxAsking = 16
)

// AskTasks asks an agent GET /tasks, once and in the background, and notifies
// if the answer is worth a look: see Work. It does nothing while the agent is being
// asked already, is not tracked as that pod, or too many others are being asked.
// An agent that does not tell is not an error: not every agent can.
func (p *Prober) AskTasks(ctx context.Context, key types.NamespacedName, uid types.UID, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[key]
	if e == nil || e.target.UID != uid || e.asking || p.asking >= e.askingPlaces() || !p.started || p.ended {
		return
	}
	e.asking = true
	p.asking++
	p.probes.Go(func() { p.askTasks(context.WithoutCancel(ctx), e, token) })
}

func (p *Prober) askTasks(ctx context.Context, e *entry, token string) {
	ctx, cancel := context.WithTimeout(ctx, tasksTimeout)
	defer cancel()
	answer, err := p.opts.Tasks(ctx, e.target, token)
	now := p.now()
	p.mu.Lock()
	p.asking--
	before := e.work
	var work lifecycle.Work
	switch {
	case err == nil:
		work = lifecycle.WorkOf(answer, now)
	case before != nil:
		work = before.Unanswered(now)
	default:
		work = lifecycle.Work{AskedAt: now}
	}
	e.asking, e.work = false, &work
	tells := p.entries[e.target.Key] == e && work.Tells(before)
	p.mu.Unlock()
	if tells {
		p.notify(e.target.Key)
	}
}

func (e *entry) askingPlaces() int {
	if e.work != nil && !e.work.Answered() {
		return maxAsking / 2
	}
	return maxAsking
}

// Work returns what the session's agent told of its tasks, if it is the pod with
// that UID that was asked.
func (p *Prober) Work(key types.NamespacedName, uid types.UID) lifecycle.Work {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[key]; e != nil && e.target.UID == uid && e.work != nil {
		return *e.work
	}
	return lifecycle.Work{}
}

// NotTold is the status of an answer that tells no tasks.
type NotTold int

func (e NotTold) Error() string { return fmt.Sprintf("answered %d", int(e)) }

// FetchTasks asks over a connection of its own, and is as careful as HTTPPinger:
// no redirect, no proxy, no decompression, a bound on bytes and time.
func FetchTasks(ctx context.Context, t Target, token string) (contract.Tasks, error) {
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return contract.Tasks{}, errors.New("a token of other characters than a header may hold")
	}
	line := HTTPPinger{}.open(t)
	if failed, err := line.dial(ctx); err != nil || failed.Failure != "" {
		return contract.Tasks{}, errors.Join(err, errors.New(failed.Detail))
	}
	defer line.Close()
	if _, err := fmt.Fprintf(line.conn, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n",
		contract.TasksPath, line.addr.Port(), userAgent, token); err != nil {
		return contract.Tasks{}, fmt.Errorf("ask for tasks: %w", err)
	}
	reader := newAnswerReader()
	reader.reset(line.conn)
	resp, err := reader.header() //nolint:bodyclose // closing reads on; the connection is closed instead
	if err != nil {
		return contract.Tasks{}, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return contract.Tasks{}, NotTold(resp.StatusCode)
	}
	reader.left = 2 * contract.MaxTasksBytes
	body, err := io.ReadAll(io.LimitReader(resp.Body, contract.MaxTasksBytes+1))
	if err != nil {
		return contract.Tasks{}, fmt.Errorf("read the answer: %w", err)
	}
	return contract.ParseTasks(body)
}
