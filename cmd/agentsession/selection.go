package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// page is how many sessions are read at once, as kubectl does.
const page = 500

var (
	states = []v1alpha1.SessionState{v1alpha1.StateStarting, v1alpha1.StateActive, v1alpha1.StateIdle, v1alpha1.StateStopping, v1alpha1.StateStopped}
	pings  = []contract.Status{contract.Healthy, contract.HealthyBusy}
)

// selection says which sessions are meant.
type selection struct {
	names       []string
	all         bool // namespaces
	label       string
	runtime     string
	state, ping string
	busyFor     time.Duration
	labels      labels.Selector
}

func (s *selection) bind(flags *pflag.FlagSet) {
	flags.BoolVarP(&s.all, "all-namespaces", "A", false, "look in all namespaces")
	flags.StringVarP(&s.label, "selector", "l", "", "sessions with these `labels`, as team=a,stage!=test")
	flags.StringVar(&s.runtime, "runtime", "", "sessions of the AgentRuntime of this `name`")
	flags.StringVar(&s.state, "state", "", "sessions in this `state`: Starting, Active, Idle, Stopping or Stopped")
	flags.StringVar(&s.ping, "ping", "", "sessions whose agent last said this `status`: Healthy or HealthyBusy")
	flags.DurationVar(&s.busyFor, "busy-longer-than", 0, "sessions whose agent has said HealthyBusy for longer than this `duration`, as 2h")
}

// read takes the arguments, and says what is wrong with the flags.
func (s *selection) read(names []string) (err error) {
	s.names = nil
	for _, name := range names {
		if name, err = sessionName(name); err != nil {
			return err
		}
		if !slices.Contains(s.names, name) {
			s.names = append(s.names, name)
		}
	}
	if s.labels, err = labels.Parse(s.label); err != nil {
		return fmt.Errorf("--selector is %q: %w", s.label, err)
	}
	if s.state, err = oneOf("--state", s.state, states); err != nil {
		return err
	}
	if s.ping, err = oneOf("--ping", s.ping, pings); err != nil {
		return err
	}
	if s.busyFor < 0 {
		return fmt.Errorf("--busy-longer-than is %s: it must not be negative", s.busyFor)
	}
	if len(names) > 0 && s.all {
		return errors.New("names are of one namespace: leave out either them or --all-namespaces")
	}
	return nil
}

// kinds are the names that kubectl knows sessions and runtimes by, and their short ones.
var (
	sessionKinds = []string{"ags", "session", "agentsession", "agentsessions", "agentsession." + v1alpha1.GroupVersion.Group, "agentsessions." + v1alpha1.GroupVersion.Group}
	runtimeKinds = []string{"agr", "runtime", "agentruntime", "agentruntimes", "agentruntime." + v1alpha1.GroupVersion.Group, "agentruntimes." + v1alpha1.GroupVersion.Group}
)

// sessionName is the name of a session that is given as NAME or TYPE/NAME, as -o name prints it.
func sessionName(given string) (string, error) {
	kind, name, typed := strings.Cut(given, "/")
	switch {
	case !typed:
		return given, nil
	case !slices.Contains(sessionKinds, strings.ToLower(kind)):
		return "", fmt.Errorf("%q is no session: give its NAME, or agentsession/NAME", given)
	}
	return name, nil
}

// oneOf is a value as it is written properly.
func oneOf[T ~string](flag, given string, values []T) (string, error) {
	var known []string
	for _, value := range values {
		if strings.EqualFold(given, string(value)) {
			return string(value), nil
		}
		known = append(known, string(value))
	}
	if given == "" {
		return "", nil
	}
	last := len(known) - 1
	return "", fmt.Errorf("%s is %q: it must be %s or %s", flag, given, strings.Join(known[:last], ", "), known[last])
}

// narrow tells whether anything says which sessions are meant.
func (s *selection) narrow() bool {
	return len(s.names) > 0 || s.label != "" || s.runtime != "" || s.state != "" || s.ping != "" || s.busyFor > 0
}

// has tells whether a session is meant, its name and namespace aside.
func (s *selection) has(now time.Time, session *v1alpha1.AgentSession) bool {
	ref := session.Spec.RuntimeRef
	return s.labels.Matches(labels.Set(session.Labels)) &&
		(s.runtime == "" || ref != nil && ref.Name == s.runtime) &&
		(s.state == "" || string(session.Status.State) == s.state) &&
		(s.ping == "" || session.Status.PingStatus == s.ping) &&
		(s.busyFor == 0 || explain.BusyFor(now, session) > s.busyFor)
}

// options are how a list or a watch of them is asked for.
func (s *selection) options(c *cluster) []client.ListOption {
	options := []client.ListOption{client.MatchingLabelsSelector{Selector: s.labels}}
	if !s.all {
		options = append(options, client.InNamespace(c.namespace))
	}
	return options
}

// found is a session, as it is read and as the API server wrote it.
type found struct {
	*v1alpha1.AgentSession
	raw *unstructured.Unstructured
}

func foundOf(raw *unstructured.Unstructured) (found, error) {
	text, err := json.Marshal(raw)
	if err != nil {
		return found{}, fmt.Errorf("read AgentSession %s: %w", raw.GetName(), err)
	}
	f := found{&v1alpha1.AgentSession{}, raw}
	if err := json.Unmarshal(text, f.AgentSession); err != nil {
		return found{}, fmt.Errorf("read AgentSession %s: %w", raw.GetName(), err)
	}
	return f, nil
}

// find returns the sessions that are meant, by namespace and name. With names that are
// not there it returns the others and an error.
func (c *cluster) find(ctx context.Context, s *selection) (all []found, err error) {
	if len(s.names) > 0 {
		return c.findNamed(ctx, s)
	}
	listed, _, err := c.list(ctx, s.options(c))
	if err != nil {
		return nil, c.inWords(err)
	}
	for _, f := range listed {
		if s.has(c.now(), f.AgentSession) {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// list reads sessions page by page, and tells from which version on a watch has what comes
// after. Where that takes so long that the API server has forgotten the version of the first
// page, it begins again with all in one.
func (c *cluster) list(ctx context.Context, options []client.ListOption) (all []found, version string, err error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentSessionList"))
	for limit, more := int64(page), ""; ; more = list.GetContinue() {
		err := c.List(ctx, list, append(options, client.Limit(limit), client.Continue(more))...)
		if more != "" && apierrors.IsResourceExpired(err) {
			limit, all = 0, nil
			err = c.List(ctx, list, options...)
		}
		if err != nil {
			return nil, "", err //nolint:wrapcheck // the caller's words
		}
		for i := range list.Items {
			f, err := foundOf(&list.Items[i])
			if err != nil {
				return nil, "", err
			}
			all = append(all, f)
		}
		if list.GetContinue() == "" {
			return all, list.GetResourceVersion(), nil
		}
	}
}

func (c *cluster) findNamed(ctx context.Context, s *selection) (all []found, err error) {
	var missing []error
	for _, name := range s.names {
		f, err := c.get(ctx, name)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, c.missing(ctx, name, err))
		case err != nil:
			return nil, c.inWords(err)
		case s.has(c.now(), f.AgentSession) && !slices.ContainsFunc(all, func(one found) bool { return one.UID == f.UID }):
			all = append(all, f)
		}
	}
	return all, errors.Join(missing...)
}

// complete offers names of sessions.
func (t *connection) complete(command *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), 3*time.Second)
	defer cancel()
	c, err := t.connect(command)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	c.warn = func(string) {} // into the line that is being typed
	all, err := c.find(ctx, &selection{labels: labels.Everything()})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, f := range all {
		if !slices.Contains(given, f.Name) {
			names = append(names, fmt.Sprintf("%s\t%s", f.Name, f.Status.State))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
