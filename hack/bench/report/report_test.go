package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The page of testdata is made by: go run . -render -docs testdata.
func TestThePageOfFixedResultsIsStable(t *testing.T) {
	g := NewWithT(t)
	lines, err := load("testdata/benchmarks/results.jsonl")
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	g.Expect(render(dir, lines)).To(Succeed())

	for _, name := range []string{
		"benchmarks.md", "benchmarks/ping-cpu.svg", "benchmarks/ping-memory.svg", "benchmarks/ping-cadence.svg", "benchmarks/operator.svg",
	} {
		made, err := os.ReadFile(filepath.Join(dir, name))
		g.Expect(err).NotTo(HaveOccurred())
		fixed, err := os.ReadFile(filepath.Join("testdata", name))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(made, fixed)).To(BeTrue(), "%s is another one", name)
	}
}

func TestWhatIsNotMeasuredIsSaidToBeSo(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	old := filepath.Join(dir, "benchmarks", "operator.svg")
	g.Expect(os.MkdirAll(filepath.Dir(old), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(old, []byte("of a benchmark that is gone"), 0o600)).To(Succeed())

	lines, err := load(filepath.Join(dir, "benchmarks", "results.jsonl"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(render(dir, lines)).To(Succeed())

	page, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.Count(string(page), "\nNot measured.\n")).To(Equal(len(benches)))
	g.Expect(string(page)).To(ContainSubstring("Sessions beside bare pods: not measured."))
	g.Expect(old).NotTo(BeAnExistingFile())
}

func TestABadLineIsNamed(t *testing.T) {
	const around = `"command":"make bench-ping","date":"2026-11-23","machine":{"cores":2,"go":"go1.26","kernel":"Linux 6.1"}`
	for name, c := range map[string]struct{ line, want string }{
		"no JSON":          {`{"bench":`, "line 2: unexpected EOF"},
		"a blank line":     {``, "line 2: EOF"},
		"unknown bench":    {`{"bench":"pong",` + around + `,"result":{}}`, `line 2: field bench: "pong" is no benchmark`},
		"unknown field":    {`{"bench":"ping","host":"x",` + around + `,"result":{"targets":1}}`, `line 2: json: unknown field "host"`},
		"wrong type":       {`{"bench":7,` + around + `,"result":{"targets":1}}`, "line 2: field bench: a number cannot be a string"},
		"no date":          {`{"bench":"ping","command":"x","result":{"targets":1}}`, "line 2: field date: it is empty"},
		"no machine":       {`{"bench":"ping","command":"x","date":"x","result":{"targets":1}}`, "line 2: field machine:"},
		"no result":        {`{"bench":"ping",` + around + `}`, "line 2: field result:"},
		"no size":          {`{"bench":"ping",` + around + `,"result":{"missed":0}}`, "line 2: field result.targets:"},
		"no figure":        {`{"bench":"writes",` + around + `,"result":{"x":0}}`, "line 2: field result: it has no figure of writes"},
		"figure as a text": {`{"bench":"ping",` + around + `,"result":{"targets":10,"missed":"0"}}`, "line 2: field result.missed: 0 is no number"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "results.jsonl")
			good := `{"bench":"ping",` + around + `,"result":{"targets":10}}`
			g.Expect(os.WriteFile(path, []byte(good+"\n"+c.line+"\n"), 0o600)).To(Succeed())
			_, err := load(path)
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
		})
	}
}

func TestARunReplacesWhatItsCommandMeasuredBefore(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "benchmarks", "results.jsonl")
	measured := func(command, result string) line {
		l := line{Bench: "ping", Command: command, Date: "2026-11-23", Machine: machine{2, "go1.26", "Linux 6.1"}, Result: []byte(result)}
		g.Expect(l.check()).To(Succeed())
		return l
	}
	for _, l := range []line{
		measured("many", `{"targets":10,"missed":1,"turns":1}`),
		measured("one", `{"targets":10,"missed":2,"turns":3}`),
		measured("many", `{"targets":10,"missed":3,"turns":1}`),
	} {
		g.Expect(store(path, l.Command, []line{l})).To(Succeed())
	}

	lines, err := load(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(lines).To(HaveLen(2))
	shown := sizes(lines, "ping")
	g.Expect(shown).To(HaveLen(1))
	g.Expect(shown[0].values).To(HaveKeyWithValue("missed", 2.0), "three turns tell more than one")
}

func TestTheLastLinesOfJSONAreTheResult(t *testing.T) {
	g := NewWithT(t)
	found := lastJSON("{\"phase\":1}\nmeasured:\n{\"a\":1}\n{\"a\":2}\n")
	g.Expect(found).To(HaveLen(2))
	g.Expect(string(found[0])).To(Equal(`{"a":1}`))
	g.Expect(lastJSON("{\"a\":1}\nit failed\n")).To(BeEmpty())
	g.Expect(lastJSON("")).To(BeEmpty())
}

func TestNumbersAreShort(t *testing.T) {
	g := NewWithT(t)
	for value, want := range map[float64]string{
		0: "0", 0.041: "0.041", 0.3: "0.3", 1.169: "1.17", 9.999: "10", 14.958: "15", 27.54: "27.5",
		99.97: "100", 460.4: "460", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234",
	} {
		g.Expect(number(value)).To(Equal(want))
	}
}
