package dashboard

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// reviewPeriod is after how long it is asked again what a caller may see, and reviewTimeout how
	// long that may take.
	reviewPeriod  = 30 * time.Second
	reviewTimeout = 15 * time.Second
)

// visibility is what a caller may see. Nil is everything.
type visibility struct{ sessions, runtimes scope }

// scope is the namespaces of a kind: all, or some.
type scope struct {
	all bool
	in  map[string]bool
}

func (s scope) has(namespace string) bool { return s.all || s.in[namespace] }

// within tells whether another scope has all that s has.
func (s scope) within(other scope) bool {
	if s.all {
		return other.all
	}
	for namespace := range s.in {
		if !other.has(namespace) {
			return false
		}
	}
	return true
}

func (s *visibility) sees(i item) bool {
	switch {
	case s == nil:
		return true
	case i.runtime:
		return s.runtimes.has(i.namespace())
	}
	return s.seesSessions(i.namespace())
}

func (s *visibility) seesSessions(namespace string) bool {
	return s == nil || s.sessions.has(namespace)
}

func (s *visibility) empty() bool {
	return s != nil && !s.sessions.all && !s.runtimes.all && len(s.sessions.in)+len(s.runtimes.in) == 0
}

// within tells whether another sight has all that s has.
func (s *visibility) within(other *visibility) bool {
	return s == nil && other == nil || s.sessions.within(other.sessions) && s.runtimes.within(other.runtimes)
}

func (i item) namespace() string {
	namespace, _, _ := strings.Cut(i.key, "/")
	return namespace
}

// visibleTo asks the API server what the caller of ctx may list: whatever there is, or what is in
// the namespaces that have something to show, and in those that he saw before.
func (d *Dashboard) visibleTo(ctx context.Context, before *visibility) (*visibility, error) {
	if d.Callers == nil {
		return nil, nil
	}
	if before == nil {
		before = &visibility{}
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	sessions, runtimes := d.feed.namespaces()
	now, err := &visibility{}, error(nil)
	if now.sessions, err = d.scopeOf(ctx, "agentsessions", sessions, before.sessions); err != nil {
		return nil, err
	}
	now.runtimes, err = d.scopeOf(ctx, "agentruntimes", runtimes, before.runtimes)
	return now, err
}

func (d *Dashboard) scopeOf(ctx context.Context, resource string, namespaces map[string]bool, before scope) (scope, error) {
	all, err := d.mayList(ctx, resource, "")
	if err != nil || all {
		return scope{all: all}, err
	}
	maps.Copy(namespaces, before.in)
	now := scope{in: map[string]bool{}}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		may, err := d.mayList(ctx, resource, namespace)
		if err != nil {
			return scope{}, err
		}
		if may {
			now.in[namespace] = true
		}
	}
	return now, nil
}

// mayListSessions asks whether the caller of ctx may list the sessions of a namespace.
func (d *Dashboard) mayListSessions(ctx context.Context, namespace string) (*visibility, error) {
	if d.Callers == nil {
		return nil, nil
	}
	may, err := d.mayList(ctx, "agentsessions", namespace)
	return &visibility{sessions: scope{in: map[string]bool{namespace: may}}}, err
}

// mayList asks with the caller's own token, and so too whether that is still good.
func (d *Dashboard) mayList(ctx context.Context, resource, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: resource, Namespace: namespace,
		},
	}}
	if err := d.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask what the caller may see: %w", err)
	}
	return review.Status.Allowed, nil
}
