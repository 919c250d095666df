package lint

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// kind tells whether a ping was answered in some way.
type kind func(Ping) bool

// lookRefused looks for connections that were refused, or closed without an answer.
func lookRefused(o *Observation) outcome {
	if o.TLS {
		return outcome{} // that is why
	}
	found := failures(isRefused)(o)
	if found.seen != "" && len(some(o.Pings, isRefused)) == len(o.Pings) {
		found.seen += "; what forwards a port, as Docker does, takes connections also where no agent listens"
	}
	return found
}

func lookNotHTTP(o *Observation) outcome {
	if o.TLS {
		return seenOutcome("it speaks TLS, and takes no plain HTTP")
	}
	return failures(isNotHTTP)(o)
}

func isRefused(p Ping) bool   { return p.Answer.Failure == lifecycle.FailureConnect }
func isNotHTTP(p Ping) bool   { return p.Answer.Failure == lifecycle.FailureProtocol }
func isUnhealthy(p Ping) bool { return p.Answer.Failure == lifecycle.FailureUnhealthy }

func hasCode(p Ping, codes ...int) bool {
	for _, code := range codes {
		if p.Answer.Failure == lifecycle.FailureStatusCode && p.Code == code {
			return true
		}
	}
	return false
}

func isMissing(p Ping) bool { return missing(p.Code) && hasCode(p, p.Code) }

// missing tells of a code that it says that nothing is served there.
func missing(code int) bool {
	return code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented
}

func isLogin(p Ping) bool {
	return hasCode(p, http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired)
}

func isRedirect(p Ping) bool {
	return p.Answer.Failure == lifecycle.FailureStatusCode && p.Code >= 300 && p.Code <= 399
}

func isLimited(p Ping) bool { return hasCode(p, http.StatusTooManyRequests) }

// lookFailed looks for codes of which no other rule knows more.
func lookFailed(o *Observation) outcome {
	if o.TLS {
		return outcome{} // as servers of it answer plain HTTP
	}
	return failures(isFailed)(o)
}

func isFailed(p Ping) bool {
	return p.Answer.Failure == lifecycle.FailureStatusCode && !isMissing(p) && !isLogin(p) && !isRedirect(p) && !isLimited(p) && !isMisdirected(p)
}

func isNotJSON(p Ping) bool  { return p.Answer.Finding == v1alpha1.ReasonPingNotJSON }
func isMarked(p Ping) bool   { return p.Answer.Finding == v1alpha1.ReasonPingByteOrderMark }
func isEncoded(p Ping) bool  { return p.Answer.Finding == v1alpha1.ReasonPingEncoded }
func isTooLarge(p Ping) bool { return p.Answer.Finding == v1alpha1.ReasonPingTooLarge }

// some are the pings of a kind.
func some(pings []Ping, is kind) (those []Ping) {
	for _, p := range pings {
		if is(p) {
			those = append(those, p)
		}
	}
	return those
}

// among says how many pings it is about, and what came of the first.
func among(those, all []Ping) string {
	text := fmt.Sprintf("%d of %d pings", len(those), len(all))
	if detail := those[0].Answer.Detail; detail != "" {
		text += ": " + detail
	}
	return text
}

// failures looks for failed pings of a kind. MCP's are mcp-ping-refused, if it is by their
// code.
func failures(is kind) func(*Observation) outcome {
	return func(o *Observation) outcome {
		those := some(o.Pings, is)
		if len(those) == 0 || o.Question.MCP != "" && those[0].Answer.Failure == lifecycle.FailureStatusCode {
			return outcome{}
		}
		return seenOutcome("%s", among(those, o.Pings))
	}
}

func lookMCP(o *Observation) outcome {
	if o.Question.MCP == "" {
		return outcome{} // it is not asked so
	}
	those := some(o.Pings, func(p Ping) bool { return p.Answer.Failure == lifecycle.FailureStatusCode && !isMisdirected(p) })
	if len(those) == 0 {
		return outcome{}
	}
	return seenOutcome("%s", among(those, o.Pings))
}

// odd looks for answers of a kind that are alive all the same.
func odd(is kind) func(*Observation) outcome { return answered(failures(is)) }

// answered is a look at what answers to GET /ping say.
func answered(look func(*Observation) outcome) func(*Observation) outcome {
	return func(o *Observation) outcome {
		switch {
		case o.Question.MCP != "":
			return unchecked("the answer to MCP's ping says nothing of that")
		case len(some(o.Pings, func(p Ping) bool { return p.Answer.Failure == "" })) == 0:
			return unchecked("no ping was answered with 200")
		}
		return look(o)
	}
}

// late tells whether an answer came late, or never.
func (o *Observation) late(p Ping) bool {
	return p.Took > o.Slow || p.Answer.Failure == lifecycle.FailureTimeout
}

// lookSlow looks at those that were late while nobody called.
func lookSlow(o *Observation) outcome {
	var slow []Ping
	for _, p := range o.Pings {
		if o.late(p) && !o.calledDuring(p) {
			slow = append(slow, p)
		}
	}
	if len(slow) == 0 {
		return outcome{}
	}
	found := seenOutcome("%d of %d pings, %s", len(slow), len(o.Pings), slowest(o, slow))
	if len(slow) == 1 && len(o.Pings) > 2 && slow[0].Answer.Failure == "" {
		return found.as(Warning) // once, as at a start
	}
	return found
}

func lookBlocked(o *Observation) outcome {
	if len(o.Calls) == 0 {
		return uncalled()
	}
	if found := lookSlow(o); found.seen != "" {
		return unchecked("pings are answered late without a call too")
	}
	var slow []Ping
	for _, p := range o.Pings {
		if o.late(p) {
			slow = append(slow, p)
		}
	}
	if len(slow) == 0 {
		return outcome{}
	}
	return seenOutcome("%d of %d pings, all during a call, %s", len(slow), len(o.Pings), slowest(o, slow))
}

func slowest(o *Observation, pings []Ping) string {
	var longest time.Duration
	never := 0
	for _, p := range pings {
		longest = max(longest, p.Took)
		if p.Answer.Failure == lifecycle.FailureTimeout {
			never++
		}
	}
	text := fmt.Sprintf("the slowest after %s, with a limit of %s here", rounded(longest), rounded(o.Slow))
	if never > 0 {
		text += fmt.Sprintf("; %d were given up", never)
	}
	return text
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// lookStatus looks at words that are not the contract's. One that means busy is worse.
func lookStatus(o *Observation) outcome {
	return answered(func(o *Observation) outcome {
		those := some(o.Pings, func(p Ping) bool { return p.Answer.Finding == v1alpha1.ReasonStatusUnknown })
		for _, p := range those {
			said, _ := contract.ParsePing(p.Body) // the error is why it is here
			if meansBusy(string(said.Status)) {
				return seenOutcome("%d of %d pings: %s", len(those), len(o.Pings), p.Answer.Detail).as(Error)
			}
		}
		if len(those) == 0 {
			return outcome{}
		}
		return seenOutcome("%s", among(those, o.Pings))
	})(o)
}

func meansBusy(status string) bool {
	status = strings.ToLower(status)
	for _, word := range []string{"busy", "work", "running", "process", "active"} {
		if strings.Contains(status, word) {
			return true
		}
	}
	return false
}

func lookContentType(o *Observation) outcome {
	return answered(func(o *Observation) outcome {
		good := o.good()
		those := some(good, func(p Ping) bool { return !isJSON(p.ContentType) })
		if len(those) == 0 {
			return outcome{}
		}
		return seenOutcome("%d of %d pings: %s", len(those), len(o.Pings), cmp.Or(those[0].ContentType, "no Content-Type"))
	})(o)
}

// isJSON tells whether a media type is JSON, or an extension of it.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
