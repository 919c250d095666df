package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local"
)

// redraw is how often a table is drawn anew: its countdowns are in seconds.
const redraw = time.Second

func newWatch() *cobra.Command {
	var by selected
	command := &cobra.Command{
		Use:     "watch",
		Short:   "Watch sessions: a live table in a terminal, a line for each change else",
		Example: "  {} watch -A",
		Args:    cobra.NoArgs,
	}
	at := newCluster(command.Flags())
	by.bind(command.Flags())
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := at.open(); err != nil {
			return err
		}
		which, err := at.options(by)
		if err != nil {
			return err
		}
		ctx, out := command.Context(), command.OutOrStdout()
		if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return advised(at.draw(ctx, file, by.all, which))
		}
		name := func(s *v1alpha1.AgentSession) string { return s.Namespace + "/" + s.Name }
		return advised(local.Narrate(ctx, out, at, name, which))
	}
	return command
}

// draw draws a table of the sessions again and again.
func (c *cluster) draw(ctx context.Context, out *os.File, all bool, which client.ListOption) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	sessions := map[types.UID]v1alpha1.AgentSession{}
	ended := make(chan error, 1)
	go func() {
		ended <- local.Follow(ctx, c, func(kind watch.EventType, s *v1alpha1.AgentSession) {
			mu.Lock()
			defer mu.Unlock()
			if kind == watch.Deleted {
				delete(sessions, s.UID)
				return
			}
			sessions[s.UID] = *s
		}, which)
	}()
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	for {
		mu.Lock()
		shown := slices.SortedFunc(maps.Values(sessions), func(a, b v1alpha1.AgentSession) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		mu.Unlock()
		if err := drawOnce(out, shown, all, time.Now()); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
		}
	}
}

// drawOnce draws what fits on the screen, over what was there.
func drawOnce(out *os.File, sessions []v1alpha1.AgentSession, all bool, now time.Time) error {
	var table bytes.Buffer
	if err := printTable(&table, sessions, all, false, now); err != nil {
		return err
	}
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return fmt.Errorf("find the size of the terminal: %w", err)
	}
	const clear = "\x1b[H\x1b[2J"
	text := fmt.Sprintf("%d sessions at %s\n\n%s", len(sessions), now.Format(time.TimeOnly), table.Bytes())
	_, err = io.WriteString(out, clear+fit(text, width, height-1)+"\n")
	return err
}

// fit cuts a text to a screen.
func fit(text string, width, height int) string {
	var fitted bytes.Buffer
	lines := 0
	for line := range bytes.Lines([]byte(text)) {
		if lines++; lines > height {
			break
		}
		runes := []rune(string(bytes.TrimRight(line, "\n")))
		if lines > 1 {
			fitted.WriteByte('\n')
		}
		fitted.WriteString(string(runes[:min(len(runes), width)]))
	}
	return fitted.String()
}
