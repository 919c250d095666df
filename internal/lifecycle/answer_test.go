package lifecycle_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestAnswersOutsideTheContract: whatever an agent answers with 200, it is alive and
// never busy, and is told what it answered; where the spec is strict, the ping failed.
func TestAnswersOutsideTheContract(t *testing.T) {
	missing := contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing}
	stamped := contract.Ping{Status: contract.Healthy, Stamp: contract.StampSeconds, UpdatedAt: at(5)}
	for name, row := range map[string]struct {
		body string
		ping contract.Ping
		want lifecycle.Finding
		what string
	}{
		"lower case, as in Strands' guide": {`{"status":"healthy"}`, missing, v1alpha1.ReasonStatusUnknown, `the status "healthy"`},
		"with a stamp":                     {`{"status":"ok","time_of_last_update":` + unix(at(5)) + `}`, stamped, v1alpha1.ReasonStatusUnknown, `the status "ok"`},
		"busy, in a word of its own":       {`{"status":"BUSY"}`, missing, v1alpha1.ReasonStatusUnknown, `the status "BUSY"`},
		"a status with quotes":             {`{"status":"it is \"fine\""}`, missing, v1alpha1.ReasonStatusUnknown, "the status `it is \"fine\"`"},
		"escape sequences":                 {`{"status":"\u001b[31m\u202e"}`, missing, v1alpha1.ReasonStatusUnknown, `the status "?[31m?"`},
		"a long status":                    {`{"status":"` + strings.Repeat("ü", 999) + `"}`, missing, v1alpha1.ReasonStatusUnknown, `the status "` + strings.Repeat("ü", 40) + `…"`},
		"a status that is just not long":   {`{"status":"` + strings.Repeat("ü", 40) + `"}`, missing, v1alpha1.ReasonStatusUnknown, `the status "` + strings.Repeat("ü", 40) + `"`},
		"a status of the worst":            {`{"status":"` + strings.Repeat("`\\\"", 999) + `"}`, missing, v1alpha1.ReasonStatusUnknown, "the status \"" + strings.Repeat("`\\\"", 20) + "…\""},
		"no status":                        {`{"state":"HealthyBusy"}`, missing, v1alpha1.ReasonStatusUnknown, "no status"},
		"a status that is a list":          {`{"status":["HealthyBusy"]}`, missing, v1alpha1.ReasonStatusUnknown, "no status"},
		"two statuses":                     {`{"status":"Healthy","status":"HealthyBusy"}`, missing, v1alpha1.ReasonPingNotJSON, "`{\"status\":\"Healthy\",\"status\":\"HealthyBus…` and no proper JSON object"},
		"a text":                           {"OK", missing, v1alpha1.ReasonPingNotJSON, `"OK" and no proper JSON object`},
		"HTML":                             {"<html>\n<body>HealthyBusy", missing, v1alpha1.ReasonPingNotJSON, `"<html> <body>HealthyBusy" and no proper JSON object`},
		"bytes":                            {"\x1f\x8b\xff", missing, v1alpha1.ReasonPingNotJSON, `"???" and no proper JSON object`},
		"nothing":                          {"", missing, v1alpha1.ReasonPingNotJSON, "an empty body"},
		"too much":                         {`{"status":"HealthyBusy"}` + strings.Repeat(" ", contract.MaxPingBytes), missing, v1alpha1.ReasonPingTooLarge, "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := lifecycle.Question{}.Judge([]byte(row.body))
			got.Detail = strings.ReplaceAll(got.Detail, "\ufffd", "?")
			g.Expect(got).To(Equal(lifecycle.Answer{
				Ping: row.ping, Finding: row.want, Detail: "GET /ping was answered with " + row.what + ", which counts as Healthy and never as busy",
			}))
			g.Expect(got.Detail).To(Equal(lifecycle.Printable(got.Detail)), "printable and short")

			strict := lifecycle.Question{Strict: true}.Judge([]byte(row.body))
			strict.Detail = strings.ReplaceAll(strict.Detail, "\ufffd", "?")
			g.Expect(strict).To(Equal(lifecycle.Answer{
				Failure: lifecycle.FailureBody, Finding: row.want, Detail: "GET /ping was answered with " + row.what + ", a failed ping since spec.ping.answers is Strict",
			}))
			g.Expect(strict.Detail).To(Equal(lifecycle.Printable(strict.Detail)))
		})
	}
}

// TestUnhealthyIsAFailedPing: the word of the SDKs of others, whatever the code and
// however strict the spec.
func TestUnhealthyIsAFailedPing(t *testing.T) {
	unhealthy := func(code, word string) lifecycle.Answer {
		return lifecycle.Answer{
			Failure: lifecycle.FailureUnhealthy, Finding: v1alpha1.ReasonPingSaysUnhealthy,
			Detail: "GET /ping was answered with " + code + ` and the status "` + word + `"`,
		}
	}
	for name, row := range map[string]struct {
		code int
		body string
		want lifecycle.Answer
	}{
		"Koog, Spring AI: 503": {503, `{"status":"Unhealthy","time_of_last_update":1795423194}`, unhealthy("503", "Unhealthy")},
		"500":                  {500, `{"status":"Unhealthy"}`, unhealthy("500", "Unhealthy")},
		"200":                  {200, `{"status":"Unhealthy"}`, unhealthy("200", "Unhealthy")},
		"in capitals":          {200, `{"status":"UNHEALTHY"}`, unhealthy("200", "UNHEALTHY")},
		"in small letters":     {404, `{"status":"unhealthy"}`, unhealthy("404", "unhealthy")},
		"no status of that":    {503, `{"status":"Unhealthy!"}`, lifecycle.Question{}.Refused(503, "")},
		"another field":        {503, `{"state":"Unhealthy"}`, lifecycle.Question{}.Refused(503, "")},
		"good, and 503":        {503, `{"status":"Healthy"}`, lifecycle.Question{}.Refused(503, "")},
		"too much":             {503, `{"status":"Unhealthy"}` + strings.Repeat(" ", contract.MaxPingBytes), lifecycle.Question{}.Refused(503, "")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, q := range []lifecycle.Question{{}, {Strict: true}} {
				got := q.JudgeRefusal(row.code, "", []byte(row.body))
				if row.code == 200 {
					got = q.Judge([]byte(row.body))
				}
				NewWithT(t).Expect(got).To(Equal(row.want))
			}
		})
	}
	NewWithT(t).Expect(lifecycle.FailureUnhealthy.Silent()).To(BeFalse(), "it has answered")
}

// TestContractBehindAMark: it counts for what it says.
func TestContractBehindAMark(t *testing.T) {
	g := NewWithT(t)
	body := []byte("\ufeff" + `{"status":"HealthyBusy"}`)
	g.Expect(lifecycle.Question{}.Judge(body)).To(Equal(lifecycle.Answer{
		Ping: contract.Ping{Status: contract.HealthyBusy, Stamp: contract.StampMissing}, Finding: v1alpha1.ReasonPingByteOrderMark,
		Detail: "GET /ping was answered with a byte order mark before the JSON object, which is passed over",
	}))
	g.Expect(lifecycle.Question{Strict: true}.Judge(body)).To(And(
		HaveField("Failure", lifecycle.FailureBody), HaveField("Detail", HaveSuffix("a failed ping since spec.ping.answers is Strict"))))
}

func TestStrictTakesTheContract(t *testing.T) {
	g := NewWithT(t)
	for _, body := range []string{`{"status":"Healthy"}`, `{"status":"HealthyBusy","time_of_last_update":"x"}`} {
		g.Expect(lifecycle.Question{Strict: true}.Judge([]byte(body))).To(Equal(lifecycle.Question{}.Judge([]byte(body))))
		g.Expect(lifecycle.Question{}.Judge([]byte(body)).Finding).To(BeEmpty())
	}
}

func TestJudgeMCP(t *testing.T) {
	const inJSONRPC = `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`
	q := lifecycle.Question{MCP: "/mcp"}
	for name, row := range map[string]struct {
		code     int
		location string
		body     string
		detail   string // after the code; empty: it is alive
	}{
		"200":                        {code: 200, body: "data: x"},
		"202, as a notification is":  {code: 202},
		"299":                        {code: 299},
		"300":                        {300, "", "", ", and redirects are not followed"},
		"399":                        {399, "", "", ", and redirects are not followed"},
		"400 of a server with state": {code: 400, body: inJSONRPC},
		"400 of something else":      {400, "", "Bad Request", ": and not in JSON-RPC, as an MCP server would"},
		"400 of JSON-RPC 1.0":        {400, "", `{"jsonrpc":"1.0"}`, ": and not in JSON-RPC, as an MCP server would"},
		"400 of too much":            {400, "", inJSONRPC + strings.Repeat(" ", contract.MaxPingBytes), ": and not in JSON-RPC, as an MCP server would"},
		"401":                        {401, "", inJSONRPC, ": it carries no authorization, as on AgentCore"},
		"403":                        {403, "", "", ": it carries no authorization, as on AgentCore"},
		"404":                        {404, "", inJSONRPC, ": the MCP server has another path"},
		"405":                        {405, "", "", ": what is at this path is no MCP server over streamable HTTP"},
		"406":                        {406, "", "", ": it accepts application/json and text/event-stream"},
		"307 to the slash":           {307, "/mcp/", "", ` to "/mcp/", and redirects are not followed`},
		"500":                        {500, "", "", ""},
		"199":                        {199, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := q.JudgeMCP(row.code, row.location, []byte(row.body))
			if row.detail == "" && row.code/100 != 5 && row.code/100 != 1 {
				g.Expect(got).To(Equal(lifecycle.Answer{Ping: contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing}, Finding: v1alpha1.ReasonPingMCP}))
				return
			}
			g.Expect(got).To(Equal(lifecycle.Answer{
				Failure: lifecycle.FailureStatusCode, Detail: "MCP's ping (POST /mcp) was answered with " + name[:3] + row.detail,
			}))
		})
	}
}

func TestRefusedNamesWhereItPoints(t *testing.T) {
	g := NewWithT(t)
	q := lifecycle.Question{}
	g.Expect(q.Refused(404, "").Detail).To(Equal("GET /ping was answered with 404"))
	g.Expect(q.Refused(301, "/ping/").Detail).To(Equal(`GET /ping was answered with 301 to "/ping/", and redirects are not followed`))
	g.Expect(q.Refused(302, "\x1b[2J"+strings.Repeat("x", 5000)).Detail).To(Equal(`GET /ping was answered with 302 to "?[2J` + strings.Repeat("x", 36) + `…", and redirects are not followed`))
	g.Expect(q.Encoded("gzip").Detail).To(Equal(`GET /ping was answered with a body that is encoded as "gzip", which counts as Healthy and never as busy`))
}
