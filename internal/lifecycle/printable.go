package lifecycle

import (
	"strings"
	"unicode"
)

// maxPrintable is how many characters Printable keeps.
const maxPrintable = 200

// Printable makes a text that an agent or a tenant wrote fit for logs, events
// and conditions: one line of 200 characters at most, in which escape
// sequences and changes of direction stand as question marks.
func Printable(s string) string {
	kept := 0
	return strings.Map(func(r rune) rune {
		kept++
		switch {
		case kept > maxPrintable:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
