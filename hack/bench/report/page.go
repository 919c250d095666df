package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed benchmarks.md.tmpl
var pageText string

// render makes the page and its plots.
func render(dir string, lines []line) error {
	plots := charts(lines)
	p := page{lines: lines, plots: plots}
	made, err := template.New("benchmarks.md").Funcs(template.FuncMap{
		"table": p.table,
		"plot":  p.plot,
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	var text strings.Builder
	if err := made.Execute(&text, nil); err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	if err := write(filepath.Join(dir, "benchmarks.md"), []byte(text.String())); err != nil {
		return err
	}
	for name, c := range plots {
		if err := write(filepath.Join(dir, "benchmarks", name+".svg"), drawn(c)); err != nil {
			return err
		}
	}
	return nil
}

// drawn is the plot, or nil if there is nothing in it.
func drawn(c chart) []byte {
	if !c.measured() {
		return nil
	}
	return c.svg()
}

// write writes a file, or removes it if it has no content.
func write(path string, content []byte) error {
	if content == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what is no longer measured: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// page is what the template asks for its tables and plots.
type page struct {
	lines []line
	plots map[string]chart
}

// plot shows a plot.
func (p page) plot(name string) (string, error) {
	c, known := p.plots[name]
	switch {
	case !known:
		return "", fmt.Errorf("there is no plot %q", name)
	case !c.measured():
		return c.title + ": not measured.", nil
	}
	return fmt.Sprintf("![%s](benchmarks/%s.svg)", c.title, name), nil
}

// table shows all figures of a benchmark, a column for each size, and which
// command measured them when.
func (p page) table(name string) (string, error) {
	b, known := benches[name]
	if !known {
		return "", fmt.Errorf("there is no benchmark %q", name)
	}
	columns := sizes(p.lines, name)
	if len(columns) == 0 {
		return "Not measured.", nil
	}
	var out strings.Builder
	header, rule := "| |", "|---|"
	for _, l := range columns {
		header += " " + b.column(l) + " |"
		rule += "---:|"
	}
	out.WriteString(b.sources(columns))
	fmt.Fprintf(&out, "\n%s target |\n%s---|\n", header, rule)
	for _, f := range b.figures {
		fmt.Fprintf(&out, "| %s |", f.text)
		for _, l := range columns {
			fmt.Fprintf(&out, " %s |", f.cell(l))
		}
		fmt.Fprintf(&out, " %s |\n", f.target.text)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// sources says which command measured which columns, when and on what.
func (b bench) sources(columns []line) string {
	var order []string
	by := map[string][]string{}
	for _, l := range columns {
		source := fmt.Sprintf("`%s`, %s, %s", l.Command, l.Date, l.Machine)
		if by[source] == nil {
			order = append(order, source)
		}
		by[source] = append(by[source], b.column(l))
	}
	var out strings.Builder
	for _, source := range order {
		fmt.Fprintf(&out, "- %s: %s\n", strings.Join(by[source], "; "), source)
	}
	return out.String()
}

// column is the name of a column: the size, if there are sizes, and the nodes.
func (b bench) column(l line) string {
	if b.size == "" {
		return "measured"
	}
	name := thousands(fmt.Sprintf("%.0f", l.values[b.size])) + " " + b.size
	if nodes := l.values["nodes"]; nodes > 0 {
		name += fmt.Sprintf(", %.0f nodes", nodes)
	}
	return name
}

func (f figure) cell(l line) string {
	value, measured := l.value(f.field)
	switch {
	case !measured:
		return "–"
	case f.target.met == nil:
		return number(value)
	case f.target.met(value, l):
		return number(value) + " ✓"
	}
	return number(value) + " ✗"
}

// charts are the plots, by file name.
func charts(lines []line) map[string]chart {
	ping, operator := sizes(lines, "ping"), sizes(lines, "operator")
	operator = slices.DeleteFunc(operator, func(l line) bool { return l.values["nodes"] > 0 })
	healthy := having(ping, "hostile_cadence_error_ms_p99")
	return map[string]chart{
		"ping-cpu": {
			title: "CPU time of a ping", x: "agents", y: "µs a ping", places: names(ping, "targets", ""),
			series: []series{
				pick("engine", ping, "cpu_us_per_probe"),
				pick("baseline: net/http", ping, "baseline_cpu_us_per_probe"),
				pick("limit: epoll alone", ping, "limit_cpu_us_per_probe"),
			},
		},
		"ping-memory": {
			title: "Memory of who asks", x: "agents", y: "MiB", places: names(ping, "targets", ""),
			at: pick("", ping, "targets").values,
			series: []series{
				pick("engine", ping, "rss_mib"),
				pick("baseline: net/http", ping, "baseline_rss_mib"),
			},
		},
		"ping-cadence": {
			title: "Cadence error of healthy agents", x: "agents", y: "ms", places: names(healthy, "targets", ""), tones: pairs,
			series: []series{
				pick("none hostile, median", healthy, "cadence_error_ms_p50"),
				pick("40 % hostile, median", healthy, "hostile_cadence_error_ms_p50"),
				pick("none hostile, p99", healthy, "cadence_error_ms_p99"),
				pick("40 % hostile, p99", healthy, "hostile_cadence_error_ms_p99"),
			},
		},
		"operator": operatorChart(operator),
	}
}

// operatorChart has two groups for each size: up, and down.
func operatorChart(operator []line) chart {
	both := func(name, up, down string) series {
		return series{name, append(pick("", operator, up).values, pick("", operator, down).values...)}
	}
	return chart{
		title: "Sessions beside bare pods", x: "sessions", y: "a second",
		places: append(names(operator, "sessions", " made ready"), names(operator, "mass_stops", " stopped at once")...),
		series: []series{
			both("operator", "sessions_ready_per_s", "mass_stops_per_s"),
			both("the same writes, nothing decided", "raw_sessions_per_s", "raw_stops_per_s"),
			both("bare pods", "raw_pods_per_s", "raw_deletes_per_s"),
		},
	}
}

func names(of []line, field, after string) []string {
	var found []string
	for _, l := range of {
		found = append(found, thousands(fmt.Sprintf("%.0f", l.values[field]))+after)
	}
	return found
}

func pick(name string, of []line, field string) series {
	s := series{name: name}
	for _, l := range of {
		value, measured := l.value(field)
		if !measured {
			value = math.NaN()
		}
		s.values = append(s.values, value)
	}
	return s
}

func having(of []line, field string) []line {
	var found []line
	for _, l := range of {
		if _, measured := l.value(field); measured {
			found = append(found, l)
		}
	}
	return found
}
