package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark/ast"
	table "github.com/yuin/goldmark/extension/ast"
)

// resolve has the links and pictures of a page lead to where they are for a reader of the
// site. It refuses HTML, but what tables need to break a line, and comments.
func (s *site) resolve(p *page) error {
	return ast.Walk(p.tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) { //nolint:wrapcheck // the errors are those below
		if !entering {
			return ast.WalkContinue, nil
		}
		var err error
		switch n := n.(type) {
		case *ast.Link:
			if n.Destination, err = s.target(p, n.Destination); inTable(n) {
				p.contents = append(p.contents, string(n.Destination))
			}
		case *ast.Image:
			err = s.show(p, n.Destination)
		case *ast.RawHTML:
			err = noHTML(n.Segments.Value(p.source))
		case *ast.HTMLBlock:
			err = noHTML(n.Lines().Value(p.source))
		}
		return ast.WalkContinue, err
	})
}

func noHTML(text []byte) error {
	if one := strings.TrimSpace(string(text)); one == "<br>" || strings.HasPrefix(one, "<!--") {
		return nil
	}
	return fmt.Errorf("%q is HTML: pages have Markdown only", text)
}

func inTable(n ast.Node) bool {
	for ; n != nil; n = n.Parent() {
		if n.Kind() == table.KindTable {
			return true
		}
	}
	return false
}

// target is where a link leads: another page, or the file on GitHub.
func (s *site) target(p *page, destination []byte) ([]byte, error) {
	to, err := url.Parse(string(destination))
	if err != nil {
		return nil, fmt.Errorf("the link %s: %w", destination, err)
	}
	if to.IsAbs() || to.Path == "" {
		return destination, nil
	}
	name := path.Join(path.Dir(p.name), to.Path)
	if other := s.page(name); other != nil {
		to.Path = strings.TrimSuffix(to.Path, path.Base(to.Path)) + path.Base(other.out())
		return []byte(to.String()), nil
	}
	info, err := os.Stat(filepath.Join(s.top, name))
	if err != nil {
		return nil, fmt.Errorf("the link %s: %w", destination, err)
	}
	kind := "blob"
	if info.IsDir() {
		kind = "tree"
	}
	return []byte(repository + "/" + kind + "/main/" + name), nil
}

// show takes what a page shows into the site, at the same place.
func (s *site) show(p *page, destination []byte) error {
	name := path.Join(path.Dir(p.name), string(destination))
	if _, err := os.Stat(filepath.Join(s.top, name)); err != nil {
		return fmt.Errorf("the picture %s: %w", destination, err)
	}
	s.assets[name] = true
	return nil
}
