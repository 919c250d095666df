package lifecycle

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPrintable is how many characters Printable keeps.
	maxPrintable = 200
	// maxLastWords is how many bytes LastWords keeps.
	maxLastWords = 300
)

// Printable makes a text that an agent or a tenant wrote fit for logs, events
// and conditions: one line of 200 characters at most, in which escape
// sequences and changes of direction stand as question marks.
func Printable(s string) string {
	kept := 0
	return strings.Map(func(r rune) rune {
		if kept++; kept > maxPrintable {
			return -1
		}
		return printable(r)
	}, s)
}

func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r):
		return '?'
	}
	return r
}

// Line makes such a text one printable line of so many bytes at most.
func Line(s string, most int) string {
	return Cut(strings.Map(printable, Cut(s, 4*most)), most)
}

// LastWords is the end of what a container wrote, fit for the same: that is where it
// says why it failed.
func LastWords(s string) string {
	if keep := 4 * maxLastWords; len(s) > keep { // what is only space shrinks
		s = s[len(s)-keep:]
	}
	s = strings.Map(printable, strings.Join(strings.Fields(s), " "))
	if len(s) <= maxLastWords {
		return s
	}
	s = s[len(s)-maxLastWords:]
	for !utf8.RuneStart(s[0]) { // Map has left whole characters only
		s = s[1:]
	}
	return "…" + s
}

// Cut is the beginning of a text, of so many bytes at most and no part of a character.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const more = "…"
	end := most - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}
