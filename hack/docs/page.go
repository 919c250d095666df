package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
)

// page is one of the documentation, named by its path in the repository.
type page struct {
	name   string
	source []byte
	tree   ast.Node
	// contents are where the links of its tables lead, in their order.
	contents []string
}

var markdown = goldmark.New(
	goldmark.WithExtensions(extension.GFM),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(html.WithUnsafe()),
)

func parse(name string, source []byte) *page {
	context := parser.NewContext(parser.WithIDs(anchors{}))
	return &page{name: name, source: source, tree: markdown.Parser().Parse(text.NewReader(source), parser.WithContext(context))}
}

func (p *page) html() ([]byte, error) {
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, p.source, p.tree); err != nil {
		return nil, fmt.Errorf("render it: %w", err)
	}
	return out.Bytes(), nil
}

// chapter is a heading of the second level.
type chapter struct{ Title, Anchor string }

func (p *page) title() string {
	for n := p.tree.FirstChild(); n != nil; n = n.NextSibling() {
		if heading, is := n.(*ast.Heading); is && heading.Level == 1 {
			return words(heading, p.source)
		}
	}
	return p.name
}

func (p *page) chapters() (all []chapter) {
	for n := p.tree.FirstChild(); n != nil; n = n.NextSibling() {
		if heading, is := n.(*ast.Heading); is && heading.Level == 2 {
			id, _ := heading.AttributeString("id")
			anchor, _ := id.([]byte)
			all = append(all, chapter{Title: words(heading, p.source), Anchor: string(anchor)})
		}
	}
	return all
}

// words are the text below a node.
func words(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // nothing below fails
		if part, is := n.(*ast.Text); is && entering {
			b.Write(part.Segment.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// anchors gives headings the anchors that GitHub gives them; it counts those of a page.
type anchors map[string]int

var dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// Generate implements parser.IDs.
func (a anchors) Generate(value []byte, _ ast.NodeKind) []byte {
	anchor := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(string(value))), ""), " ", "-")
	n := a[anchor]
	a[anchor]++
	if n > 0 {
		anchor += "-" + strconv.Itoa(n)
	}
	return []byte(anchor)
}

// Put implements parser.IDs.
func (anchors) Put([]byte) {}
