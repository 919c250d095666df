package main

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// minSessionID is how long a runtimeSessionId is at least.
const minSessionID = 33

// matchesName tells whether a session is meant by a name that a user gave.
func matchesName(given string, session *v1alpha1.AgentSession) bool {
	return given == session.Name || given == session.Spec.RuntimeSessionID && given != ""
}

// get is the session of a name, or else the one of a runtimeSessionId: that is how callers, and
// agentsession local, name it.
func (c *cluster) get(ctx context.Context, given string) (found, error) {
	raw := &unstructured.Unstructured{}
	raw.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSession"))
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: given}, raw)
	switch {
	case err == nil:
		return foundOf(raw)
	case len(given) < minSessionID || !c.isMissing(err):
		return found{}, err //nolint:wrapcheck // the caller's words
	}
	all, _, failed := c.list(ctx, []client.ListOption{client.InNamespace(c.namespace), client.MatchingFields{"spec.runtimeSessionId": given}})
	switch {
	case failed != nil || len(all) == 0: // who may get one may not list them
		return found{}, err //nolint:wrapcheck // as above
	case len(all) > 1:
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
		}
		return found{}, fmt.Errorf("%d AgentSessions in namespace %s have the runtimeSessionId %q: name one of %s", len(all), c.namespace, given, strings.Join(names, ", "))
	}
	return all[0], nil
}

// isRuntime tells whether a runtime has a name.
func (c *cluster) isRuntime(ctx context.Context, name string) bool {
	return c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, &v1alpha1.AgentRuntime{}) == nil
}

// missing says that there is no session of a name, or no such kind.
func (c *cluster) missing(ctx context.Context, name string, err error) error {
	if words := c.inWords(err); words != err { //nolint:errorlint // the same error, not one like it
		return words
	}
	if c.isRuntime(ctx, name) {
		return fmt.Errorf("there is no AgentSession %q in namespace %s; there is a runtime of that name: `%s explain runtime/%s -n %s` tells of it", name, c.namespace, c.tools.Self, name, c.namespace)
	}
	return fmt.Errorf("there is no AgentSession %q in namespace %s; `%s explain %s -n %s` tells what its Events say", name, c.namespace, c.tools.Self, explain.Quoted(name), c.namespace)
}

// isMissing tells whether an object is not there, while its kind is.
func (c *cluster) isMissing(err error) bool {
	return apierrors.IsNotFound(err) && c.inWords(err) == err //nolint:errorlint // the same error, not one like it
}
