package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/internal/explain"
)

// bundle is what a report has: files, and what is not among them.
type bundle struct {
	files  []bundled
	size   int
	errors []string
}

type bundled struct{ path, text string }

// lacks notes what could not be read.
func (b *bundle) lacks(what string, err error) {
	b.errors = append(b.errors, fmt.Sprintf("%s: %v", what, err))
}

// add adds a file, unless there is too much already.
func (b *bundle) add(text string, elements ...string) {
	for i := range elements {
		elements[i] = strings.ReplaceAll(elements[i], "/", "_")
	}
	name := path.Join(append([]string{program + "-report"}, elements...)...)
	if b.size+len(text) > reportBytes {
		b.errors = append(b.errors, fmt.Sprintf("%s: left out, since the report has %d MiB", name, reportBytes>>20))
		return
	}
	b.size += len(text)
	b.files = append(b.files, bundled{name, text})
}

func (b *bundle) text(text string, elements ...string) { b.add(redactText(text), elements...) }

// objects adds objects as one file, without secrets.
func (b *bundle) objects(all []unstructured.Unstructured, elements ...string) {
	var texts []string
	for i := range all {
		redactObject(all[i].Object)
		text, err := yaml.Marshal(all[i].Object)
		if err != nil {
			b.lacks(all[i].GetKind()+" "+all[i].GetName(), err)
			continue
		}
		texts = append(texts, string(text))
	}
	if len(texts) > 0 {
		b.add(strings.Join(texts, "---\n"), elements...)
	}
}

// write ends the bundle with what it lacks, and writes it.
func (b *bundle) write(out io.Writer, now time.Time) error {
	lacking := "none: all was read\n"
	if len(b.errors) > 0 {
		lacking = redactText(strings.Join(b.errors, "\n") + "\n")
	}
	b.files = append(b.files, bundled{program + "-report/errors.txt", lacking})
	slices.SortFunc(b.files, func(a, b bundled) int { return cmp.Compare(a.path, b.path) })
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	for _, f := range b.files {
		if err := archive.WriteHeader(&tar.Header{Name: f.path, Mode: 0o600, Size: int64(len(f.text)), ModTime: now}); err != nil {
			return err //nolint:wrapcheck // the caller's words
		}
		if _, err := io.WriteString(archive, f.text); err != nil {
			return err //nolint:wrapcheck // the caller's words
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

// contents tells what is in a bundle, and what to do with it.
func (b *bundle) contents(file string) []string {
	var rows [][]cell
	for _, f := range b.files {
		rows = append(rows, plain(f.path, fmt.Sprintf("%d bytes", len(f.text))))
	}
	lines := table(rows, func(_, text string) string { return text })
	if n := len(b.errors); n > 0 {
		lines = append(lines, countOf(n, "thing is", "things are")+" not in it: errors.txt says what, and why.")
	}
	return append(lines,
		fmt.Sprintf("Wrote %s, which only you can read. What looks like a secret is %s in it.", file, redacted),
		fmt.Sprintf("Read it before you send it to anybody, since names, images, messages and logs are yours: tar -xzOf %s | less", explain.Quoted(file)))
}
