package docs_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestNeedsALook: docs/dashboard.md explains each kind of what needs a look by the words that the
// page shows, in their order.
func TestNeedsALook(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile(filepath.Join(top, "internal/dashboard/page/format.js"))
	g.Expect(err).NotTo(HaveOccurred())
	_, after, found := strings.Cut(string(text), "export const needWords = {")
	g.Expect(found).To(BeTrue())
	block, _, _ := strings.Cut(after, "}")
	words := column(regexp.MustCompile(`(?m)^  \w+: "(.+)",$`), block)
	g.Expect(words).To(HaveLen(strings.Count(block, ":")))

	_, section, found := strings.Cut(pages(t)["docs/dashboard.md"], "## What needs a look first")
	g.Expect(found).To(BeTrue())
	section, _, _ = strings.Cut(section, "\n## ")
	g.Expect(column(regexp.MustCompile(`(?m)^\| ([^|]*[a-zA-Z][^|]*) \| .*\|$`), section)).To(Equal(words))
}

// TestPagePictures: what draws the page is what it was when the pictures of it were made.
func TestPagePictures(t *testing.T) {
	g := NewWithT(t)
	noted, err := os.ReadFile(filepath.Join(top, "docs/images/page.sha256"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(noted)).To(And(ContainSubstring("page/app.css\n"), ContainSubstring("page/list.js\n")))
	for line := range strings.Lines(string(noted)) {
		sum, name, found := strings.Cut(strings.TrimSpace(line), "  ")
		g.Expect(found).To(BeTrue(), line)
		text, err := os.ReadFile(filepath.Join(top, name))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(fmt.Sprintf("%x", sha256.Sum256(text))).To(Equal(sum), "%s has changed since the pictures of the page in docs/images were made. "+
			"Make them anew: make browser BROWSER_ARGS='-docs -test.run=TestPictures'", name)
	}
}

// column is what an expression's group matches, each time.
func column(of *regexp.Regexp, text string) (all []string) {
	for _, match := range of.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}
