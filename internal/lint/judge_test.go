package lint_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
	"github.com/agentsession/agentsession/internal/lint"
)

var begun = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)

// asked is an observation of answers that came every 2 s, each at once.
func asked(bodies ...string) *lint.Observation {
	o := &lint.Observation{Protocol: v1alpha1.ProtocolHTTP, Period: 2 * time.Second, Slow: 1500 * time.Millisecond, Listens: lint.ListensWide}
	for i, body := range bodies {
		o.Pings = append(o.Pings, lint.Ping{
			Asked: begun.Add(time.Duration(i) * o.Period), Took: time.Millisecond, Code: 200, ContentType: "application/json",
			Body: []byte(body), Answer: lifecycle.Question{}.Judge([]byte(body)),
		})
	}
	return o
}

func stamped(status string, at time.Time) string {
	return string(contract.Ping{Status: contract.Status(status), UpdatedAt: at, Stamp: contract.StampSeconds}.AppendJSON(nil))
}

func healthy(n int) (bodies []string) {
	for range n {
		bodies = append(bodies, stamped("Healthy", begun.Add(-time.Hour)))
	}
	return bodies
}

// otherwise is an observation of good answers, and of one of another code to who named another
// host.
func otherwise(n, code int) *lint.Observation {
	o := asked(healthy(n)...)
	o.Otherwise = &lint.Ping{Asked: begun, Code: code, Host: "127.0.0.2:8080", Answer: lifecycle.Answer{Failure: lifecycle.FailureStatusCode}}
	return o
}

// verdicts are what was found, as rule:severity, and what was not checked, as rule?.
func verdicts(o *lint.Observation) (all []string) {
	r := lint.Judge("http://127.0.0.1:8080", o)
	for _, f := range r.Findings {
		all = append(all, f.ID+":"+string(f.Severity))
	}
	for _, u := range r.Unchecked {
		all = append(all, u.Rule+"?")
	}
	return all
}

// call is one that was answered.
func call(after time.Duration, code int, body string) lint.Call {
	return lint.Call{SessionHeader: contract.HeaderSessionID, SessionID: "the-session", Asked: begun.Add(after), Took: time.Second, Code: code, ContentType: "application/json", Length: -1, Body: []byte(body)}
}

// TestSeverities: what a rule makes of the same thing under other circumstances.
func TestSeverities(t *testing.T) {
	working := append(healthy(2), stamped("HealthyBusy", begun.Add(4*time.Second)), stamped("HealthyBusy", begun.Add(4*time.Second)), stamped("HealthyBusy", begun.Add(4*time.Second)))
	for name, row := range map[string]struct {
		seen   func() *lint.Observation
		has    []string
		hasNot []string
	}{
		"nothing wrong": {
			func() *lint.Observation { return asked(healthy(5)...) },
			[]string{"stamp-frozen?", "invocations-fail?", "busy-to-the-end?"},
			[]string{"stamp-advances?", "mcp-ping-refused?"},
		},
		"too few answers for a stamp that moves": {
			func() *lint.Observation { return asked(healthy(2)...) }, []string{"stamp-advances?"}, nil,
		},
		"no stamp, never busy": {
			func() *lint.Observation { return asked(`{"status":"Healthy"}`) }, []string{"stamp-missing:note", "stamp-advances?"}, nil,
		},
		"no stamp, busy, of AWS's A2A": {
			func() *lint.Observation {
				o := asked(`{"status":"HealthyBusy"}`)
				o.Protocol = v1alpha1.ProtocolA2A
				return o
			}, []string{"stamp-missing:warning"}, nil,
		},
		"no stamp, busy": {
			func() *lint.Observation { return asked(`{"status":"HealthyBusy"}`) }, []string{"stamp-missing:error"}, nil,
		},
		"another host is refused": {
			func() *lint.Observation { return otherwise(3, 421) }, []string{"host-refused:warning"}, nil,
		},
		"another host is refused with 403": {
			func() *lint.Observation { return otherwise(3, 403) }, []string{"host-refused:warning"}, nil,
		},
		"another host is refused, and the same a moment later": {
			func() *lint.Observation {
				o := otherwise(3, 403)
				o.Pings[1].Code, o.Pings[1].Answer = 403, lifecycle.Answer{Failure: lifecycle.FailureStatusCode}
				return o
			}, []string{"ping-needs-login:error"}, []string{"host-refused:warning", "host-refused?"},
		},
		"another host fails, as any may": {
			func() *lint.Observation { return otherwise(3, 503) }, nil, []string{"host-refused:warning", "host-refused?"},
		},
		"another host came too soon": {
			func() *lint.Observation { return otherwise(3, 429) }, nil, []string{"host-refused:warning", "host-refused?"},
		},
		"no host is served": {
			func() *lint.Observation {
				o := otherwise(1, 421)
				o.Pings[0] = *o.Otherwise
				return o
			}, []string{"host-refused:error"}, []string{"ping-fails:error"},
		},
		"no host is served by an MCP server": {
			func() *lint.Observation {
				o := otherwise(1, 421)
				o.Pings[0], o.Question.MCP = *o.Otherwise, "/mcp"
				return o
			}, []string{"host-refused:error"}, []string{"mcp-ping-refused:error"},
		},
		"a word for healthy": {
			func() *lint.Observation { return asked(`{"status":"ok","time_of_last_update":1}`) }, []string{"ping-status-unknown:warning"}, nil,
		},
		"a word for busy": {
			func() *lint.Observation {
				return asked(`{"status":"ok","time_of_last_update":1}`, `{"status":"Running","time_of_last_update":1}`)
			}, []string{"ping-status-unknown:error"}, nil,
		},
		"one late answer of many": {
			func() *lint.Observation {
				o := asked(healthy(5)...)
				o.Pings[0].Took = 3 * time.Second
				return o
			}, []string{"ping-slow:warning"}, nil,
		},
		"late answers": {
			func() *lint.Observation {
				o := asked(healthy(5)...)
				o.Pings[0].Took, o.Pings[3].Took = 3*time.Second, 3*time.Second
				return o
			}, []string{"ping-slow:error"}, nil,
		},
		"late answers, with a call and without": {
			func() *lint.Observation {
				o := asked(healthy(5)...)
				o.Calls = []lint.Call{call(4*time.Second, 200, "{}")}
				o.Pings[0].Took, o.Pings[2].Took = 3*time.Second, 3*time.Second
				return o
			}, []string{"ping-slow:warning", "ping-blocked-by-call?"}, nil,
		},
		"a stamp that moves once, by a task that no ping saw": {
			func() *lint.Observation {
				return asked(append(healthy(3), stamped("Healthy", begun.Add(5*time.Second)), stamped("Healthy", begun.Add(5*time.Second)))...)
			}, nil, []string{"stamp-advances:error", "stamp-frozen:error", "stamp-goes-back:warning"},
		},
		"a stamp that moves with each call, whose work no ping names": {
			func() *lint.Observation {
				var bodies []string
				for _, moved := range []int{-60, -60, 3, 5, 5, 9, 11, 11, 11, 11, 11} {
					bodies = append(bodies, stamped("Healthy", begun.Add(time.Duration(moved)*time.Second)))
				}
				o := asked(bodies...)
				o.Calls = []lint.Call{call(2500*time.Millisecond, 200, "{}"), call(8500*time.Millisecond, 200, "{}")}
				return o
			}, nil, []string{"stamp-advances:error", "stamp-advances?"},
		},
		"a stamp that moves after the last call": {
			func() *lint.Observation {
				bodies := healthy(2)
				for i := range 5 {
					bodies = append(bodies, stamped("Healthy", begun.Add(time.Duration(4+2*i)*time.Second)))
				}
				o := asked(bodies...)
				o.Calls = []lint.Call{call(2500*time.Millisecond, 200, "{}")}
				return o
			}, []string{"stamp-advances:error"}, nil,
		},
		"busy since its call": {
			func() *lint.Observation {
				o := asked(working...)
				o.Calls = []lint.Call{call(2500*time.Millisecond, 200, "{}")}
				return o
			}, []string{"busy-to-the-end:warning"}, nil,
		},
		"busy before its call": {
			func() *lint.Observation {
				o := asked(working[2:]...)
				o.Calls = []lint.Call{call(2500*time.Millisecond, 200, "{}")}
				return o
			}, []string{"busy-to-the-end?"}, nil,
		},
		"at rest at last": {
			func() *lint.Observation {
				o := asked(append(working, stamped("Healthy", begun.Add(10*time.Second)))...)
				o.Calls = []lint.Call{call(2500*time.Millisecond, 200, "{}")}
				return o
			}, nil, []string{"busy-to-the-end:warning", "busy-to-the-end?", "stamp-frozen?"},
		},
		"a payload that nobody chose": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 500, `{"error":"'prompt'"}`)}
				return o
			}, []string{"invocations-fail?"}, nil,
		},
		"a payload that is refused": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls, o.OwnPayload = []lint.Call{call(0, 422, "no")}, true
				return o
			}, []string{"invocations-fail:warning"}, nil,
		},
		"a call that takes longer than the watch": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 0, "")}
				o.Calls[0].Cut = true
				return o
			}, []string{"invocations-fail?", "busy-to-the-end?", "stream-buffered?"}, nil,
		},
		"a session that is told, and one that is not": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 200, `{"for":"the-session"}`), call(0, 200, `{"for":"you"}`)}
				return o
			}, []string{"session-header-lost:warning"}, nil,
		},
		"a session that is told": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 200, `{"for":"the-session"}`)}
				return o
			}, nil, []string{"session-header-lost:warning", "session-header-lost?"},
		},
		"a stream that takes its time": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 200, "data: 1\n\ndata: 2\n\n")}
				o.Calls[0].ContentType, o.Calls[0].First, o.Calls[0].Took = "text/event-stream; charset=utf-8", time.Second, 2*time.Second
				return o
			}, nil, []string{"stream-buffered:warning", "stream-buffered?"},
		},
		"a stream that thinks, and is quick then": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Calls = []lint.Call{call(0, 200, "data: 1\n\ndata: 2\n\n")}
				o.Calls[0].ContentType, o.Calls[0].First, o.Calls[0].Took = "text/event-stream", 1900*time.Millisecond, 2*time.Second
				return o
			}, []string{"stream-buffered:warning"}, nil,
		},
		"within its pod alone": {
			func() *lint.Observation {
				o := asked(healthy(2)...)
				o.Listens = lint.ListensNotToPod
				return o
			}, []string{"loopback-only:error"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, got := NewWithT(t), verdicts(row.seen())
			if len(row.has) > 0 {
				g.Expect(got).To(ContainElements(row.has))
			}
			for _, not := range row.hasNot {
				g.Expect(got).NotTo(ContainElement(not))
			}
		})
	}
}

// TestRules: each has an id of its own and says all that it has to.
func TestRules(t *testing.T) {
	g, ids := NewWithT(t), map[string]bool{}
	for _, r := range lint.Rules() {
		g.Expect(ids).NotTo(HaveKey(r.ID))
		ids[r.ID] = true
		g.Expect(r.ID).To(MatchRegexp(`^[a-z]+(-[a-z]+)+$`))
		g.Expect(r.Severity).To(BeElementOf(lint.Error, lint.Warning, lint.Note))
		for _, text := range []string{r.Breach, r.Costs, r.Mend.Python, r.Mend.TypeScript, r.Mend.Go} {
			g.Expect(text).NotTo(BeEmpty(), r.ID)
		}
	}
}

// TestEveryBreachHasARule: whatever the operator's condition PingContract says of an agent, lint
// finds. The reasons are read out of the source of the API.
func TestEveryBreachHasARule(t *testing.T) {
	g := NewWithT(t)
	rules := map[string]string{
		"Conforms": "", "NoAnswerYet": "", "MCPPing": "",
		"TimestampMissing": "stamp-missing", "TimestampMilliseconds": "stamp-milliseconds", "TimestampUnusable": "stamp-not-a-number",
		"TimestampInFuture": "stamp-in-future", "TimestampAdvances": "stamp-advances", "TimestampFrozen": "stamp-frozen",
		"TooSlow": "ping-slow", "NotOK": "ping-fails", "SaysUnhealthy": "ping-says-unhealthy", "Malformed": "ping-not-http",
		"StatusUnknown": "ping-status-unknown", "NotJSON": "ping-not-json", "Encoded": "ping-encoded", "TooLarge": "ping-too-large",
		"ByteOrderMark": "ping-byte-order-mark",
	}
	source, err := os.ReadFile("../../api/v1alpha1/conditions.go")
	g.Expect(err).NotTo(HaveOccurred())
	_, part, ok := strings.Cut(string(source), "// Reasons of the condition PingContract.\n")
	g.Expect(ok).To(BeTrue())
	part, _, _ = strings.Cut(part, "\n)\n")
	ids := []string{""}
	for _, r := range lint.Rules() {
		ids = append(ids, r.ID)
	}
	reasons := regexp.MustCompile(`Reason\w+ += "(\w+)"`).FindAllStringSubmatch(part, -1)
	g.Expect(reasons).To(HaveLen(len(rules)))
	for _, reason := range reasons {
		g.Expect(rules).To(HaveKey(reason[1]))
		g.Expect(ids).To(ContainElement(rules[reason[1]]))
	}
}

// hostile is an observation of an agent that writes to whoever looks at the report.
func hostile() *lint.Observation {
	o := asked("{\"status\":\"\x1b[2J\u202e]]>&<\x00\",\"time_of_last_update\":\"\x1b[31m\u009b1m\"}", strings.Repeat("\x1b[2J", 500))
	o.Pings[0].ContentType = "\x1b[2J"
	o.Calls = []lint.Call{call(0, 500, "\x1b[2J]]></failure>\x00\u202e"+strings.Repeat("ä", 1000))}
	o.OwnPayload = true
	return o
}

// TestFormatsArePrintable, and bounded, whatever an agent answers.
func TestFormatsArePrintable(t *testing.T) {
	for name, format := range lint.Formats {
		g := NewWithT(t)
		text, err := format(lint.Judge("http://127.0.0.1:8080\x1b[2J", hostile()))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(text)).To(BeNumerically("<", 100<<10))
		for _, r := range text {
			g.Expect(r == '\n' || unicode.IsPrint(r)).To(BeTrue(), "%s has %q", name, r)
		}
	}
}

func TestJSON(t *testing.T) {
	g := NewWithT(t)
	text, err := lint.Formats["json"](lint.Judge("http://127.0.0.1:8080", asked(`{"status":"busy","time_of_last_update":1}`)))
	g.Expect(err).NotTo(HaveOccurred())
	var out map[string]any
	g.Expect(json.Unmarshal([]byte(text), &out)).To(Succeed())
	g.Expect(out).To(And(HaveKeyWithValue("target", "http://127.0.0.1:8080"), HaveKeyWithValue("protocol", "HTTP"), HaveKeyWithValue("pings", 1.0), HaveKeyWithValue("errors", 1.0)))
	g.Expect(out["findings"]).To(ConsistOf(And(
		HaveKeyWithValue("rule", "ping-status-unknown"), HaveKeyWithValue("severity", "error"), HaveKeyWithValue("seen", ContainSubstring(`"busy"`)),
		HaveKeyWithValue("mend", And(HaveKey("python"), HaveKey("typescript"), HaveKey("go"))))))
	g.Expect(out["notChecked"]).To(ContainElement(HaveKeyWithValue("rule", "stamp-frozen")))
}

// TestJUnit: a case for each rule, and the counts of the suite are those of the cases.
func TestJUnit(t *testing.T) {
	g := NewWithT(t)
	text, err := lint.Formats["junit"](lint.Judge("http://127.0.0.1:8080", hostile()))
	g.Expect(err).NotTo(HaveOccurred())
	var out struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Name    string    `xml:"name,attr"`
				Class   string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
				Out     string    `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	g.Expect(xml.Unmarshal([]byte(text), &out)).To(Succeed())
	failures, skipped, said := 0, 0, 0
	for _, c := range out.Suite.Cases {
		g.Expect(c.Class).NotTo(BeEmpty())
		if c.Failure != nil {
			failures++
		}
		if c.Skipped != nil {
			skipped++
		}
		if c.Out != "" {
			said++
		}
	}
	g.Expect(out.Suite.Cases).To(HaveLen(len(lint.Rules())))
	g.Expect([]int{out.Suite.Tests, out.Suite.Failures, out.Suite.Skipped}).To(Equal([]int{len(lint.Rules()), failures, skipped}))
	g.Expect([]bool{failures > 0, skipped > 0, said > 0}).To(Equal([]bool{true, true, true}))
}

// TestSARIF has what version 2.1.0 requires.
func TestSARIF(t *testing.T) {
	g := NewWithT(t)
	text, err := lint.Formats["sarif"](lint.Judge("http://127.0.0.1:8080", hostile()))
	g.Expect(err).NotTo(HaveOccurred())
	var out struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct{ ID string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Kind      string
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	g.Expect(json.Unmarshal([]byte(text), &out)).To(Succeed())
	g.Expect([]string{out.Version, out.Schema}).To(Equal([]string{"2.1.0", "https://json.schemastore.org/sarif-2.1.0.json"}))
	g.Expect(out.Runs).To(HaveLen(1))
	run := out.Runs[0]
	g.Expect(run.Tool.Driver.Name).To(Equal("agentsession lint"))
	g.Expect(run.Tool.Driver.Rules).To(HaveLen(len(lint.Rules())))
	g.Expect(run.Results).NotTo(BeEmpty())
	for _, result := range run.Results {
		g.Expect(run.Tool.Driver.Rules[result.RuleIndex].ID).To(Equal(result.RuleID))
		g.Expect(result.Message.Text).NotTo(BeEmpty())
		g.Expect(result.Locations[0].PhysicalLocation.ArtifactLocation.URI).To(Equal("http://127.0.0.1:8080/ping"))
		if result.Kind == "open" {
			g.Expect(result.Level).To(Equal("none"), "as SARIF wants it of what is no failure")
			continue
		}
		g.Expect(result.Kind).To(BeEmpty())
		g.Expect(result.Level).To(MatchRegexp(`^(error|warning|note)$`))
	}
}

// TestIncomplete: each form marks what was interrupted.
func TestIncomplete(t *testing.T) {
	o := asked(healthy(2)...)
	for _, row := range []struct{ format, whole, incomplete string }{
		{"text", "it: 2 pings: ", "it: incomplete, since it was interrupted: 2 pings: "},
		{"json", `"calls": 0,` + "\n  \"errors\"", `"incomplete": true`},
		{"junit", `name="agentsession lint it"`, `name="agentsession lint it (incomplete)"`},
		{"sarif", `"executionSuccessful": true`, `"executionSuccessful": false`},
	} {
		g := NewWithT(t)
		for incomplete, says := range map[bool]string{false: row.whole, true: row.incomplete} {
			o.Incomplete = incomplete
			text, err := lint.Formats[row.format](lint.Judge("it", o))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(text).To(ContainSubstring(says))
		}
	}
}

// TestText is what a person reads.
func TestText(t *testing.T) {
	g := NewWithT(t)
	r := lint.Judge("http://127.0.0.1:8080", asked(`{"status":"busy","time_of_last_update":1}`))
	g.Expect(r.Text()).To(MatchRegexp(`(?s)^http://127\.0\.0\.1:8080: 1 ping: 1 error\n\nerror    ping-status-unknown: .*  seen   1 of 1 pings: .*  costs  .*  mend   Python: .*\n         TypeScript: .*\n         Go: .*\n\nNot checked:\n`))
	clean := lint.Judge("http://127.0.0.1:8080", asked(healthy(5)...))
	g.Expect(clean.Text()).To(HavePrefix("http://127.0.0.1:8080: 5 pings: no breach of the container contract was seen\n"))
	mcp := asked(healthy(5)...)
	mcp.Question.MCP = "/mcp"
	text := lint.Judge("http://127.0.0.1:8080", mcp).Text()
	g.Expect(text).To(MatchRegexp(`(?m)^  \d\d rules: the answer to MCP's ping says nothing of that$`))
	g.Expect(strings.Count(text, "\n")).To(BeNumerically("<", 12), "it does not fill the screen")
	g.Expect(regexp.MustCompile(`(?m)[ \t]+$`).MatchString(strings.TrimSpace(clean.Text()))).To(BeFalse(), "no blanks at the ends of lines")
}
