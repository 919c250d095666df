package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// ink is the colour of a text: an SGR code, or none.
type ink string

const (
	plain  ink = ""
	bold   ink = "1"
	dim    ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
)

// span is a text in one ink.
type span struct {
	ink  ink
	text string
}

// line is one line of the terminal.
type line []span

func text(s string) line { return line{{plain, s}} }

// pad fills a cell of a table with spaces.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 0))
}

// cut shortens a line to a width; what is cut ends in an ellipsis.
func (l line) cut(width int) line {
	l = l.trim()
	var kept line
	for i, s := range l {
		length := utf8.RuneCountInString(s.text)
		if length < width || length == width && i == len(l)-1 {
			kept, width = append(kept, s), width-length
			continue
		}
		if width > 0 {
			s.text = string([]rune(s.text)[:width-1]) + "…"
			kept = append(kept, s)
		}
		break
	}
	return kept
}

// trim takes off the spaces at the end.
func (l line) trim() line {
	l = slices.Clone(l)
	for len(l) > 0 {
		last := &l[len(l)-1]
		if last.text = strings.TrimRight(last.text, " "); last.text != "" {
			break
		}
		l = l[:len(l)-1]
	}
	return l
}

// render is the line as the terminal takes it.
func (l line) render(colour bool) string {
	var b strings.Builder
	for _, s := range l.trim() {
		if !colour || s.ink == plain {
			b.WriteString(s.text)
			continue
		}
		b.WriteString("\x1b[" + string(s.ink) + "m" + s.text + "\x1b[0m")
	}
	return b.String()
}

// wrap breaks a text at spaces into lines of a width, all but the first
// indented.
func wrap(s string, width, indent int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case current == "":
			current = word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, current)
			current = strings.Repeat(" ", indent) + word
		default:
			current += " " + word
		}
	}
	return append(lines, current)
}
