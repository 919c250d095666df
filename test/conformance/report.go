package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// columns are the widths of the table's: check, Go, Python, verdict.
var columns = [...]int{32, 38, 38, 34}

// report writes the table, and tells whether all rows are as they should be.
// The last line counts them.
func report(w io.Writer, results []result) (ok bool) {
	line(w, "", "check", "Go (agentruntime)", "Python (bedrock-agentcore)", "verdict")
	checks, same, differ, failed := 0, 0, 0, 0
	for _, r := range results {
		line(w, r.id, r.name, r.golang.String(), r.python.String(), r.verdict())
		if r.id == strconv.Itoa(r.number()) {
			checks++
		}
		switch {
		case r.failure != "":
			failed++
		case r.same:
			same++
		default:
			differ++
		}
	}
	_, _ = fmt.Fprintf(w, "\nconformance: %d checks in %d rows, %d same, %d differ on purpose, %d failed\n",
		checks, len(results), same, differ, failed)
	return failed == 0 && len(results) > 0
}

// say is for who waits.
func say(progress io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "conformance: "+format+"\n", args...)
}

// line writes a row, on as many lines as its longest cell takes.
func line(w io.Writer, number string, cells ...string) {
	var wrapped [len(columns)][]string
	height := 1
	for i, cell := range cells {
		wrapped[i] = wrap(cell, columns[i])
		height = max(height, len(wrapped[i]))
	}
	for row := range height {
		var text strings.Builder
		_, _ = fmt.Fprintf(&text, "%3s", number)
		number = ""
		for i, cell := range wrapped {
			part := ""
			if row < len(cell) {
				part = cell[row]
			}
			text.WriteString("  " + part + strings.Repeat(" ", columns[i]-utf8.RuneCountInString(part)))
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(text.String(), " "))
	}
}

// wrap breaks a text into lines, at blanks and commas where there are any.
func wrap(text string, width int) []string {
	var lines []string
	for rest := []rune(strings.ReplaceAll(text, "\n", " ")); len(rest) > 0; {
		end := min(width, len(rest))
		if end < len(rest) {
			if at := strings.LastIndexAny(string(rest[:end]), " ,"); at > 0 {
				end = utf8.RuneCountInString(string(rest[:end])[:at+1])
			}
		}
		lines = append(lines, strings.TrimSpace(string(rest[:end])))
		rest = rest[end:]
	}
	return lines
}
