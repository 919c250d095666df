package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ofRepository is the beginning of a link to a file of the repository.
var ofRepository = regexp.MustCompile(`\]\(([a-zA-Z][\w./-]*(?:#[\w-]*)?)\)`)

// writeNotes writes what CHANGELOG.md says of the version, or, in a trial before the
// heading is there, of what is unreleased.
func (r release) writeNotes(context.Context) error {
	raw, err := os.ReadFile(filepath.Join(r.top, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	text, ok := section(string(raw), r.version)
	if !ok {
		text, ok = section(string(raw), "Unreleased")
	}
	if !ok {
		return fmt.Errorf("CHANGELOG.md has no heading %q", "## "+r.version)
	}
	text = ofRepository.ReplaceAllString(text, "]("+repository+"/blob/"+r.version+"/$1)")
	return os.WriteFile(r.path("NOTES.md"), []byte(text), 0o644)
}

// section is what stands below a heading of the second level, which may have more words
// after the name, as a date.
func section(changelog, name string) (string, bool) {
	for part := range strings.SplitSeq("\n"+changelog, "\n## ") {
		heading, text, _ := strings.Cut(part, "\n")
		if heading == name || strings.HasPrefix(heading, name+" ") {
			return strings.TrimSpace(text) + "\n", true
		}
	}
	return "", false
}
