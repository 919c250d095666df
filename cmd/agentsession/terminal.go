package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// terminal is the file that a stream is, if it is a terminal; nil if not.
func terminal(stream any) *os.File {
	file, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

// Escape sequences of colours.
const (
	bold, dim, red, green, yellow = "1", "2", "31", "32", "33"
)

// paint colours a text.
type paint func(colour, text string) string

// paintFor colours on terminals, unless the user wants none (no-color.org).
func paintFor(out io.Writer) paint {
	if terminal(out) == nil || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	return coloured
}

func coloured(colour, text string) string {
	if colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// cell is a text in a table, and its colour.
type cell struct{ text, colour string }

func plain(texts ...string) (cells []cell) {
	for _, text := range texts {
		cells = append(cells, cell{text: text})
	}
	return cells
}

// printable is a text without what a terminal would obey, of whoever wrote it. Line breaks
// stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			return r
		case r == '\t':
			return ' '
		}
		return '?'
	}, text)
}

// table is rows as lines, with three spaces between columns, as kubectl has it.
func table(rows [][]cell, p paint) (lines []string) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], widthOf(printable(c.text)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			text := printable(c.text)
			b.WriteString(p(c.colour, text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-widthOf(text)+3))
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}

// widthOf is how many columns of a terminal a printable text takes: ideographs and emoji take
// two each, and marks stand above what is before them.
func widthOf(text string) (columns int) {
	for _, r := range text {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			columns += 2
		case width.Neutral, width.EastAsianAmbiguous, width.EastAsianNarrow, width.EastAsianHalfwidth:
			if !unicode.In(r, unicode.Mn, unicode.Me) {
				columns++
			}
		}
	}
	return columns
}

// count says how many sessions there are.
func count(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// writeLines writes lines. Who closed the terminal reads nothing.
func writeLines(out io.Writer, lines ...string) {
	for _, line := range lines {
		_, _ = fmt.Fprintln(out, line)
	}
}
