package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

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

// notes are lines above the table: what the user should know of what he reads.
func (w *watcher) notes() (lines []string) {
	if w.away != "" {
		lines = append(lines, w.away)
	}
	if w.ownTime() {
		lines = append(lines, ownTimeWarning)
	}
	if w.listed {
		for _, name := range w.missing() {
			lines = append(lines, w.none(name))
		}
	}
	return lines
}

// screen is the table, no wider and no higher than there is room.
func (w *watcher) screen(width, height int) []string {
	var all []found
	for _, session := range slices.SortedFunc(maps.Values(w.shown), func(a, b *v1alpha1.AgentSession) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	}) {
		all = append(all, found{AgentSession: session})
	}
	p := paintFor(w.out)
	lines := []string{fmt.Sprintf("%s  %s%s", w.now().Format(time.TimeOnly), count(len(all)), podLocation(w.cluster, w.selection))}
	for _, note := range w.notes() {
		lines = append(lines, p(yellow, fitting(note, width)))
	}
	lines = append(lines, "")
	rows, more := tableOf(w.now(), w.all, false, all), ""
	if room := height - len(lines) - 1; len(rows) > room && room > 1 {
		more = fmt.Sprintf("... and %d more: a larger terminal, or --state and --runtime, show others", len(rows)-room+1)
		rows = rows[:room-1]
	}
	lines = append(lines, table(cut(rows, width), p)...)
	if more != "" {
		lines = append(lines, more)
	}
	return lines
}

// fitting is as much of a line as there is room for.
func fitting(line string, width int) string {
	columns := 0
	for i, r := range line {
		if columns += widthOf(string(r)); columns > width {
			return line[:i]
		}
	}
	return line
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
		most = max(most, widthOf(line))
	}
	return most
}
