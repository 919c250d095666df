// Package docs reads the pages of the documentation for the tests that hold them to what
// they promise: links lead somewhere, commands exist, reasons have an entry.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Pages returns the text of all pages below the top of the repository, by their path from it.
func Pages(top string) (map[string]string, error) {
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			return nil, fmt.Errorf("find the pages %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // a page of the repository
			if err != nil {
				return nil, fmt.Errorf("read a page: %w", err)
			}
			name, err := filepath.Rel(top, file)
			if err != nil {
				return nil, fmt.Errorf("name the page %s: %w", file, err)
			}
			all[name] = string(text)
		}
	}
	return all, nil
}

// Block is a fenced block of code.
type Block struct {
	Page, Language, Text string
}

var fence = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```$")

// Blocks returns the fenced blocks of a page, in their order.
func Blocks(page, text string) (all []Block) {
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		all = append(all, Block{page, m[1], m[2]})
	}
	return all
}

var inline = regexp.MustCompile("`([^`]+)`")

// Inline returns what a page shows as code within its sentences.
func Inline(text string) (all []string) {
	for paragraph := range strings.SplitSeq(fence.ReplaceAllString(text, ""), "\n\n") {
		for _, m := range inline.FindAllStringSubmatch(paragraph, -1) {
			all = append(all, strings.ReplaceAll(m[1], "\n", " "))
		}
	}
	return all
}

// programs are those that the pages run. What begins with another word is no command.
var programs = strings.Fields("agentsession bin/agentsession kubectl make go git kind minikube k3d docker helm curl jq grep ls tee wc python pip pytest")

// script returns the commands of a block; empty for one that holds none.
func (b Block) script() string {
	switch b.Language {
	case "sh":
		return b.Text
	case "yaml":
		return b.steps()
	case "":
	default:
		return ""
	}
	if strings.HasPrefix(b.Text, "$ ") { // commands, and what they print
		var lines []string
		for line := range strings.Lines(b.Text) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				lines = append(lines, command)
			}
		}
		return strings.Join(lines, "")
	}
	for line := range strings.Lines(b.Text) {
		if strings.HasPrefix(line, "for ") || strings.HasPrefix(line, "export ") || startsCommand(line) {
			return b.Text
		}
	}
	return ""
}

// steps returns the commands of a workflow of GitHub Actions; empty for any other YAML.
func (b Block) steps() string {
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Run string }
		}
	}
	if yaml.Unmarshal([]byte(b.Text), &workflow) != nil {
		return ""
	}
	var lines []string
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			lines = append(lines, step.Run)
		}
	}
	return strings.Join(lines, "\n")
}

var assignments = regexp.MustCompile(`^( *[A-Za-z_]+=\S* +)*`)

func startsCommand(line string) bool {
	words := strings.Fields(assignments.ReplaceAllString(line, ""))
	if len(words) == 0 {
		return false
	}
	return slices.Contains(programs, words[0])
}
