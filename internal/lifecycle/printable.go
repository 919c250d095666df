package lifecycle

import (
	"strings"
	"unicode"
)

// maxWords is the length that a foreign text is cut to, in bytes.
const maxWords = 200

// Printable makes a text that an agent or a tenant wrote fit for logs, events
// and conditions: one line without control characters, 200 bytes at most.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*maxWords)], "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxWords {
		return s
	}
	return strings.ToValidUTF8(s[:maxWords-3], "") + "..."
}
