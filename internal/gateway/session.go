package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/traces"
)

// runtimeField selects the sessions of a runtime by its name.
const runtimeField = "spec.runtimeRef.name"

const (
	// conflictRetry is when a session is looked at again that somebody else wrote
	// first, if no change has shown it before.
	conflictRetry = 50 * time.Millisecond
	// shownTimeout is how long the next start of a runtime with maxSessions waits for the
	// last one to be seen.
	shownTimeout = time.Second
	// stopPatience is how long a call to a session that stops waits, before it is told of
	// a conflict.
	stopPatience = 3 * time.Second
	// lookAgain is how long a call that waits for a session goes by the cache, which may
	// stand still, before it looks past it.
	lookAgain = 5 * time.Second
)

// errUnchanged means that no change was seen in the time for one.
var errUnchanged = errors.New("no change was seen")

// nameOf is the name of the AgentSession of a runtime, endpoint and session id.
func nameOf(runtime string, at endpoint, id string) string {
	return lifecycle.SessionName(runtime, string(at.runtime), at.qualifier, id)
}

func (c *call) key() client.ObjectKey {
	return client.ObjectKey{Namespace: c.runtime.Namespace, Name: nameOf(c.runtime.Name, c.endpoint(), c.session)}
}

func (c *call) endpoint() endpoint { return endpoint{c.runtime.UID, c.qualifier} }

// matches tells whether a session by the right name is the call's: whoever may make
// sessions may give one that name, with an agent of his own.
func (c *call) matches(session *v1alpha1.AgentSession) bool {
	ref := session.Spec.RuntimeRef
	return ref != nil && ref.Name == c.runtime.Name && cmp.Or(ref.Qualifier, v1alpha1.DefaultQualifier) == c.qualifier &&
		session.Spec.RuntimeSessionID == c.session
}

// acquire returns the call's session with a compute that answers, and notes that
// it is in use until release. started says that this call has begun to start it,
// or one that it waited for.
func (g *Gateway) acquire(ctx context.Context, c *call, started bool) (session *v1alpha1.AgentSession, release func(), err error) {
	for live, late := false, false; ; {
		changed := g.changes.next(c.key())
		session, phase, err := g.readPhase(ctx, c, live)
		if err != nil && late { // what the cache shows is enough to wait on
			live = false
			session, phase, err = g.readPhase(ctx, c, live)
		}
		if err == nil && phase == lifecycle.PhaseReady {
			if release, err = g.use(ctx, session, c.any); !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return session, release, err
			}
			// Somebody was first: see what it is when the cache shows it, or past it.
			err = waitFor(ctx, changed, conflictRetry)
		} else if err == nil {
			started, err = g.advance(ctx, c, changed, session, phase, started, live)
		}
		if live, late, err = nextRead(err, live); err != nil {
			return nil, nil, err
		}
	}
}

// nextRead tells how a session is looked at next: what the cache shows is enough to let a
// call through, and not to refuse it. late: it has shown nothing new.
func nextRead(err error, live bool) (past, late bool, _ error) {
	if late = errors.Is(err, errUnchanged); late || refuses(err) && !live {
		return true, late, nil
	}
	return false, false, err
}

// advance has a session that is not ready start, or waits for it.
func (g *Gateway) advance(ctx context.Context, c *call, changed <-chan struct{}, session *v1alpha1.AgentSession, phase lifecycle.Phase, started, live bool) (bool, error) {
	if c.op == opPort {
		return started, asleep(phase)
	}
	if (!started || lifecycle.Missed(session)) && (phase == lifecycle.PhaseStopped || lifecycle.Dropped(session)) {
		started, err := g.begin(ctx, c, session)
		if err == nil && !started {
			err = waitFor(ctx, changed, conflictRetry)
		}
		return started, err
	}
	err := g.await(ctx, c, changed, session, phase, started, live)
	return started || err == nil && phase == lifecycle.PhaseStarting, err
}

// refuses tells whether an error is an answer.
func refuses(err error) bool {
	_, is := errors.AsType[*failure](err)
	return is
}

// readPhase reads a session, past the cache if it is to be live. One that is not there is
// stopped, and has no UID.
func (g *Gateway) readPhase(ctx context.Context, c *call, live bool) (session *v1alpha1.AgentSession, phase lifecycle.Phase, err error) {
	session, err = g.read(ctx, c.key(), live)
	switch {
	case err != nil:
		return nil, "", err
	case session.UID == "":
		return session, lifecycle.PhaseStopped, nil
	case !c.matches(session):
		return nil, "", &failure{
			Code: http.StatusConflict, Type: "ConflictException",
			Message: "An AgentSession of another runtime or session id stands where this session's belongs",
		}
	}
	if phase = lifecycle.PhaseOf(session); phase != lifecycle.PhaseStopped {
		c.runs(session)
	}
	return session, phase, nil
}

// runs notes what the call's session speaks: an endpoint may pin a version that does
// not speak what the newest does.
func (c *call) runs(session *v1alpha1.AgentSession) {
	if started := session.Status.Runtime; started != nil {
		c.protocol = lifecycle.ProtocolOf(started.ProtocolConfiguration).ServerProtocol
	}
}

// await waits for a session that is not ready to change, unless that is not this
// call's to wait for, or there is nothing to wait for.
func (g *Gateway) await(ctx context.Context, c *call, changed <-chan struct{}, session *v1alpha1.AgentSession, phase lifecycle.Phase, started, live bool) error {
	if phase == lifecycle.PhaseStopped || lifecycle.Dropped(session) {
		return startFailed(session)
	}
	if refusal := refusalOf(session); phase == lifecycle.PhaseStarting && refusal != nil {
		if !c.began.IsZero() && live {
			return errors.Join(refusal, g.withdraw(ctx, c))
		}
		return refusal
	}
	if started || g.Conflict == ConflictWait {
		return waitFor(ctx, changed, lookAgain)
	}
	if left := c.bears(phase); left > 0 {
		return waitFor(ctx, changed, left)
	}
	if live {
		conflictsTotal.Inc()
	}
	return conflict()
}

// bears is how long a call waits yet for a session that stops, and may not be woken.
func (c *call) bears(phase lifecycle.Phase) time.Duration {
	if phase != lifecycle.PhaseStopping {
		return 0
	}
	if c.patience.IsZero() {
		c.patience = time.Now().Add(stopPatience)
	}
	return time.Until(c.patience)
}

// waitFor waits for a change. It is errUnchanged if none has come in time.
func waitFor(ctx context.Context, changed <-chan struct{}, atMost time.Duration) error {
	select {
	case <-changed:
		return nil
	case <-time.After(atMost):
		return errUnchanged
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin creates a session, or wakes it, unless somebody else was first.
func (g *Gateway) begin(ctx context.Context, c *call, session *v1alpha1.AgentSession) (first bool, err error) {
	one, mine := g.beginnings.of(c.key())
	if !mine {
		select {
		case <-one.done:
			return false, one.err
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	var wrote bool
	defer func() {
		shared := err
		if ctx.Err() != nil || refuses(err) && !wrote { // gone, or refused by a count that is for this call alone
			shared = nil
		}
		g.beginnings.end(c.key(), shared)
		if first { // the roster shows it
			g.changes.notify(c.key())
		}
	}()
	first, wrote, err = g.beginAlone(ctx, c, session)
	return first, err
}

// beginAlone tells too whether it came to the write.
func (g *Gateway) beginAlone(ctx context.Context, c *call, session *v1alpha1.AgentSession) (first, wrote bool, err error) {
	if c.runtime.Spec.MaxSessions != nil {
		// One after the other, or all would count before the first has begun.
		done, err := g.starting.wait(ctx, endpoint{runtime: c.runtime.UID}, math.MaxInt)
		if err != nil {
			return false, false, err
		}
		defer done()
	}
	if err := g.quota(ctx, c); err != nil {
		return false, false, err
	}
	began := time.Now()
	if session.UID == "" {
		first, err = g.create(ctx, c)
	} else {
		first, err = g.wake(ctx, c, session)
	}
	if first {
		c.began = began
	}
	if first && c.runtime.Spec.MaxSessions != nil {
		g.awaitShown(ctx, c.key())
	}
	return first, true, err
}

// awaitShown waits until the watch has shown what this gateway wrote of a session, for a
// moment: until then what other gateways have begun before may be missing from its count.
func (g *Gateway) awaitShown(ctx context.Context, key client.ObjectKey) {
	ctx, cancel := context.WithTimeout(ctx, shownTimeout)
	defer cancel()
	for {
		changed := g.changes.next(key)
		if g.roster.ahead(key) == nil || waitFor(ctx, changed, shownTimeout) != nil {
			return
		}
	}
}

func (g *Gateway) create(ctx context.Context, c *call) (first bool, err error) {
	session := newSession(c)
	traces.Mark(ctx, session, 1)
	g.roster.reserve(c.key(), client.ObjectKeyFromObject(c.runtime))
	within, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = g.Client.Create(within, session)
	switch {
	case err == nil:
		g.roster.updateLive(session)
		startsTotal.WithLabelValues("created").Inc()
		return true, nil
	case apierrors.IsAlreadyExists(err): // the cache will show it
		return false, nil
	}
	g.roster.unreserve(c.key())
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return false, errors.Join(notFound("The namespace of the runtime is being deleted, and takes no more sessions"), err)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return false, errors.Join(overQuota("The namespace of the runtime may have no more AgentSessions: a ResourceQuota is used up"), err)
	case apierrors.IsConflict(err), // two were counted at once
		(apierrors.IsForbidden(err) || apierrors.IsInternalError(err)) && uncounted(err):
		return false, errors.Join(throttled("A ResourceQuota of the runtime's namespace is being counted. Please retry."), err)
	}
	return false, fmt.Errorf("create session %s: %w", c.key(), err)
}

// uncounted tells whether an error is the API server's for a quota that it could not
// count yet. It says so in words only.
func uncounted(err error) bool {
	return strings.Contains(err.Error(), "status unknown for quota: ") || strings.Contains(err.Error(), "resource quota evaluation timed out")
}

func (g *Gateway) wake(ctx context.Context, c *call, session *v1alpha1.AgentSession) (first bool, err error) {
	base := session.DeepCopy()
	session.Spec.Activation, session.Spec.DesiredState = lifecycle.Wake(session), v1alpha1.DesiredRunning
	traces.Mark(ctx, session, session.Spec.Activation)
	err = g.patchSpec(ctx, session, base)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err): // a look past the cache tells
		return false, nil
	case err != nil:
		return false, fmt.Errorf("wake session %s: %w", c.key(), err)
	}
	startsTotal.WithLabelValues("woken").Inc()
	return true, nil
}

// patchSpec writes onto exactly the version of a session that base is.
func (g *Gateway) patchSpec(ctx context.Context, session, base *v1alpha1.AgentSession) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := g.Client.Patch(ctx, session, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	g.roster.updateLive(session)
	return nil
}

// withdraw stops a session that this call has begun and that cannot start: nobody
// waits for it any more, and it would start when nobody wants it.
func (g *Gateway) withdraw(ctx context.Context, c *call) error {
	return g.askToStop(ctx, c.key(), "", func(session *v1alpha1.AgentSession) (bool, error) {
		return lifecycle.PhaseOf(session) != lifecycle.PhaseStarting || lifecycle.Refusal(session) == "", nil
	})
}

func newSession(c *call) *v1alpha1.AgentSession {
	labels := lifecycle.SessionLabels(c.runtime)
	if c.any {
		labels[labelShared] = ""
	}
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.key().Namespace, Name: c.key().Name,
			Labels: labels,
			// With its runtime the session goes, as AgentCore's does.
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(c.runtime, v1alpha1.GroupVersion.WithKind("AgentRuntime")),
			},
		},
		Spec: v1alpha1.AgentSessionSpec{
			RuntimeRef:             &v1alpha1.RuntimeRef{Name: c.runtime.Name, Qualifier: c.qualifier},
			RuntimeSessionID:       c.session,
			TTLSecondsAfterStopped: new(lifecycle.SessionTTLOf(&c.runtime.Spec)),
		},
	}
}

// quota refuses a session more than the runtime may have with a compute. This gateway
// knows what it has begun, and what others have begun a moment later: of n gateways n-1
// too many may start. What others have stopped, and how many there may be by now, it asks the
// API server for before it refuses, once for all who wait for that: c has the runtime's line.
func (g *Gateway) quota(ctx context.Context, c *call) error {
	if c.runtime.Spec.MaxSessions == nil {
		return nil
	}
	most, runtime := int(*c.runtime.Spec.MaxSessions), client.ObjectKeyFromObject(c.runtime)
	n := g.roster.used(runtime, c.key())
	if n < most || c.any && g.raised(ctx, c, n) {
		return nil
	}
	last, known := g.full.Get(runtime)
	if !c.any && (!known || !last.(time.Time).After(c.came)) { //nolint:forcetypeassert // nothing else is put there
		if err := g.counts.Wait(ctx); err != nil {
			return throttled("Too many calls are to be refused. Please retry.")
		}
		began := time.Now()
		var room bool
		var err error
		if n, most, room, err = g.countNow(ctx, c, most); err != nil || room {
			return err
		}
		g.full.Add(runtime, began)
	}
	return overQuota(fmt.Sprintf("maxSessions limit exceeded: the runtime has %d sessions with a compute, and %d are allowed", n, most))
}

// countNow asks the API server how many sessions of a call's runtime have a compute, but for
// the call's own, and how many may, where most would be too few: room tells that there is one.
func (g *Gateway) countNow(ctx context.Context, c *call, most int) (n, allowed int, room bool, err error) {
	if n, err = g.count(ctx, client.ObjectKeyFromObject(c.runtime), c.key()); err != nil || n < most {
		return n, most, true, err
	}
	now, err := g.current(ctx, c.runtime)
	if err != nil || allows(now, n) {
		return n, most, true, err
	}
	return n, int(*now.Spec.MaxSessions), false, nil
}

// allows tells whether a runtime may have one session with a compute more than n.
func allows(agent *v1alpha1.AgentRuntime, n int) bool {
	return agent.Spec.MaxSessions == nil || n < int(*agent.Spec.MaxSessions)
}

// raised tells whether a runtime may have one session more than n by now, as the cache shows it:
// a call for any free session may have waited for long.
func (g *Gateway) raised(ctx context.Context, c *call, n int) bool {
	var now v1alpha1.AgentRuntime
	err := g.Client.Get(ctx, client.ObjectKeyFromObject(c.runtime), &now, client.UnsafeDisableDeepCopy)
	return err == nil && now.UID == c.runtime.UID && allows(&now, n)
}

// count asks the API server how many sessions of a runtime have a compute, but for one.
func (g *Gateway) count(ctx context.Context, runtime, but client.ObjectKey) (n int, err error) {
	var list v1alpha1.AgentSessionList
	if err := g.Live.List(ctx, &list, client.InNamespace(runtime.Namespace), client.MatchingFields{runtimeField: runtime.Name}); err != nil {
		return 0, fmt.Errorf("count sessions of %s: %w", runtime, err)
	}
	for i := range list.Items {
		if list.Items[i].Name != but.Name && lifecycle.TriedBy(&list.Items[i]) == 0 && lifecycle.HasCompute(&list.Items[i]) {
			n++
		}
	}
	return n, nil
}

// refusalOf is what keeps a session from starting; nil if nothing does.
func refusalOf(session *v1alpha1.AgentSession) error {
	reason := lifecycle.Refusal(session)
	if reason == "" {
		return nil
	}
	return runtimeError("The session cannot start: " + reason + ". Whoever may read the Events of the AgentSession finds why.")
}

// startFailed is AgentCore's answer when a compute ended before it answered.
func startFailed(session *v1alpha1.AgentSession) error {
	last := session.Status.LastTermination
	switch {
	case last != nil && last.Reason == v1alpha1.StopStartTimeout:
		most := lifecycle.PolicyOf(&session.Spec, int(max(session.Status.TimeScale, 1))).StartTimeout // AgentCore's is 120 s
		return runtimeError(fmt.Sprintf("Runtime initialization time exceeded. Please make sure that initialization completes in %ds.", int(most.Seconds())))
	case last != nil && last.Reason == v1alpha1.StopStartFailed:
		return runtimeError("An error occurred when starting the runtime. Whoever may read the AgentSession finds why in its status.")
	case last != nil && last.Reason == v1alpha1.StopRequested:
		return conflict()
	}
	return runtimeError("Runtime health check failed or timed out. Please make sure that health check is implemented according to the requirements.")
}
