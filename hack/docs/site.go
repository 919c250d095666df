package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

var (
	//go:embed page.html
	layout string
	//go:embed style.css
	style []byte

	pageTemplate = template.Must(template.New("page").Parse(layout))
)

// front is the page that leads to all others.
const front = "README.md"

// site is the pages, in the order of the front page's table.
type site struct {
	top   string
	pages []*page
	// assets are the files that pages show, by their path in the repository.
	assets map[string]bool
}

// readSite reads all pages below the top of the repository.
func readSite(top string) (*site, error) {
	s := &site{top: top, assets: map[string]bool{}}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			return nil, fmt.Errorf("find the pages %s: %w", pattern, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read a page: %w", err)
			}
			s.pages = append(s.pages, parse(strings.TrimPrefix(filepath.ToSlash(file), filepath.ToSlash(top)+"/"), source))
		}
	}
	for _, p := range s.pages {
		if err := s.resolve(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	s.sort()
	return s, nil
}

// sort has the front page first, then the others as its table of contents names them.
func (s *site) sort() {
	order := []string{s.page(front).out()}
	order = append(order, s.page(front).contents...)
	place := func(p *page) int {
		if i := slices.Index(order, p.out()); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(s.pages, func(a, b *page) int { return place(a) - place(b) })
}

func (s *site) page(name string) *page {
	if i := slices.IndexFunc(s.pages, func(p *page) bool { return p.name == name }); i >= 0 {
		return s.pages[i]
	}
	return nil
}

// write makes the site in a directory.
func (s *site) write(dir string) error {
	for _, p := range s.pages {
		text, err := s.render(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := writeFile(dir, p.out(), text); err != nil {
			return err
		}
	}
	for name := range s.assets {
		content, err := os.ReadFile(filepath.Join(s.top, name))
		if err != nil {
			return fmt.Errorf("read what a page shows: %w", err)
		}
		if err := writeFile(dir, name, content); err != nil {
			return err
		}
	}
	return writeFile(dir, "style.css", style)
}

func writeFile(dir, name string, content []byte) error {
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write the site: %w", err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return fmt.Errorf("write the site: %w", err)
	}
	return nil
}

// link is an entry of the navigation, with the chapters of the page that is shown.
type link struct {
	Title, To string
	Here      bool
	Chapters  []chapter
}

// render makes the HTML of a page.
func (s *site) render(p *page) ([]byte, error) {
	body, err := p.html()
	if err != nil {
		return nil, err
	}
	root := strings.Repeat("../", strings.Count(p.name, "/"))
	var entries []link
	for _, other := range s.pages {
		entry := link{Title: other.title(), To: root + other.out(), Here: other == p}
		if entry.Here {
			entry.Chapters = p.chapters()
		}
		entries = append(entries, entry)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, map[string]any{
		"Title": p.title(), "Root": root, "Body": template.HTML(body), "Pages": entries, "Source": repository + "/blob/main/" + p.name,
	}); err != nil {
		return nil, fmt.Errorf("lay it out: %w", err)
	}
	return out.Bytes(), nil
}

// out is the page's place in the site.
func (p *page) out() string {
	if p.name == front {
		return "index.html"
	}
	return strings.TrimSuffix(p.name, path.Ext(p.name)) + ".html"
}
