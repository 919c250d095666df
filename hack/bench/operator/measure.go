//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/hack/bench/plane"
)

const (
	namespace = "bench"
	// workers is how many requests are out at once: as many as the operator
	// reconciles.
	workers = 16
	// quiet is how long the operator is watched while nothing happens, and while
	// agents flap.
	quiet = time.Minute
	// calm without a write is when everything has settled: longer than it takes
	// to judge an agent's answers.
	calm = 12 * time.Second
	// patience is for what must come.
	patience = 5 * time.Minute
	// idle is the idle timeout of those that fall due.
	idle = 60 * time.Second
	// apart is how long after each other single sessions fall due.
	apart = 200 * time.Millisecond
)

type bench struct {
	*plane.Plane
	agents *farm
	binary string
	n      int
	nodes  int
	r      *result

	lives     timeline
	processes []process // the operator, and those on nodes
	kinds     map[string]int
	watches   int // that are not theirs
}

func (b *bench) measure(ctx context.Context) (err error) {
	b.r.Sessions, b.r.Nodes = b.n, b.nodes
	b.kinds = map[string]int{kindSingle: min(100, b.n/20), kindFlap: min(1000, b.n/5), kindMass: min(2000, b.n/4)}
	b.kinds[kindPlain] = b.n - b.kinds[kindSingle] - b.kinds[kindFlap] - b.kinds[kindMass]
	for _, name := range []string{namespace, kindRaw, kindProtocol} {
		if err := b.API.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return fmt.Errorf("create the namespace %s: %w", name, err)
		}
	}
	if err := b.measureLimit(ctx); err != nil {
		return err
	}
	if b.watches, err = b.Watches(ctx); err != nil {
		return err
	}
	begun := time.Now()
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.operate(ctx); err != nil {
		return err
	}
	b.lives.sessions = map[string]*moments{}
	for _, list := range []client.ObjectList{&v1alpha1.AgentSessionList{}, podMetadata()} {
		b.watches++
		stop := b.Run(ctx, "a watch", func(ctx context.Context) error { return b.lives.watch(ctx, b.API, list) })
		defer func() { err = errors.Join(err, stop()) }()
	}
	for _, part := range []func(context.Context) error{b.measureStart, b.measureIdle, b.measureFlapping, b.measureStops} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return b.countRefused(ctx, begun)
}

// measureLimit has a bare client do what the operator does to pods.
func (b *bench) measureLimit(ctx context.Context) error {
	bare, err := client.New(b.Operator, client.Options{Scheme: b.API.Scheme()})
	if err != nil {
		return fmt.Errorf("make a bare client: %w", err)
	}
	n := min(b.n, 1000)
	say("The limit: a bare client creates and deletes %d pods", n)
	took, err := parallel(ctx, n, func(ctx context.Context, i int) error { return bare.Create(ctx, b.pod(kindRaw, i)) })
	if err != nil {
		return fmt.Errorf("create bare pods: %w", err)
	}
	b.r.RawPodsPerSecond = rate(n, took)
	if err := b.measureProtocol(ctx, bare, n); err != nil {
		return err
	}
	if err := await(ctx, "bare agents", n, func() int { return len(b.agents.of(kindRaw)) }); err != nil {
		return err
	}
	took, err = parallel(ctx, n, func(ctx context.Context, i int) error { return bare.Delete(ctx, b.pod(kindRaw, i)) })
	if err != nil {
		return fmt.Errorf("delete bare pods: %w", err)
	}
	b.r.RawDeletesPerS = rate(n, took)
	say("%.0f pods created a second, %.0f deleted", b.r.RawPodsPerSecond, b.r.RawDeletesPerS)
	return b.awaitGone(ctx, kindRaw)
}

// measureProtocol has the bare client make the writes of starts and stops as the
// operator makes them, with nothing to decide and nothing to wait for.
func (b *bench) measureProtocol(ctx context.Context, bare client.Client, n int) error {
	sessions, pods := make([]*v1alpha1.AgentSession, n), make([]*corev1.Pod, n)
	report := func(ctx context.Context, i int, state v1alpha1.SessionState) error {
		session := sessions[i]
		base := session.DeepCopy()
		session.Status.State = state
		session.Status.Pod = &v1alpha1.PodStatus{Name: pods[i].Name, UID: pods[i].UID, CreatedAt: pods[i].CreationTimestamp}
		if err := bare.Status().Patch(ctx, session, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
			return err
		}
		return bare.Create(ctx, event(session, state))
	}
	inTurn := func(steps ...func() error) error {
		for _, step := range steps {
			if err := step(); err != nil {
				return fmt.Errorf("write what the operator writes: %w", err)
			}
		}
		return nil
	}
	took, err := parallel(ctx, n, func(ctx context.Context, i int) error {
		sessions[i], pods[i] = b.session(kindProtocol, i), b.pod(kindProtocol, i)
		return inTurn(
			func() error { return b.API.Create(ctx, sessions[i]) },
			func() error { return bare.Create(ctx, pods[i]) },
			func() error { return report(ctx, i, v1alpha1.StateStarting) },
			func() error { return report(ctx, i, v1alpha1.StateIdle) },
		)
	})
	if err != nil {
		return err
	}
	b.r.RawSessionsPerS = rate(n, took)
	took, err = parallel(ctx, n, func(ctx context.Context, i int) error {
		return inTurn(
			func() error { return report(ctx, i, v1alpha1.StateStopping) },
			func() error { return bare.Delete(ctx, pods[i]) },
			func() error { return report(ctx, i, v1alpha1.StateStopped) },
		)
	})
	if err != nil {
		return err
	}
	b.r.RawStopsPerS = rate(n, took)
	say("%.0f sessions start a second by their bare writes, %.0f stop", b.r.RawSessionsPerS, b.r.RawStopsPerS)
	if err := b.API.DeleteAllOf(ctx, &v1alpha1.AgentSession{}, client.InNamespace(kindProtocol)); err != nil { // the operator is not to see them
		return fmt.Errorf("delete the sessions: %w", err)
	}
	return b.awaitGone(ctx, kindProtocol)
}

// awaitGone waits until a namespace has no pods.
func (b *bench) awaitGone(ctx context.Context, namespace string) error {
	return await(ctx, "namespaces without pods", 1, func() int {
		var pods corev1.PodList
		if err := b.API.List(ctx, &pods, client.InNamespace(namespace), client.Limit(1)); err != nil {
			return 0
		}
		return 1 - len(pods.Items)
	})
}

func event(about *v1alpha1.AgentSession, reason v1alpha1.SessionState) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: about.Namespace, GenerateName: about.Name},
		EventTime:           metav1.NowMicro(),
		ReportingController: "bench", ReportingInstance: "bench",
		Type: corev1.EventTypeNormal, Reason: string(reason), Action: "Observe",
		Regarding: corev1.ObjectReference{Kind: "AgentSession", Namespace: about.Namespace, Name: about.Name, UID: about.UID},
	}
}

// measureStart has all sessions become Ready.
func (b *bench) measureStart(ctx context.Context) error {
	if err := sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	operator, nodes, err := b.used()
	if err != nil {
		return err
	}
	b.r.EmptyRSS = round(operator.rss)
	if b.nodes > 0 {
		b.r.ofNodes = &ofNodes{NodeEmptyRSS: round(nodes.rss)}
	}
	var sessions []*v1alpha1.AgentSession
	for kind, n := range b.kinds {
		for i := range n {
			sessions = append(sessions, b.session(kind, i))
		}
	}
	say("%d sessions are created; the operator is empty with %.1f MiB", b.n, b.r.EmptyRSS)
	from := time.Now()
	if _, err := parallel(ctx, b.n, func(ctx context.Context, i int) error {
		b.lives.note(sessions[i].Name, func(m *moments) { m.created = time.Now() })
		return b.API.Create(ctx, sessions[i])
	}); err != nil {
		return fmt.Errorf("create sessions: %w", err)
	}
	if err := await(ctx, "sessions Ready", b.n, func() int { ready, _ := b.lives.counts(); return ready }); err != nil {
		return err
	}
	toPod := b.lives.durations(func(_ string, m moments) (time.Duration, bool) { return m.pod.Sub(m.created), true })
	toReady := b.lives.durations(func(_ string, m moments) (time.Duration, bool) { return m.ready.Sub(m.created), true })
	last := b.lives.durations(func(_ string, m moments) (time.Duration, bool) { return m.ready.Sub(from), true })
	b.r.CreateToPodP50, b.r.CreateToPodP99 = percentile(50, toPod), percentile(99, toPod)
	b.r.CreateToReadyP50, b.r.CreateToReadyP99 = percentile(50, toReady), percentile(99, toReady)
	b.r.ReadyPerSecond = rate(b.n, last[len(last)-1])
	b.r.ReadyOverRaw = round(b.r.ReadyPerSecond / b.r.RawPodsPerSecond)
	b.r.ReadyOverRawSessions = round(b.r.ReadyPerSecond / b.r.RawSessionsPerS)
	say("%.0f sessions Ready a second: %.2f of bare pods, %.2f of the bare writes", b.r.ReadyPerSecond, b.r.ReadyOverRaw, b.r.ReadyOverRawSessions)
	if err := b.settle(ctx); err != nil {
		return err
	}
	writes, events, err := b.written(from, "")
	b.r.Writes, b.r.Events = round(float64(writes)/float64(b.n)), round(float64(events)/float64(b.n))
	return err
}

// pod is a bare one, which the node takes for a session's.
func (b *bench) pod(kind string, i int) *corev1.Pod {
	name := fmt.Sprintf("%s-%d", kind, i)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: kind, Name: name, Labels: map[string]string{v1alpha1.LabelSession: name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
	}
}

func (b *bench) session(kind string, i int) *v1alpha1.AgentSession {
	timeout := int32(28800)
	if kind == kindSingle || kind == kindMass {
		timeout = int32(idle.Seconds())
	}
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: cmp.Or(map[string]string{kindProtocol: kindProtocol}[kind], namespace), Name: fmt.Sprintf("%s-%d", kind, i)},
		Spec: v1alpha1.AgentSessionSpec{
			Template:               corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}},
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: timeout, MaxLifetime: 28800},
			Ping:                   v1alpha1.PingSpec{Port: b.Node.Port()},
		},
	}
}

// measureIdle watches the operator while nothing happens.
func (b *bench) measureIdle(ctx context.Context) error {
	say("Nothing happens for %s", quiet)
	from := time.Now()
	before, nodesBefore, err := b.used()
	if err != nil {
		return err
	}
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	after, nodesAfter, err := b.used()
	if err != nil {
		return err
	}
	took := time.Since(from)
	b.r.IdleCPU, b.r.RSS = round((after.cpu-before.cpu).Seconds()/took.Seconds()), round(after.rss)
	if b.nodes > 0 {
		b.r.NodeIdleCPU, b.r.NodeRSS = round((nodesAfter.cpu-nodesBefore.cpu).Seconds()/took.Seconds()), round(nodesAfter.rss)
	}
	watches, err := b.Watches(ctx)
	if err != nil {
		return err
	}
	b.r.Watches = watches - b.watches
	b.r.RSSPerSession = round((b.r.RSS - b.r.EmptyRSS) * 1024 / float64(b.n))
	writes, events, err := b.written(from, "")
	b.r.IdleWrites = float64(writes+events) / float64(b.n) / took.Minutes()
	say("%.3f cores, %.1f MiB, %d writes, %d watches", b.r.IdleCPU, b.r.RSS, writes+events, b.r.Watches)
	return err
}

// measureFlapping has agents change their status at every ping.
func (b *bench) measureFlapping(ctx context.Context) error {
	b.r.Flapping = b.kinds[kindFlap]
	say("%d agents change at every ping, for %s", b.r.Flapping, quiet)
	from := time.Now()
	end := b.agents.flap(kindFlap)
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	since := end()
	writes, events, err := b.written(from, kindFlap)
	if err != nil {
		return err
	}
	minutes := float64(b.r.Flapping) * time.Since(from).Minutes()
	b.r.FlappingWrites, b.r.FlappingEvents = round(float64(writes)/minutes), round(float64(events)/minutes)
	say("%.1f writes and %.1f Events a session and minute", b.r.FlappingWrites, b.r.FlappingEvents)
	if err := b.settle(ctx); err != nil {
		return err
	}
	var list v1alpha1.AgentSessionList
	if err := b.API.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list the sessions: %w", err)
	}
	for i := range list.Items {
		if s := &list.Items[i]; strings.HasPrefix(s.Name, kindFlap) {
			if s.Status.IdleSince == nil {
				return fmt.Errorf("session %s has no idleSince, %s after its agent became Healthy", s.Name, time.Since(since[s.Name]))
			}
			b.r.FlappingClockOff = max(b.r.FlappingClockOff, math.Abs(s.Status.IdleSince.Sub(since[s.Name].Truncate(time.Second)).Seconds()))
		}
	}
	return nil
}

// measureStops has sessions fall due one after the other, and then many in the
// same second. An agent's stamp counts whole seconds.
func (b *bench) measureStops(ctx context.Context) error {
	b.r.MassStops = b.kinds[kindMass]
	say("%d sessions fall due one after the other, then %d in one second", b.kinds[kindSingle], b.r.MassStops)
	due := map[string]time.Time{}
	for session, agent := range b.agents.of(kindSingle) {
		now := time.Now()
		agent.SayAt(contract.Healthy, now)
		due[session] = now.Truncate(time.Second).Add(idle)
		if err := sleep(ctx, apart); err != nil {
			return err
		}
	}
	if err := sleep(ctx, 5*time.Second); err != nil { // the last single one has gone before the first of the mass
		return err
	}
	massDue := b.agents.say(kindMass, contract.Healthy).Truncate(time.Second).Add(idle)
	for session := range b.agents.of(kindMass) {
		due[session] = massDue
	}
	if err := await(ctx, "sessions stopped", len(due), func() int { _, deleted := b.lives.counts(); return deleted }); err != nil {
		return err
	}
	late := func(kind string) []time.Duration {
		return b.lives.durations(func(session string, m moments) (time.Duration, bool) {
			return m.deleted.Sub(due[session]), strings.HasPrefix(session, kind)
		})
	}
	single, mass := late(kindSingle), late(kindMass)
	b.r.StopLatenessP50, b.r.StopLatenessP99 = percentile(50, single), percentile(99, single)
	b.r.MassStopLast = round(mass[len(mass)-1].Seconds())
	b.r.MassStopsPerS = rate(len(mass), mass[len(mass)-1])
	b.r.MassStopsOverRaw = round(b.r.MassStopsPerS / b.r.RawDeletesPerS)
	b.r.MassStopsOverRawStops = round(b.r.MassStopsPerS / b.r.RawStopsPerS)
	say("%d stopped in %.1f s: %.2f of bare deletions, %.2f of the bare writes", len(mass), b.r.MassStopLast, b.r.MassStopsOverRaw, b.r.MassStopsOverRawStops)
	return nil
}
