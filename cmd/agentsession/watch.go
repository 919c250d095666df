package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// beat is how often a table is drawn anew, and how long it takes until a watch that broke
// is begun again.
const beat = time.Second

func (t *connection) newWatch() *cobra.Command {
	var s selection
	command := &cobra.Command{
		Use:   "watch [NAME...]",
		Short: "Watch sessions: a live table in a terminal, a line for each change else",
		Long: "Watch sessions. In a terminal it is a table with countdowns that is drawn anew; in a pipe or a file it is a line for each thing " +
			"that happens to a session.",
		Example:           examples(t, "watch", "watch -A --state Active", "watch research | tee research.log"),
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) error {
			if err := s.read(names); err != nil {
				return err
			}
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			w := newWatcher(c, &s, command.OutOrStdout(), command.ErrOrStderr())
			if file := terminal(w.out); file != nil {
				w.size = func() (int, int, error) { return term.GetSize(int(file.Fd())) }
				c.warn = func(string) {} // the table has a line for it
			}
			return w.run(command.Context())
		},
	}
	s.bind(command.Flags())
	return command
}

// watcher shows what becomes of sessions.
type watcher struct {
	*cluster
	*selection
	out, err io.Writer
	// size of the terminal, its width first; nil if there is none.
	size func() (int, int, error)
	// candidates are all that could be meant, and shown those that are.
	candidates, shown map[types.UID]*v1alpha1.AgentSession
	printed           map[types.UID]string
	drawn             bool
	// listed tells that it has seen what is there.
	listed bool
	// broke is when the last watch ended, and away why there is no new one; empty if there is.
	broke time.Time
	away  string
}

func newWatcher(c *cluster, s *selection, out, err io.Writer) *watcher {
	return &watcher{
		cluster: c, selection: s, out: out, err: err,
		candidates: map[types.UID]*v1alpha1.AgentSession{}, shown: map[types.UID]*v1alpha1.AgentSession{}, printed: map[types.UID]string{},
	}
}

// watchUpdate is what the API server says: all that there is, a change, or that a watch has ended,
// with the error of the one that could not be had.
type watchUpdate struct {
	all    []found
	change *watch.Event
	err    error
}

// run watches until ctx ends. That the first watch cannot be had is an error; one that
// breaks later is begun again.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	heard := make(chan watchUpdate)
	reading.Go(func() { w.read(ctx, heard) })
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-heard:
			if err := w.apply(n); err != nil && ctx.Err() == nil {
				return err
			}
		case <-beats.C:
			w.choose()
			w.draw()
		}
	}
}

// read tells what there is and what changes, again and again, until ctx ends.
func (w *watcher) read(ctx context.Context, to chan<- watchUpdate) {
	tell := func(n watchUpdate) {
		select {
		case to <- n:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		tell(watchUpdate{err: w.readOnce(ctx, tell)})
		select {
		case <-ctx.Done():
		case <-time.After(beat):
		}
	}
}

// readOnce returns nil where a watch has ended that was had.
func (w *watcher) readOnce(ctx context.Context, tell func(watchUpdate)) error {
	all, version, err := w.list(ctx, w.options(w.cluster))
	if err != nil {
		return err
	}
	tell(watchUpdate{all: append([]found{}, all...)})
	options := append(w.options(w.cluster), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}})
	changes, err := w.Watch(ctx, &v1alpha1.AgentSessionList{}, options...)
	if err != nil {
		return err //nolint:wrapcheck // the caller's words
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		if change.Type == watch.Error {
			return nil
		}
		tell(watchUpdate{change: &change})
	}
	return nil
}

// apply takes news in.
func (w *watcher) apply(n watchUpdate) error {
	switch {
	case n.all != nil:
		w.takeAll(n.all)
	case n.change != nil:
		if session, is := n.change.Object.(*v1alpha1.AgentSession); is {
			w.take(n.change.Type, session)
		}
	case n.err == nil:
		w.broke = w.now()
	case !w.listed || apierrors.IsForbidden(n.err) || apierrors.IsUnauthorized(n.err):
		return w.inWords(n.err)
	case w.away == "":
		if w.broke.IsZero() {
			w.broke = w.now()
		}
		w.away = fmt.Sprintf("not connected since %s: %s", w.broke.Format(time.TimeOnly), printable(causeOf(n.err)))
		w.note(w.away + "; trying again")
	}
	return nil
}

// causeOf is the part of an error that tells why.
func causeOf(err error) string {
	if dial, is := errors.AsType[*net.OpError](err); is {
		return dial.Error()
	}
	return err.Error()
}

// takeAll takes in what there is: what is not there any more was deleted.
func (w *watcher) takeAll(all []found) {
	here := map[types.UID]bool{}
	for _, f := range all {
		here[f.UID] = true
	}
	for uid, session := range w.candidates {
		if !here[uid] {
			w.take(watch.Deleted, session)
		}
	}
	for _, f := range all {
		w.take(watch.Added, f.AgentSession)
	}
	if w.away != "" {
		w.note("connected again at " + w.now().Format(time.TimeOnly))
	}
	w.broke, w.away = time.Time{}, ""
	if !w.listed {
		w.listed = true
		for _, name := range w.missing() {
			w.note(w.none(name))
		}
	}
}

// missing are the names that no session has.
func (w *watcher) missing() []string {
	names := slices.Clone(w.names)
	for _, session := range w.candidates {
		names = slices.DeleteFunc(names, func(name string) bool { return matchesName(name, session) })
	}
	return names
}

func (w *watcher) none(name string) string {
	return fmt.Sprintf("there is no AgentSession %q in namespace %s yet: waiting for it", name, w.namespace)
}

// take takes a change in.
func (w *watcher) take(kind watch.EventType, session *v1alpha1.AgentSession) {
	meant := func(name string) bool { return matchesName(name, session) }
	if len(w.names) > 0 && !slices.ContainsFunc(w.names, meant) {
		return
	}
	if kind != watch.Deleted {
		w.candidates[session.UID] = session
		w.show(session)
		return
	}
	_, was := w.shown[session.UID]
	delete(w.candidates, session.UID)
	w.hide(session)
	if was {
		w.printLine(session, "deleted")
	}
}

// choose shows those sessions that time alone has made what is meant, and hides the others.
func (w *watcher) choose() {
	if w.busyFor == 0 {
		return
	}
	for _, session := range w.candidates {
		w.show(session)
	}
}

// show shows a session if it is meant, and tells what is new of it.
func (w *watcher) show(session *v1alpha1.AgentSession) {
	if !w.has(w.now(), session) {
		w.hide(session)
		return
	}
	w.shown[session.UID] = session
	if line := explain.Sentence(session, w.now().Location()); line != "" && line != w.printed[session.UID] {
		w.printed[session.UID] = line
		w.printLine(session, line)
	}
}

func (w *watcher) hide(session *v1alpha1.AgentSession) {
	delete(w.shown, session.UID)
	delete(w.printed, session.UID)
}

// printLine writes a line where no table is drawn.
func (w *watcher) printLine(session *v1alpha1.AgentSession, what string) {
	if w.size != nil {
		return
	}
	name := session.Name
	if w.all {
		name = session.Namespace + "/" + name
	}
	writeLines(w.out, fmt.Sprintf("%s  %s  %s", w.now().Format(time.DateTime), name, what))
}

// note says what is no change of a session, where no table is drawn that has a line for it.
func (w *watcher) note(text string) {
	if w.size == nil {
		writeLines(w.err, text)
	}
}
