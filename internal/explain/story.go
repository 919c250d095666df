package explain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// Story is an explanation.
type Story struct {
	// Title says of what and when it is.
	Title    string
	Chapters []Chapter
}

// Chapter is a part of a story under a heading.
type Chapter struct {
	Heading string
	// Lines are sentences, and moments with what happened at them.
	Lines []string
	// Commands are for the user to type.
	Commands []Command
}

// Command is one that a user may type.
type Command struct {
	// Line is the whole command: it has no name that a shell would take for more than a name.
	Line string
	// Does says what it is for.
	Does string
}

const (
	width    = 96  // of a line, where its words allow it
	maxLine  = 900 // bytes of one message, which is at most what status and Events hold
	maxShort = 200 // bytes of a message beside others
)

// String is the story as a text.
func (s Story) String() string { return s.Text(func(heading string) string { return heading }) }

// Text is the story with its title and headings as mark has them.
func (s Story) Text(mark func(string) string) string {
	var b strings.Builder
	b.WriteString(mark(s.Title) + "\n")
	for _, chapter := range s.Chapters {
		if len(chapter.Lines)+len(chapter.Commands) == 0 {
			continue
		}
		b.WriteString("\n" + mark(chapter.Heading) + "\n")
		for _, line := range chapter.Lines {
			b.WriteString(wrap(printable(line)))
		}
		for _, command := range chapter.Commands {
			b.WriteString(wrap(upper(command.Does)+":") + "    " + command.Line + "\n")
		}
	}
	return b.String()
}

// printable is a text without what a terminal would obey, of whoever wrote it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// wrap breaks a line between words, and indents it. A moment at its beginning stands
// alone in its column.
func wrap(line string) string {
	const indent = "  "
	hang := indent
	if moment, _, ok := strings.Cut(line, column); ok {
		hang += strings.Repeat(" ", utf8.RuneCountInString(moment)+len(column))
	} else if strings.HasPrefix(line, "- ") {
		hang += indent
	}
	var b strings.Builder
	b.WriteString(indent)
	at := len(indent)
	for i, word := range strings.Split(line, " ") {
		long := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+long > width && at > len(hang):
			b.WriteString("\n" + hang)
			at = len(hang)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += long
	}
	return b.String() + "\n"
}

// column is between a moment and what happened at it.
const column = "  "

// asSentence is a message as a whole sentence.
func asSentence(message string) string {
	message = strings.TrimSpace(lifecycle.Line(message, maxLine))
	if strings.HasSuffix(message, "..") && !strings.HasSuffix(message, "...") { // of a message within another
		message = message[:len(message)-1]
	}
	if message == "" || strings.HasSuffix(message, ".") || strings.HasSuffix(message, "…") {
		return message
	}
	return message + "."
}

// bare is a message that others follow: its end, as of what an agent wrote last, may say most.
func bare(message string) string { return strings.TrimSuffix(asSentence(message), ".") }

func upper(sentence string) string {
	if sentence == "" {
		return ""
	}
	return strings.ToUpper(sentence[:1]) + sentence[1:]
}
