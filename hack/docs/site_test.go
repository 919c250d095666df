package main

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/net/html"
)

// built is the site, and its pages as a browser reads them, by their path in it.
func built(t *testing.T) (dir string, pages map[string]*html.Node) {
	t.Helper()
	g, dir, pages := NewWithT(t), t.TempDir(), map[string]*html.Node{}
	s, err := readSite("../..")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.write(dir)).To(Succeed())
	g.Expect(filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".html" {
			return err
		}
		opened, err := os.Open(file)
		g.Expect(err).NotTo(HaveOccurred())
		defer opened.Close()
		name, err := filepath.Rel(dir, file)
		g.Expect(err).NotTo(HaveOccurred())
		pages[filepath.ToSlash(name)], err = html.Parse(opened)
		return err
	})).To(Succeed())
	g.Expect(len(pages)).To(BeNumerically(">", 20))
	return dir, pages
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestLinks: each link within the site leads to a file of it, and its anchor is there, once.
func TestLinks(t *testing.T) {
	dir, pages := built(t)
	ids := map[string][]string{}
	for name, page := range pages {
		for n := range page.Descendants() {
			if id := attribute(n, "id"); id != "" {
				NewWithT(t).Expect(ids[name]).NotTo(ContainElement(id), name)
				ids[name] = append(ids[name], id)
			}
		}
	}
	links, far := 0, 0
	for name, page := range pages {
		for n := range page.Descendants() {
			to, err := url.Parse(attribute(n, "href") + attribute(n, "src"))
			g := NewWithT(t)
			g.Expect(err).NotTo(HaveOccurred())
			if to.IsAbs() {
				far++
				continue
			}
			target := name
			if to.Path != "" {
				target = path.Join(path.Dir(name), to.Path)
			}
			links++
			g.Expect(filepath.Join(dir, target)).To(BeARegularFile(), "%s leads to %s", name, to)
			if to.Fragment != "" {
				g.Expect(ids[target]).To(ContainElement(to.Fragment), "%s leads to %s", name, to)
			}
		}
	}
	NewWithT(t).Expect(links).To(BeNumerically(">", 1000))
	NewWithT(t).Expect(far).To(BeNumerically(">", 50))
}

// TestNoOtherHost: a page loads nothing but its stylesheet and pictures, from the site
// itself, and its policy has a browser refuse all else.
func TestNoOtherHost(t *testing.T) {
	dir, pages := built(t)
	for name, page := range pages {
		g, policy := NewWithT(t), ""
		for n := range page.Descendants() {
			switch {
			case n.Data == "meta" && attribute(n, "http-equiv") == "Content-Security-Policy":
				policy = attribute(n, "content")
			case n.Data == "link", n.Data == "img":
				to := attribute(n, "href") + attribute(n, "src")
				g.Expect(to == "data:," || !strings.Contains(to, ":") && !strings.HasPrefix(to, "//")).To(BeTrue(), "%s loads %s", name, to)
			}
			g.Expect(slices.Contains([]string{"script", "iframe", "object", "embed", "video", "audio", "source", "style"}, n.Data) && n.Type == html.ElementNode).To(BeFalse(), "%s has a <%s>", name, n.Data)
		}
		g.Expect(policy).To(HavePrefix("default-src 'none';"), name)
	}
	sheet, err := os.ReadFile(filepath.Join(dir, "style.css"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(string(sheet)).NotTo(Or(ContainSubstring("url("), ContainSubstring("@import")))
}

// TestNavigation: the front page is the first, and each page leads to all others, in the
// front page's order, and to its own chapters.
func TestNavigation(t *testing.T) {
	g := NewWithT(t)
	s, err := readSite("../..")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.pages[0].out()).To(Equal("index.html"))
	_, pages := built(t)
	for name, page := range pages {
		var to []string
		for n := range page.Descendants() {
			if n.Data == "nav" && n.Type == html.ElementNode {
				for a := range n.Descendants() {
					if a.Data == "a" && !strings.HasPrefix(attribute(a, "href"), "#") {
						to = append(to, path.Join(path.Dir(name), attribute(a, "href")))
					}
				}
			}
		}
		var want []string
		for _, p := range s.pages {
			want = append(want, p.out())
		}
		g.Expect(to).To(Equal(want), name)
	}
}

// TestPage: what of Markdown the pages use, and where their links lead.
func TestPage(t *testing.T) {
	for _, c := range []struct{ name, markdown, want string }{
		{"an anchor as GitHub makes it", "## `--flag`, and a_b: c\n", `<h2 id="--flag-and-a_b-c">`},
		{"the second of a name", "## A\n\n## A\n", `<h2 id="a-1">`},
		{"a page", "[x](cli.md#kubectl)\n", `<a href="cli.html#kubectl">`},
		{"the front page", "[x](../README.md)\n", `<a href="../index.html">`},
		{"a file", "[x](../Makefile)\n", `<a href="https://github.com/agentsession/agentsession/blob/main/Makefile">`},
		{"a directory", "[x](../examples)\n", `<a href="https://github.com/agentsession/agentsession/tree/main/examples">`},
		{"a table", "| a |\n|---|\n| b<br>c |\n", "<td>b<br>c</td>"},
		{"code", "```sh\na < b\n```\n", "<pre><code class=\"language-sh\">a &lt; b\n</code></pre>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			p := parse("docs/x.md", []byte(c.markdown))
			s := &site{top: "../..", assets: map[string]bool{}, pages: []*page{p, {name: "docs/cli.md"}, {name: front}}}
			g.Expect(s.resolve(p)).To(Succeed())
			g.Expect(p.html()).To(ContainSubstring(c.want))
		})
	}
	for _, c := range []struct{ name, markdown, want string }{
		{"a link to nowhere", "[x](nowhere.md)\n", "the link nowhere.md"},
		{"a picture that is not there", "![x](nowhere.png)\n", "the picture nowhere.png"},
		{"HTML", "a <b>c</b>\n", `"<b>" is HTML`},
		{"a block of HTML", "<script>a</script>\n", "is HTML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse("docs/x.md", []byte(c.markdown))
			NewWithT(t).Expect((&site{top: "../..", pages: []*page{p}}).resolve(p)).To(MatchError(ContainSubstring(c.want)))
		})
	}
}
