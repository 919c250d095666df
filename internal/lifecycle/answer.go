package lifecycle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Failure is how a ping failed.
type Failure string

const (
	// FailureConnect is a connection refused, reset or not made in time.
	FailureConnect Failure = "Connect"
	// FailureTimeout is an agent that took the connection and did not answer in time.
	FailureTimeout Failure = "Timeout"
	// FailureStatusCode is an answer of another code than the question wants;
	// redirects are not followed.
	FailureStatusCode Failure = "StatusCode"
	// FailureProtocol is an answer that is not HTTP, or not within the limits.
	FailureProtocol Failure = "Protocol"
	// FailureBody is a 200 whose body is not the contract's, for a strict Question.
	FailureBody Failure = "Body"
	// FailureUnhealthy is an agent that says of itself that it is, with any code.
	FailureUnhealthy Failure = "Unhealthy"
)

// Silent tells whether the agent said nothing: it may only have been too busy. Any other
// failure it has answered.
func (f Failure) Silent() bool { return f == FailureConnect || f == FailureTimeout }

// Connections is how many connections an agent serves at the same time.
type Connections uint8

const (
	// ConnectionsUnknown is an agent of which that was not found out.
	ConnectionsUnknown Connections = iota
	// ConnectionsOne is one that serves no other while one is kept, as far as was seen.
	ConnectionsOne
	// ConnectionsMany is one that does.
	ConnectionsMany
)

// Answer is what one ping brought.
type Answer struct {
	// Ping is what the agent's answer counts for; only without a Failure.
	Ping contract.Ping
	// Failure is empty if the agent is alive.
	Failure Failure
	// Finding is what is to be said of the answer, whatever its stamp; mostly nothing.
	Finding Finding
	// Detail says for people what was answered or what failed, if that is worth a
	// word: a phrase of its own, printable, 200 characters at most.
	Detail string
	// Took is how long before it was read it was asked for: it shows what was then.
	Took time.Duration
	// Connections is what was found out of them with this answer or an earlier one.
	Connections Connections
}

// alive is what an answer counts for that does not tell a status.
var alive = contract.Ping{Status: contract.Healthy, Stamp: contract.StampMissing}

// neverBusy is said of it.
const neverBusy = "which counts as Healthy and never as busy"

// Judge judges the body of an answer of 200 to GET /ping.
func (q Question) Judge(body []byte) Answer {
	ping, err := contract.ParsePing(body)
	switch {
	case err == nil:
		return Answer{Ping: ping}
	case errors.Is(err, contract.ErrStatus):
		return q.judgeStatus(ping)
	case errors.Is(err, contract.ErrByteOrderMark):
		return q.odd(v1alpha1.ReasonPingByteOrderMark, ping, err.Error(), "which is passed over")
	case errors.Is(err, contract.ErrTooLarge):
		return q.TooLarge()
	case len(body) == 0:
		return q.odd(v1alpha1.ReasonPingNotJSON, alive, "an empty body", neverBusy)
	}
	return q.odd(v1alpha1.ReasonPingNotJSON, alive, quoted(string(body))+" and no proper JSON object", neverBusy)
}

// judgeStatus judges an answer whose status is none of the contract's. Its stamp
// counts as any other.
func (q Question) judgeStatus(ping contract.Ping) Answer {
	if saysUnhealthy(ping) {
		return q.unhealthy(http200, ping)
	}
	what := "no status"
	if ping.Status != "" {
		what = "the status " + quoted(string(ping.Status))
	}
	ping.Status = contract.Healthy
	return q.odd(v1alpha1.ReasonStatusUnknown, ping, what, neverBusy)
}

// http200 is the code of a good answer: the rules know nothing of net/http.
const http200 = 200

// saysUnhealthy tells of an answer of whatever code that its status is the word that
// AgentCore's contract does not have, and that SDKs of others have for a failed ping.
func saysUnhealthy(ping contract.Ping) bool {
	return strings.EqualFold(string(ping.Status), "Unhealthy")
}

func (q Question) unhealthy(code int, ping contract.Ping) Answer {
	return Answer{
		Failure: FailureUnhealthy, Finding: v1alpha1.ReasonPingSaysUnhealthy,
		Detail: fmt.Sprintf("%s was answered with %d and the status %s", q, code, quoted(string(ping.Status))),
	}
}

// JudgeRefusal judges an answer to GET /ping of another code than 200, with as much of
// its body as is known.
func (q Question) JudgeRefusal(code int, location string, body []byte) Answer {
	if ping, _ := contract.ParsePing(body); saysUnhealthy(ping) {
		return q.unhealthy(code, ping)
	}
	return q.Refused(code, location)
}

// TooLarge is a body of more bytes than are read.
func (q Question) TooLarge() Answer {
	return q.odd(v1alpha1.ReasonPingTooLarge, alive, contract.ErrTooLarge.Error(), neverBusy)
}

// Encoded is a body with a Content-Encoding. It is not decoded: a few bytes may
// stand for any number.
func (q Question) Encoded(encoding string) Answer {
	return q.odd(v1alpha1.ReasonPingEncoded, alive, "a body that is encoded as "+quoted(encoding), neverBusy)
}

// odd is an answer of an agent that is alive, and that is not by the contract.
func (q Question) odd(finding Finding, ping contract.Ping, what, counts string) Answer {
	detail := fmt.Sprintf("%s was answered with %s, ", q, what)
	if q.Strict {
		return Answer{Failure: FailureBody, Finding: finding, Detail: detail + "a failed ping since spec.ping.answers is Strict"}
	}
	return Answer{Ping: ping, Finding: finding, Detail: detail + counts}
}

// JudgeMCP judges an answer to MCP's ping: by its code, and one of 400 by its body,
// which servers with state send to whoever has no session.
func (q Question) JudgeMCP(code int, location string, body []byte) Answer {
	if code >= 200 && code <= 299 || code == 400 && contract.IsJSONRPC(body) {
		return Answer{Ping: alive, Finding: v1alpha1.ReasonPingMCP}
	}
	return q.Refused(code, location)
}

// Refused is an answer of another code than the question wants. location is where it
// points to, if it does.
func (q Question) Refused(code int, location string) Answer {
	detail := fmt.Sprintf("%s was answered with %d", q, code)
	if location != "" {
		detail += " to " + quoted(location)
	}
	switch {
	case code >= 300 && code <= 399:
		detail += ", and redirects are not followed"
	case q.MCP != "" && mcpHints[code] != "":
		detail += ": " + mcpHints[code]
	}
	return Answer{Failure: FailureStatusCode, Detail: Printable(detail)}
}

// mcpHints say of a refused MCP ping what to look at.
var mcpHints = map[int]string{
	400: "and not in JSON-RPC, as an MCP server would",
	401: "it carries no authorization, as on AgentCore",
	403: "it carries no authorization, as on AgentCore",
	404: "the MCP server has another path",
	405: "what is at this path is no MCP server over streamable HTTP",
	406: "it accepts application/json and text/event-stream",
}

// maxQuoted is how many characters are quoted of what an agent answered, or of a path.
const maxQuoted = 40

// quoted is the beginning of what an agent answered, in quotes.
func quoted(s string) string {
	s = beginning(s)
	if strings.Contains(s, `"`) && strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}

func beginning(s string) string {
	runes := []rune(Printable(s))
	if len(runes) > maxQuoted {
		return string(runes[:maxQuoted]) + "…"
	}
	return string(runes)
}
