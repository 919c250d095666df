package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// line is a line of results.jsonl: what one command measured, for one size.
type line struct {
	Bench   string          `json:"bench"`
	Command string          `json:"command"`
	Date    string          `json:"date"`
	Machine machine         `json:"machine"`
	Result  json.RawMessage `json:"result"` // as it was printed

	values map[string]float64
}

// value is a figure of the result, if it was measured.
func (l line) value(field string) (float64, bool) {
	v, ok := l.values[field]
	return v, ok
}

// check makes sure that a line says what the page will say, and reads its figures.
func (l *line) check() error {
	b, known := benches[l.Bench]
	switch {
	case !known:
		return fmt.Errorf("field bench: %q is no benchmark", l.Bench)
	case l.Command == "":
		return errors.New("field command: it is empty")
	case l.Date == "":
		return errors.New("field date: it is empty")
	case l.Machine.Cores < 1 || l.Machine.Go == "" || l.Machine.Kernel == "":
		return errors.New("field machine: cores, go and kernel must be there")
	}
	if err := l.readValues(b); err != nil {
		return fmt.Errorf("field result%w", err)
	}
	return nil
}

// readValues reads the figures. Its errors begin with where in the result.
func (l *line) readValues(b bench) error {
	var fields map[string]any
	if err := json.Unmarshal(l.Result, &fields); err != nil {
		return fmt.Errorf(": %w", err)
	}
	l.values = map[string]float64{}
	for _, f := range b.figures {
		switch value := fields[f.field].(type) {
		case float64:
			l.values[f.field] = value
		case nil: // not measured
		default:
			return fmt.Errorf(".%s: %v is no number", f.field, value)
		}
	}
	if b.size != "" {
		size, ok := fields[b.size].(float64)
		if !ok || size < 1 {
			return fmt.Errorf(".%s: it must be there, and at least 1", b.size)
		}
		l.values[b.size] = size
	}
	if len(l.values) == 0 {
		return fmt.Errorf(": it has no figure of %s", l.Bench)
	}
	return nil
}

// load reads results.jsonl. A file that is not there has nothing in it.
func load(path string) ([]line, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	var lines []line
	number := 0
	for text := range bytes.Lines(content) {
		number++
		var l line
		reader := json.NewDecoder(bytes.NewReader(text))
		reader.DisallowUnknownFields()
		if err := reader.Decode(&l); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, number, describeDecodeError(err))
		}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, number, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// describeDecodeError says which field has the wrong type.
func describeDecodeError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %s: a %s cannot be a %s", wrong.Field, wrong.Value, wrong.Type)
	}
	return err
}

// store puts lines in the place of what the command measured before.
func store(path, command string, added []line) error {
	lines, err := load(path)
	if err != nil {
		return err
	}
	lines = slices.DeleteFunc(lines, func(l line) bool { return l.Command == command })
	lines = append(lines, added...)
	slices.SortStableFunc(lines, func(a, b line) int { return strings.Compare(a.Bench, b.Bench) })
	var content bytes.Buffer
	out := json.NewEncoder(&content)
	for _, l := range lines {
		if err := out.Encode(l); err != nil {
			return fmt.Errorf("store the results: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("store the results: %w", err)
	}
	if err := os.WriteFile(path, content.Bytes(), 0o644); err != nil {
		return fmt.Errorf("store the results: %w", err)
	}
	return nil
}

// sizes returns the lines of a benchmark that has sizes, by size and nodes; of two
// with the same the one with more turns, or else the later.
func sizes(lines []line, bench string) []line {
	order := func(a, b line) int {
		by := benches[bench].size
		return cmp.Or(cmp.Compare(a.values[by], b.values[by]), cmp.Compare(a.values["nodes"], b.values["nodes"]))
	}
	var found []line
	for _, l := range lines {
		if l.Bench != bench {
			continue
		}
		same := slices.IndexFunc(found, func(f line) bool { return order(f, l) == 0 })
		switch {
		case same < 0:
			found = append(found, l)
		case l.values["turns"] >= found[same].values["turns"]:
			found[same] = l
		}
	}
	slices.SortFunc(found, order)
	return found
}
