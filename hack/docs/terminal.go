package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The size of a cell and of the margin around all of them, in pixels.
const cellWidth, cellHeight, margin = 8.4, 19.0, 14.0

// looks are the attributes of text after an escape sequence of a colour: those that the
// tool uses.
var looks = map[string]string{
	"0": "", "1": ` font-weight="bold"`, "2": ` fill="#8d98a5"`, "31": ` fill="#ff8a80"`, "32": ` fill="#7ee08f"`, "33": ` fill="#f2cc60"`,
}

var (
	escape     = regexp.MustCompile("\x1b\\[([0-9;?]*)([A-Za-z])")
	partOfLine = regexp.MustCompile("\x1b\\[[0-9]*m|[^\x1b]+")
	// phrase has no space at its ends, nor two within: SVG makes one of several.
	phrase = regexp.MustCompile(`\S+( \S+)*`)
)

// lastFrame is the last screen that a program has drawn to its end, or all that it wrote if it
// draws none.
func lastFrame(written string) string {
	const home, below = "\x1b[H", "\x1b[J"
	frames := strings.Split(written, home)
	if len(frames) > 1 {
		written = ""
		for _, frame := range frames[1:] {
			if whole, _, ended := strings.Cut(frame, below); ended {
				written = whole
			}
		}
	}
	written = strings.ReplaceAll(written, "\r", "")
	return escape.ReplaceAllStringFunc(written, func(sequence string) string {
		if strings.HasSuffix(sequence, "m") {
			return sequence
		}
		return ""
	})
}

// picture draws what a program wrote to a terminal of so many columns, as SVG. It needs no
// font of its own: each text is as wide as its cells, whatever the reader's font.
func picture(command, written string, columns int) string {
	var b strings.Builder
	row, look := 0, ""
	write := func(column int, look, text string) {
		for _, at := range phrase.FindAllStringIndex(text, -1) {
			words, from := text[at[0]:at[1]], column+utf8.RuneCountInString(text[:at[0]])
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" textLength="%.1f"%s>%s</text>`+"\n", margin+float64(from)*cellWidth,
				margin+(float64(row)+0.75)*cellHeight, float64(utf8.RuneCountInString(words))*cellWidth, look, html.EscapeString(words))
		}
	}
	lines := strings.Split(strings.TrimRight(lastFrame(written), "\n"), "\n")
	for _, line := range append([]string{"\x1b[1m$ " + command + "\x1b[0m"}, lines...) {
		column := 0
		for _, part := range partOfLine.FindAllString(line, -1) {
			if code, is := strings.CutPrefix(part, "\x1b["); is {
				look = looks[strings.TrimSuffix(code, "m")]
				continue
			}
			for text := []rune(part); len(text) > 0; {
				if column == columns {
					column = 0
					row++
				}
				n := min(len(text), columns-column)
				write(column, look, string(text[:n]))
				column += n
				text = text[n:]
			}
		}
		row++
	}
	width, height := 2*margin+float64(columns)*cellWidth, 2*margin+float64(row)*cellHeight
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">
<title>%s</title>
<rect width="100%%" height="100%%" rx="8" fill="#0f1419"/>
<g font-family="ui-monospace, 'Liberation Mono', Menlo, Consolas, monospace" font-size="14" fill="#d7dee6">
%s</g>
</svg>
`, width, height, width, height, html.EscapeString(command), b.String())
}
