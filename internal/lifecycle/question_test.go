package lifecycle_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// TestQuestionOf: what AgentCore asks unless somebody says otherwise.
func TestQuestionOf(t *testing.T) {
	ref := &v1alpha1.RuntimeRef{Name: "agent"}
	started := func(protocol v1alpha1.ServerProtocol, path string, check v1alpha1.PingCheck) *v1alpha1.ActivationRuntime {
		return lifecycle.Capture(&v1alpha1.AgentRuntimeSpec{
			ProtocolConfiguration: v1alpha1.ProtocolConfiguration{ServerProtocol: protocol, Path: path}, Ping: v1alpha1.RuntimePing{Check: check},
		}, 1)
	}
	for name, row := range map[string]struct {
		ref     *v1alpha1.RuntimeRef
		own     v1alpha1.PingCheck
		started *v1alpha1.ActivationRuntime
		want    string // the path of MCP
	}{
		"bare":                             {nil, v1alpha1.PingCheckAuto, nil, ""},
		"bare, from before the field":      {nil, "", nil, ""},
		"bare, and told to ask HTTP":       {nil, v1alpha1.PingCheckHTTP, nil, ""},
		"bare, and told to ask MCP":        {nil, v1alpha1.PingCheckMCP, nil, "/mcp"},
		"bare, and once of a runtime":      {nil, v1alpha1.PingCheckMCP, started(v1alpha1.ProtocolMCP, "/tools/", v1alpha1.PingCheckAuto), "/mcp"},
		"of a runtime, and not started":    {ref, v1alpha1.PingCheckMCP, nil, "/mcp"},
		"of an HTTP runtime":               {ref, "", started(v1alpha1.ProtocolHTTP, "", v1alpha1.PingCheckAuto), ""},
		"of an A2A runtime":                {ref, "", started(v1alpha1.ProtocolA2A, "", v1alpha1.PingCheckAuto), ""},
		"of an MCP runtime":                {ref, "", started(v1alpha1.ProtocolMCP, "", v1alpha1.PingCheckAuto), "/mcp"},
		"from before the field":            {ref, "", started(v1alpha1.ProtocolMCP, "", ""), "/mcp"},
		"at a path of its own":             {ref, "", started(v1alpha1.ProtocolMCP, "/tools/", v1alpha1.PingCheckAuto), "/tools/"},
		"of an MCP runtime, asked HTTP":    {ref, "", started(v1alpha1.ProtocolMCP, "", v1alpha1.PingCheckHTTP), ""},
		"of an HTTP runtime, asked MCP":    {ref, "", started(v1alpha1.ProtocolHTTP, "/mcp2", v1alpha1.PingCheckMCP), "/mcp2"},
		"the runtime's word is what holds": {ref, v1alpha1.PingCheckHTTP, started(v1alpha1.ProtocolMCP, "", v1alpha1.PingCheckAuto), "/mcp"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			spec := lifecycle.Govern(v1alpha1.AgentSessionSpec{RuntimeRef: row.ref, Ping: v1alpha1.PingSpec{Check: row.own}}, row.started)
			g.Expect(lifecycle.QuestionOf(&spec, row.started)).To(Equal(lifecycle.Question{MCP: row.want}))
			check := v1alpha1.PingCheckHTTP
			if row.want != "" {
				check = v1alpha1.PingCheckMCP
			}
			g.Expect(lifecycle.PolicyOf(&spec, 1)).To(HaveField("Check", check))
		})
	}
}

func TestQuestionIsStrictOnRequest(t *testing.T) {
	g := NewWithT(t)
	for answers, want := range map[v1alpha1.PingAnswers]bool{"": false, v1alpha1.PingAnswersTolerant: false, v1alpha1.PingAnswersStrict: true} {
		spec := v1alpha1.AgentSessionSpec{Ping: v1alpha1.PingSpec{Answers: answers}}
		g.Expect(lifecycle.QuestionOf(&spec, nil).Strict).To(Equal(want), "%q", answers)
		of := v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "agent"}}
		started := lifecycle.Capture(&v1alpha1.AgentRuntimeSpec{Ping: v1alpha1.RuntimePing{Answers: answers}}, 1)
		governed := lifecycle.Govern(of, started)
		g.Expect(lifecycle.QuestionOf(&governed, started).Strict).To(Equal(want), "%q of a runtime", answers)
	}
}

func TestQuestionInWords(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.Question{}.String()).To(Equal("GET /ping"))
	g.Expect(lifecycle.Question{MCP: "/mcp"}.String()).To(Equal("MCP's ping (POST /mcp)"))
	g.Expect(len(lifecycle.Question{MCP: "/" + strings.Repeat("x", 255)}.String())).To(BeNumerically("<", 100))
}
