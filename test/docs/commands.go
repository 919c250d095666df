package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Command is a command that a page shows, as a shell splits it.
type Command struct {
	Page string
	// Words are the program and its arguments.
	Words []string
	// Inline is one of a sentence: it may lack the arguments that it takes.
	Inline bool
}

func (c Command) String() string { return c.Page + ": " + strings.Join(c.Words, " ") }

// preamble has bash write each simple command to descriptor 3 in the place of running it: the
// number of its words, and the words, each with a NUL behind it. PATH leads nowhere, so
// whatever is no builtin comes to command_not_found_handle; names with a slash need functions.
const preamble = `
record() { printf '%s\0' $# "$@" >&3; }
command_not_found_handle() { record "$@"; }
bin/agentsession() { record agentsession "$@"; }
hack/kind/engine() { :; }
hack/newcomer() { :; }
cd() { :; }
`

// Commands returns the commands of all pages but the changelog, which tells of what was.
// Bash itself takes them apart, those of a page at once.
func Commands(ctx context.Context, pages map[string]string) (all []Command, err error) {
	dir, err := os.MkdirTemp("", "docs-") // for what they redirect their output to
	if err != nil {
		return nil, fmt.Errorf("make a directory for the commands: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	for page, text := range pages {
		if page == "CHANGELOG.md" {
			continue
		}
		recorded, err := record(ctx, dir, script(page, text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", page, err)
		}
		if all, err = appendCommands(all, page, recorded); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// What is recorded before the commands of a block and of a sentence.
const ofBlock, ofSentence = "=block", "=sentence"

func script(page, text string) string {
	var b strings.Builder
	add := func(kind, commands string) {
		if commands != "" {
			fmt.Fprintf(&b, "record %s\n(\n%s\nwait\n)\n", kind, commands)
		}
	}
	for _, block := range Blocks(page, text) {
		add(ofBlock, block.script())
	}
	for _, code := range Inline(text) {
		if startsCommand(code) {
			add(ofSentence, code)
		}
	}
	return b.String()
}

// record has bash run a script, and returns what it recorded.
func record(ctx context.Context, dir, script string) ([]byte, error) {
	words, err := os.Create(filepath.Join(dir, "words")) //nolint:gosec // in a directory of our own
	if err != nil {
		return nil, fmt.Errorf("make the file of words: %w", err)
	}
	defer words.Close()                                                              //nolint:errcheck // bash writes it
	bash := exec.CommandContext(ctx, "bash", "--norc", "-c", preamble+script+"true") //nolint:gosec // the pages are the repository's
	bash.Dir, bash.Env, bash.ExtraFiles = dir, []string{"PATH=/nowhere", "HOME=" + dir}, []*os.File{words}
	if said, err := bash.CombinedOutput(); len(said) > 0 || err != nil {
		return nil, fmt.Errorf("bash does not take its commands: %s (%v)", said, err) //nolint:errorlint // it says nothing more
	}
	recorded, err := os.ReadFile(words.Name())
	if err != nil {
		return nil, fmt.Errorf("read the words: %w", err)
	}
	return recorded, nil
}

func appendCommands(all []Command, page string, recorded []byte) ([]Command, error) {
	kind := ""
	for rest := bytes.Split(recorded, []byte{0}); len(rest) > 1; {
		count, err := strconv.Atoi(string(rest[0]))
		if err != nil || count >= len(rest) {
			return nil, fmt.Errorf("%s: %q is no number of words", page, rest[0])
		}
		c := Command{Page: page, Inline: kind == ofSentence}
		for _, word := range rest[1 : 1+count] {
			c.Words = append(c.Words, string(word))
		}
		rest = rest[1+count:]
		switch name := c.Words[0]; {
		case name == ofBlock, name == ofSentence:
			kind = name
		case slices.Contains(programs, name):
			all = append(all, c)
		default:
			return nil, fmt.Errorf("%s is none of the programs that the pages run", c)
		}
	}
	return all, nil
}

// Tool returns the arguments of a command of this project's tool, `agentsession` or
// `kubectl agentsession`; false for any other.
func (c Command) Tool() ([]string, bool) {
	switch {
	case c.Words[0] == "agentsession":
		return c.Words[1:], true
	case c.Words[0] == "kubectl" && len(c.Words) > 1 && c.Words[1] == "agentsession":
		return c.Words[2:], true
	case len(c.Words) > 2 && slices.Equal(c.Words[:3], []string{"go", "run", "./cmd/agentsession"}):
		return c.Words[3:], true
	}
	return nil, false
}
