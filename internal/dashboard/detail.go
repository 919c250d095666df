package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	// maxShown is how many Events, or tasks, of a session a page is sent.
	maxShown = 100
	// askTimeout is how long an agent may take to say what it works on.
	askTimeout = 3 * time.Second
	maxText    = 900 // bytes
)

// story is an explanation, as the page gets it.
type story struct {
	Title    string    `json:"title"`
	Chapters []chapter `json:"chapters"`
}

type chapter struct {
	Heading  string    `json:"heading"`
	Lines    []string  `json:"lines"`
	Commands []command `json:"commands"`
}

type command struct {
	Line string `json:"line"`
	Does string `json:"does"`
}

// past is an activation that has ended.
type past struct {
	Activation int32  `json:"activation"`
	From       int64  `json:"from"`
	At         int64  `json:"at"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	Active     int64  `json:"active"`
	Idle       int64  `json:"idle"`
}

type event struct {
	At      int64  `json:"at"`
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Count   int32  `json:"count"`
}

// task is one of an agent. Ended is for how many seconds it has ended by the agent's journal.
type task struct {
	Name    string `json:"name"`
	Seconds int64  `json:"seconds"`
	Ended   *int64 `json:"ended"`
}

type sessionDetail struct {
	Row         row     `json:"row"`
	Story       story   `json:"story"`
	History     []past  `json:"history"`
	Events      []event `json:"events"`
	EventsError string  `json:"eventsError"`
	Tasks       []task  `json:"tasks"`
	TasksError  string  `json:"tasksError"`
}

func (d *Dashboard) serveSession(w http.ResponseWriter, r *http.Request) {
	session, ok := d.session(w, r)
	if !ok {
		return
	}
	ctx := r.Context()
	var detail sessionDetail
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		detail.Tasks, detail.TasksError = d.tasks(ctx, session)
	}()
	known := explain.Known{Session: session, Pod: d.pod(ctx, session), Tools: d.Tools}
	known.Events, detail.EventsError = d.events(ctx, "AgentSession", session)
	now := d.Now()
	detail.Row = rowOf(now, session, d.feed.lineOf(session))
	detail.Story = d.storyFor(explain.Session(now, known))
	detail.Events, detail.History = eventsOf(known.Events), historyOf(session)
	<-asked
	answer(w, http.StatusOK, detail)
}

// session is the one of a request's path, as it is now. Without one the request is answered.
func (d *Dashboard) session(w http.ResponseWriter, r *http.Request) (*v1alpha1.AgentSession, bool) {
	session := &v1alpha1.AgentSession{}
	return session, d.get(w, r, "AgentSession", session)
}

func (d *Dashboard) get(w http.ResponseWriter, r *http.Request, kind string, into client.Object) bool {
	key := client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if d.Namespace != "" && key.Namespace != d.Namespace {
		refuse(w, http.StatusForbidden, fmt.Sprintf("this page shows the namespace %s only", d.Namespace))
		return false
	}
	err := d.Client.Get(r.Context(), key, into)
	if apierrors.IsNotFound(err) && d.InWords(err) == err { //nolint:errorlint // the same error, not one like it
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %q in namespace %s", kind, lifecycle.Printable(key.Name), lifecycle.Printable(key.Namespace)))
		return false
	}
	if err != nil {
		d.refuseFor(w, err)
		return false
	}
	return true
}

// refuseFor answers with what the API server said.
func (d *Dashboard) refuseFor(w http.ResponseWriter, err error) {
	code := http.StatusBadGateway
	switch {
	case apierrors.IsUnauthorized(err):
		code = http.StatusUnauthorized
	case apierrors.IsForbidden(err):
		code = http.StatusForbidden
	case apierrors.IsNotFound(err):
		code = http.StatusNotFound
	case apierrors.IsConflict(err):
		code = http.StatusConflict
	}
	refuse(w, code, lifecycle.Line(d.InWords(err).Error(), maxText))
}

// pod is that of a session's compute; nil if it is gone, or not for this user to see.
func (d *Dashboard) pod(ctx context.Context, session *v1alpha1.AgentSession) *corev1.Pod {
	if session.Status.Pod == nil {
		return nil
	}
	pod := &corev1.Pod{}
	if err := d.Client.Get(ctx, client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}, pod); err != nil {
		return nil
	}
	return pod
}

func (d *Dashboard) events(ctx context.Context, kind string, of client.Object) (all []corev1.Event, trouble string) {
	all, more, err := apiserver.Events(ctx, d.Client, of.GetNamespace(), kind, of.GetName(), of.GetUID())
	switch {
	case err != nil:
		trouble = lifecycle.Line(d.InWords(err).Error(), maxText)
	case more:
		trouble = "it has so many Events that some were not read"
	}
	return all, trouble
}

// tasks are what a session's agent works on, or why that is not known.
func (d *Dashboard) tasks(ctx context.Context, session *v1alpha1.AgentSession) (list []task, trouble string) {
	if d.Tasks == nil || session.Status.State != v1alpha1.StateActive && session.Status.State != v1alpha1.StateIdle {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, err := d.Tasks(ctx, session)
	if err != nil {
		return nil, lifecycle.Line(d.InWords(err).Error(), maxText)
	}
	return tasksOf(all), ""
}

func tasksOf(all []contract.RunningTask) []task {
	list := []task{}
	for _, t := range all[:min(len(all), maxShown)] {
		one := task{Name: lifecycle.Line(t.Name, maxText), Seconds: int64(t.Duration.Seconds())}
		if t.Ended != nil {
			one.Ended = new(int64(t.Ended.Seconds()))
		}
		list = append(list, one)
	}
	return list
}

// storyFor is a story for the page.
func (d *Dashboard) storyFor(s explain.Story) story {
	page := story{Title: s.Title, Chapters: []chapter{}}
	for _, c := range s.Chapters {
		one := chapter{Heading: c.Heading, Lines: append([]string{}, c.Lines...), Commands: []command{}}
		for _, line := range c.Commands {
			if d.Tools.Self != "" {
				one.Commands = append(one.Commands, command(line))
			}
		}
		if len(one.Lines)+len(one.Commands) > 0 {
			page.Chapters = append(page.Chapters, one)
		}
	}
	return page
}

func historyOf(session *v1alpha1.AgentSession) []past {
	list := []past{}
	for i := range session.Status.History {
		p := &session.Status.History[i]
		one := past{
			Activation: p.Activation, At: ms(p.Until.Time), Reason: lifecycle.Printable(string(p.Reason)),
			Message: lifecycle.Line(p.Message, maxText), Active: p.ActiveSeconds, Idle: p.IdleSeconds,
		}
		if p.From != nil {
			one.From = ms(p.From.Time)
		}
		list = append(list, one)
	}
	return list
}

// eventsOf are the newest, those first.
func eventsOf(all []corev1.Event) []event {
	list := []event{}
	for i := range slices.Backward(all) {
		if len(list) == maxShown {
			break
		}
		e := &all[i]
		count := e.Count
		if e.Series != nil {
			count = e.Series.Count
		}
		list = append(list, event{
			At: ms(apiserver.EventTime(e)), Type: lifecycle.Printable(e.Type), Reason: lifecycle.Printable(e.Reason),
			Message: lifecycle.Line(e.Message, maxText), Count: max(count, 1),
		})
	}
	return list
}

type runtimeDetail struct {
	Runtime     agent     `json:"runtime"`
	Story       story     `json:"story"`
	Versions    []version `json:"versions"`
	EventsError string    `json:"eventsError"`
}

func (d *Dashboard) serveRuntime(w http.ResponseWriter, r *http.Request) {
	runtime := &v1alpha1.AgentRuntime{}
	if !d.get(w, r, "AgentRuntime", runtime) {
		return
	}
	known := explain.Agent{Runtime: runtime, Tools: d.Tools}
	var detail runtimeDetail
	known.Events, detail.EventsError = d.events(r.Context(), "AgentRuntime", runtime)
	sight, err := d.mayListSessions(r.Context(), runtime.Namespace)
	if err != nil {
		d.refuseFor(w, err)
		return
	}
	known.Sessions, detail.Runtime, detail.Versions = d.feed.ofRuntime(runtime, sight)
	detail.Story = d.storyFor(explain.Runtime(d.Now(), known))
	answer(w, http.StatusOK, detail)
}
