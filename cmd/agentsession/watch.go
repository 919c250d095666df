package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

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
			c, err := t.connect()
			if err != nil {
				return err
			}
			w := &watcher{cluster: c, selection: &s, out: command.OutOrStdout(), shown: map[types.UID]*v1alpha1.AgentSession{}, said: map[types.UID]string{}}
			if file := terminal(w.out); file != nil {
				w.size = func() (int, int, error) { return term.GetSize(int(file.Fd())) }
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
	out io.Writer
	// size of the terminal, its width first; nil if there is none.
	size  func() (int, int, error)
	shown map[types.UID]*v1alpha1.AgentSession
	said  map[types.UID]string
	drawn bool
}

// run watches until ctx ends. That the first watch cannot be had is an error; one that
// breaks later is begun again.
func (w *watcher) run(ctx context.Context) error {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for first := true; ctx.Err() == nil; first = false {
		changes, err := w.Watch(ctx, &v1alpha1.AgentSessionList{}, w.options(w.cluster)...)
		switch {
		case err == nil:
			clear(w.shown)
			w.follow(ctx, changes, beats.C)
			changes.Stop()
		case ctx.Err() != nil:
			return nil
		case first || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
			return w.inWords(err)
		}
		select {
		case <-ctx.Done():
		case <-beats.C:
		}
	}
	return nil
}

func (w *watcher) follow(ctx context.Context, changes watch.Interface, beats <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case change, ok := <-changes.ResultChan():
			session, is := change.Object.(*v1alpha1.AgentSession)
			if !ok || change.Type == watch.Error {
				return
			}
			if is {
				w.take(change.Type, session)
			}
		case <-beats:
			w.draw()
		}
	}
}

// take takes a change in.
func (w *watcher) take(kind watch.EventType, session *v1alpha1.AgentSession) {
	if len(w.names) > 0 && !slices.Contains(w.names, session.Name) {
		return
	}
	_, was := w.shown[session.UID]
	if kind == watch.Deleted {
		delete(w.shown, session.UID)
		delete(w.said, session.UID)
		if was {
			w.tell(session, "deleted")
		}
		return
	}
	if !w.has(w.now(), session) {
		delete(w.shown, session.UID)
		delete(w.said, session.UID)
		return
	}
	w.shown[session.UID] = session
	if line := explain.Sentence(session, w.now().Location()); line != "" && line != w.said[session.UID] {
		w.said[session.UID] = line
		w.tell(session, line)
	}
}

// tell writes a line where no table is drawn.
func (w *watcher) tell(session *v1alpha1.AgentSession, what string) {
	if w.size != nil {
		return
	}
	name := session.Name
	if w.all {
		name = session.Namespace + "/" + name
	}
	say(w.out, fmt.Sprintf("%s  %s  %s", w.now().Format(time.DateTime), name, what))
}

// draw draws the table anew over the last one.
func (w *watcher) draw() {
	if w.size == nil {
		return
	}
	width, height, err := w.size()
	if err != nil {
		width, height = 80, 24
	}
	const home, erase, toEndOfLine, below = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"
	text := home
	if !w.drawn {
		text, w.drawn = erase+home, true
	}
	for _, line := range w.screen(width, height-1) {
		text += line + toEndOfLine + "\r\n"
	}
	_, _ = io.WriteString(w.out, text+below) // as say
}

// screen is the table, no wider and no higher than there is room.
func (w *watcher) screen(width, height int) []string {
	var all []found
	for _, session := range slices.SortedFunc(maps.Values(w.shown), func(a, b *v1alpha1.AgentSession) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	}) {
		all = append(all, found{AgentSession: session})
	}
	head := fmt.Sprintf("%s  %s%s", w.now().Format(time.TimeOnly), count(len(all)), where(w.cluster, w.selection))
	rows, more := tableOf(w.now(), w.all, false, all), ""
	if room := height - 3; len(rows) > room && room > 1 {
		more = fmt.Sprintf("... and %d more: a larger terminal, or --state and --runtime, show others", len(rows)-room+1)
		rows = rows[:room-1]
	}
	lines := append([]string{head, ""}, table(cut(rows, width), paintFor(w.out))...)
	if more != "" {
		lines = append(lines, more)
	}
	return lines
}

// cut takes away the columns that a terminal has no room for, the last ones first.
func cut(rows [][]cell, width int) [][]cell {
	for columns := len(rows[0]); columns > 1; columns-- {
		narrow := make([][]cell, 0, len(rows))
		for _, row := range rows {
			narrow = append(narrow, row[:columns])
		}
		if widest(table(narrow, func(_, text string) string { return text })) <= width {
			return narrow
		}
	}
	return rows
}

func widest(lines []string) (most int) {
	for _, line := range lines {
		most = max(most, len([]rune(line)))
	}
	return most
}
