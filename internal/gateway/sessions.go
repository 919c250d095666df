package gateway

import (
	"cmp"
	"context"
	_ "embed" // the OpenAPI document
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// openAPI describes all that the gateway serves.
//
//go:embed openapi.yaml
var openAPI []byte

// How many sessions one answer speaks of.
const (
	defaultResults = 100
	maxResults     = 1000
)

// maxReviews is about how many runtimes the API server is asked for one request.
const maxReviews = 100

// sessionView is a session as the gateway shows it: what AgentCore hides. Only
// those of runtimes are shown, to those who have the right to that.
type sessionView struct {
	Namespace           string                           `json:"namespace"`
	Name                string                           `json:"name"`
	RuntimeSessionID    string                           `json:"runtimeSessionId"`
	AgentRuntimeArn     string                           `json:"agentRuntimeArn"`
	AgentRuntimeVersion int64                            `json:"agentRuntimeVersion,omitempty"`
	Qualifier           string                           `json:"qualifier"`
	State               v1alpha1.SessionState            `json:"state"`
	PingStatus          string                           `json:"pingStatus,omitempty"`
	PingStatusSince     *metav1.Time                     `json:"pingStatusSince,omitempty"`
	Activation          int32                            `json:"activation"`
	CreatedAt           metav1.Time                      `json:"createdAt"`
	IdleSince           *metav1.Time                     `json:"idleSince,omitempty"`
	NextStop            *v1alpha1.NextStop               `json:"nextStop,omitempty"`
	LastInvocationAt    *metav1.MicroTime                `json:"lastInvocationAt,omitempty"`
	InUseUntil          *metav1.MicroTime                `json:"inUseUntil,omitempty"`
	Lifecycle           *v1alpha1.LifecycleConfiguration `json:"lifecycleConfiguration,omitempty"`
	LastTermination     *v1alpha1.Termination            `json:"lastTermination,omitempty"`
}

func viewOf(session *v1alpha1.AgentSession, agent *v1alpha1.AgentRuntime) sessionView {
	status := &session.Status
	view := sessionView{
		Namespace: session.Namespace, Name: session.Name,
		RuntimeSessionID: cmp.Or(session.Spec.RuntimeSessionID, status.RuntimeSessionID),
		AgentRuntimeArn:  agent.Status.AgentRuntimeArn, Qualifier: cmp.Or(session.Spec.RuntimeRef.Qualifier, v1alpha1.DefaultQualifier),
		State: cmp.Or(status.State, v1alpha1.StateStarting), PingStatus: status.PingStatus, PingStatusSince: status.PingStatusSince,
		Activation: status.Activation, CreatedAt: session.CreationTimestamp, IdleSince: status.IdleSince, NextStop: status.NextStop,
		Lifecycle: status.LifecycleConfiguration, LastTermination: status.LastTermination,
	}
	if status.Runtime != nil {
		view.AgentRuntimeVersion = status.Runtime.AgentRuntimeVersion
	}
	if status.Traffic != nil {
		view.LastInvocationAt, view.InUseUntil = status.Traffic.LastInvocationAt, status.Traffic.InUseUntil
	}
	return view
}

// selection says which sessions are meant. What is empty does not matter.
type selection struct {
	// AgentRuntimeArn is an ARN, or an id, or namespace/name.
	AgentRuntimeArn string                `json:"agentRuntimeArn"`
	Namespace       string                `json:"namespace"`
	State           v1alpha1.SessionState `json:"state"`
	PingStatus      string                `json:"pingStatus"`
	LabelSelector   string                `json:"labelSelector"`
	MaxResults      int                   `json:"maxResults"`
	NextToken       string                `json:"nextToken"`
}

func selectionOf(query url.Values) (s selection, err error) {
	s = selection{
		AgentRuntimeArn: query.Get("agentRuntimeArn"), Namespace: query.Get("namespace"),
		State: v1alpha1.SessionState(query.Get("state")), PingStatus: query.Get("pingStatus"),
		LabelSelector: query.Get("labelSelector"), NextToken: query.Get("nextToken"),
	}
	if given := query.Get("maxResults"); given != "" {
		if s.MaxResults, err = strconv.Atoi(given); err != nil || s.MaxResults == 0 {
			return s, badResults()
		}
	}
	return s, nil
}

func badResults() error {
	return invalid("maxResults", fmt.Sprintf("Value at 'maxResults' failed to satisfy constraint: Member must be between 1 and %d", maxResults))
}

var states = []v1alpha1.SessionState{
	v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped,
}

// check is an error about the field that breaks a rule.
func (s *selection) check() error {
	switch {
	case s.State != "" && !slices.Contains(states, s.State):
		return invalid("state", fmt.Sprintf("Value at 'state' failed to satisfy constraint: Member must be one of %v", states))
	case s.PingStatus != "" && !contract.Status(s.PingStatus).Valid():
		return invalid("pingStatus", "Value at 'pingStatus' failed to satisfy constraint: Member must be Healthy or HealthyBusy")
	case s.MaxResults < 0 || s.MaxResults > maxResults:
		return badResults()
	}
	return nil
}

// match reads the selection into a predicate.
func (s *selection) match() (matches func(*v1alpha1.AgentSession) bool, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	selector, err := labels.Parse(s.LabelSelector)
	if err != nil {
		return nil, invalid("labelSelector", "Value at 'labelSelector' failed to satisfy constraint: Member must be a label selector of Kubernetes")
	}
	token, err := base64.RawURLEncoding.DecodeString(s.NextToken)
	if err != nil {
		return nil, invalid("nextToken", "Value at 'nextToken' failed to satisfy constraint: Member must be one that was answered")
	}
	return func(session *v1alpha1.AgentSession) bool {
		return orderOf(session) > string(token) && session.Spec.RuntimeRef != nil && lifecycle.TriedBy(session) == 0 &&
			(s.State == "" || s.State == cmp.Or(session.Status.State, v1alpha1.StateStarting)) &&
			(s.PingStatus == "" || s.PingStatus == session.Status.PingStatus) &&
			selector.Matches(labels.Set(session.Labels))
	}, nil
}

// found is a session with its runtime.
type found struct {
	session *v1alpha1.AgentSession
	runtime *v1alpha1.AgentRuntime
}

func orderOf(session *v1alpha1.AgentSession) string { return session.Namespace + "/" + session.Name }

// find returns the sessions that are meant and that the caller has a right to, in
// order, and the token with which the rest is asked for.
func (g *Gateway) find(ctx context.Context, c *call, right authn.Right, s selection) (all []found, nextToken string, err error) {
	matches, err := s.match()
	if err != nil {
		return nil, "", err
	}
	runtimes, err := g.runtimesFor(ctx, c.caller, right, s)
	if err != nil {
		return nil, "", err
	}
	var list v1alpha1.AgentSessionList
	if err := g.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, "", fmt.Errorf("list sessions: %w", err)
	}
	for _, session := range g.withAhead(list.Items, s.Namespace) {
		if !matches(session) {
			continue
		}
		if agent := runtimes[client.ObjectKey{Namespace: session.Namespace, Name: session.Spec.RuntimeRef.Name}]; agent != nil {
			all = append(all, found{session, agent})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(orderOf(a.session), orderOf(b.session)) })
	if most := cmp.Or(s.MaxResults, defaultResults); len(all) > most {
		all = all[:most]
		nextToken = base64.RawURLEncoding.EncodeToString([]byte(orderOf(all[most-1].session)))
	}
	return all, nextToken, nil
}

// withAhead are sessions that the cache shows, and what this gateway knows and the cache
// does not show yet.
func (g *Gateway) withAhead(shown []v1alpha1.AgentSession, namespace string) (all []*v1alpha1.AgentSession) {
	ahead := g.roster.allAhead(namespace)
	for i := range shown {
		session := &shown[i]
		key := client.ObjectKeyFromObject(session)
		if told := ahead[key]; told != nil {
			if order, err := resourceversion.CompareResourceVersion(session.ResourceVersion, told.ResourceVersion); err != nil || order < 0 {
				session = told
			}
			delete(ahead, key)
		}
		all = append(all, session)
	}
	return slices.AppendSeq(all, maps.Values(ahead))
}

// runtimesFor are those of a selection that a caller has a right to.
func (g *Gateway) runtimesFor(ctx context.Context, caller authn.Caller, right authn.Right, s selection) (map[client.ObjectKey]*v1alpha1.AgentRuntime, error) {
	if s.AgentRuntimeArn != "" {
		agent, err := g.runtime(ctx, caller, right, s.AgentRuntimeArn, "")
		if err != nil {
			return nil, err
		}
		return map[client.ObjectKey]*v1alpha1.AgentRuntime{client.ObjectKeyFromObject(agent): agent}, nil
	}
	var list v1alpha1.AgentRuntimeList
	if err := g.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list runtimes: %w", err)
	}
	may, err := mayEach(ctx, caller, right, s.Namespace, len(list.Items))
	if err != nil {
		return nil, err
	}
	runtimes := map[client.ObjectKey]*v1alpha1.AgentRuntime{}
	for i := range list.Items {
		agent := &list.Items[i]
		allowed, err := may(ctx, agent, right)
		if err != nil {
			return nil, fmt.Errorf("find out whether %s may see the sessions of %s: %w", caller.Name, agent.Name, err)
		}
		if allowed {
			runtimes[client.ObjectKeyFromObject(agent)] = agent
		}
	}
	return runtimes, nil
}

// mayEach tells of each of n runtimes of a namespace, or of all, whether a caller has a right
// to it. Where the API server has to be asked, it is asked once about all, as kubectl does
// for a list: a caller of few runtimes would else cost a review of each that there is.
func mayEach(ctx context.Context, caller authn.Caller, right authn.Right, namespace string, n int) (may func(context.Context, *v1alpha1.AgentRuntime, authn.Right) (bool, error), err error) {
	if caller.MayAll == nil {
		return caller.May, nil
	}
	all, err := caller.MayAll(ctx, namespace, right)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find out whether %s may see all sessions: %w", caller.Name, err)
	case all:
		return func(context.Context, *v1alpha1.AgentRuntime, authn.Right) (bool, error) { return true, nil }, nil
	case n > maxReviews:
		return nil, invalid("agentRuntimeArn", fmt.Sprintf("Value at 'agentRuntimeArn' failed to satisfy constraint: Member must not be null: there are more than %d runtimes, and the caller does not have the right to all. Name one, or a namespace", maxReviews))
	}
	return caller.May, nil
}

func writeJSON(w http.ResponseWriter, answer any) error {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

func (g *Gateway) list(w http.ResponseWriter, r *http.Request, c *call) error {
	s, err := selectionOf(r.URL.Query())
	if err != nil {
		return err
	}
	all, nextToken, err := g.find(r.Context(), c, authn.ToSee, s)
	if err != nil {
		return err
	}
	views := make([]sessionView, len(all))
	for i, f := range all {
		views[i] = viewOf(f.session, f.runtime)
	}
	return writeJSON(w, struct {
		Sessions  []sessionView `json:"sessions"`
		NextToken string        `json:"nextToken,omitempty"`
	}{views, nextToken})
}

func (g *Gateway) describe(w http.ResponseWriter, r *http.Request, c *call) error {
	namespace, name, _ := strings.Cut(c.label, "/")
	key := client.ObjectKey{Namespace: namespace, Name: name}
	session, err := g.read(r.Context(), key, false)
	if err != nil {
		return err
	}
	agent, err := g.runtimeOf(r.Context(), c.caller, session)
	if err == nil && agent == nil { // as far as the cache shows
		if session, err = g.described.at(r.Context(), key); client.IgnoreNotFound(err) != nil {
			return err
		}
		agent, err = g.runtimeOf(r.Context(), c.caller, session)
	}
	switch {
	case err != nil:
		return err
	case agent == nil:
		return notFound("Session not found")
	}
	return writeJSON(w, viewOf(session, agent))
}

// runtimeOf is the runtime of a session that a caller may see; nil if there is none that he may
// know of.
func (g *Gateway) runtimeOf(ctx context.Context, caller authn.Caller, session *v1alpha1.AgentSession) (*v1alpha1.AgentRuntime, error) {
	if session.Spec.RuntimeRef == nil || lifecycle.TriedBy(session) != 0 { // or it is not there
		return nil, nil
	}
	agent, err := g.runtime(ctx, caller, authn.ToSee, session.Namespace+"/"+session.Spec.RuntimeRef.Name, "")
	if f, ok := errors.AsType[*failure](err); ok && f.Code == http.StatusNotFound {
		return nil, nil
	}
	return agent, err
}

// stopMany stops what a selection means and has a compute.
func (g *Gateway) stopMany(w http.ResponseWriter, r *http.Request, c *call) error {
	var s selection
	if err := json.NewDecoder(io.LimitReader(c.payload.open(), 16<<10)).Decode(&s); err != nil {
		return unparsable("The request's body must be a JSON object: " + err.Error())
	}
	if cmp.Or(s.AgentRuntimeArn, s.Namespace, string(s.State), s.PingStatus, s.LabelSelector) == "" {
		return unparsable("The request must say which sessions are to be stopped: agentRuntimeArn, namespace, state, pingStatus or labelSelector")
	}
	all, nextToken, err := g.find(r.Context(), c, authn.ToStop, s)
	if err != nil {
		return err
	}
	stopped := []string{}
	for _, f := range all {
		asked := false
		err := g.askToStop(r.Context(), client.ObjectKeyFromObject(f.session), "", func(session *v1alpha1.AgentSession) (bool, error) {
			phase := lifecycle.PhaseOf(session)
			asked = session.UID == f.session.UID && (phase == lifecycle.PhaseReady || phase == lifecycle.PhaseStarting)
			return !asked, nil
		})
		if err != nil {
			return err
		}
		if asked {
			stopped = append(stopped, orderOf(f.session))
		}
	}
	return writeJSON(w, struct {
		Stopped   []string `json:"stopped"`
		NextToken string   `json:"nextToken,omitempty"`
	}{stopped, nextToken})
}

func (g *Gateway) describeItself(w http.ResponseWriter, _ *http.Request, _ *call) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, err := w.Write(openAPI)
	return err
}
