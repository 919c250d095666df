package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const escapedARN = "arn%3Aaws%3Abedrock-agentcore%3Alocal%3A123456789012%3Aruntime%2Fecho-abcdefghij"

func request(method, target string) *http.Request {
	r := &http.Request{Method: method, Header: http.Header{}}
	var err error
	if r.URL, err = url.ParseRequestURI(target); err != nil {
		return nil
	}
	return r
}

func TestRoute(t *testing.T) {
	const arn = "arn:aws:bedrock-agentcore:local:123456789012:runtime/echo-abcdefghij"
	for target, row := range map[string]struct {
		method  string
		op      operation
		runtime string
		says    string // empty: it is routed
	}{
		"/runtimes/" + escapedARN + "/invocations":                  {"POST", opInvoke, arn, ""},
		"/runtimes/" + escapedARN + "/invocations?qualifier=PROD":   {"POST", opInvoke, arn, ""},
		"/runtimes/" + strings.ToLower(escapedARN) + "/invocations": {"POST", opInvoke, arn, ""},
		"/runtimes/echo-abcdefghij/stopruntimesession":              {"POST", opStop, "echo-abcdefghij", ""},
		"/runtimes/default%2Fecho/invocations":                      {"POST", opInvoke, "default/echo", ""},
		"/runtimes/echo/invocations/.well-known/agent-card.json":    {"GET", opCard, "echo", ""},
		"/runtimes/echo/commands":                                   {"POST", opCommand, "echo", ""},
		"/sessions?state=Idle":                                      {"GET", opList, "", ""},
		"/sessions/default/echo-1":                                  {"GET", opDescribe, "default/echo-1", ""},
		"/sessions/default/echo/1":                                  {"GET", "", "", "no such operation"},
		"/sessions/default/echo%2F1":                                {"GET", "", "", "no such operation"},
		"/sessions/default/":                                        {"GET", "", "", "no such operation"},
		"/sessions/stop":                                            {"POST", opStopMany, "", ""},
		"/openapi.yaml":                                             {"GET", opOpenAPI, "", ""},
		"/runtimes/echo/ws":                                         {"GET", "", "", "Upgrade"},
		"/runtimes/echo/ws/shells":                                  {"GET", "", "", "Upgrade"},
		"/runtimes/echo/invocations/":                               {"POST", opInvoke, "echo", ""},
		"/runtimes/echo/invocations//":                              {"POST", "", "", "no such operation"},
		"/runtimes/echo/invocations/..":                             {"POST", "", "", "no such operation"},
		"/runtimes/echo/../other/invocations":                       {"POST", "", "", "no such operation"},
		"/runtimes/echo/%2e%2e/invocations":                         {"POST", "", "", "no such operation"},
		"/runtimes/echo%2Finvocations":                              {"POST", "", "", "no such operation"},
		"/runtimes//invocations":                                    {"POST", "", "", "agentRuntimeArn"},
		"/invocations":                                              {"POST", "", "", "agents serve. Here an agent is called with POST /runtimes/{agentRuntimeArn}/invocations"},
		"/mcp":                                                      {"POST", "", "", "/mcp is a path of the container contract"},
		"/ws":                                                       {"GET", "", "", "Here it is /runtimes/{agentRuntimeArn}/ws"},
		"/ping":                                                     {"GET", "", "", "What it was told is in GET /sessions/{namespace}/{name}"},
		"//runtimes/echo/invocations":                               {"POST", "", "", "no such operation"},
		"/runtimes/echo;x=y/invocations":                            {"POST", opInvoke, "echo;x=y", ""}, // which is no runtime
		"/runtimes/echo%00/invocations":                             {"POST", "", "", "agentRuntimeArn"},
		"/runtimes/echo%0d%0a/invocations":                          {"POST", "", "", "agentRuntimeArn"},
		"/runtimes/" + strings.ReplaceAll(escapedARN, "%", "%25") + "/invocations": {"POST", "", "", "escaped once"},
		"/Runtimes/echo/invocations":          {"POST", "", "", "no such operation"},
		"/":                                   {"POST", "", "", "no such operation"},
		"/runtimes/echo/stopruntimesession?x": {"GET", "", "", "asked for with POST"},
		"/sessions/stop?":                     {"GET", "", "", "asked for with POST"},
		"/openapi.yaml?":                      {"POST", "", "", "asked for with GET"},
		"/runtimes/" + arn + "/invocations":   {"POST", "", "", "no such operation: a slash in what names the runtime must be escaped as %2F"},
		"/runtimes/default/echo/invocations":  {"POST", "", "", "no such operation: a slash in what names the runtime must be escaped as %2F"},
		"/runtimes/" + escapedARN:             {"POST", "", "", "no such operation: the path ends with the runtime, and needs /invocations"},
		"/runtimes/" + escapedARN + "/":       {"POST", "", "", "no such operation: the path ends with the runtime, and needs /invocations"},
	} {
		t.Run(target, func(t *testing.T) {
			g := NewWithT(t)
			op, runtime, err := route(request(row.method, target))
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(op).To(Equal(row.op))
			g.Expect(runtime).To(Equal(row.runtime))
		})
	}
}

// Whatever is routed is what was signed: one label, escaped once, and one of the
// operations behind it.
func FuzzRoute(f *testing.F) {
	f.Add("POST", "/runtimes/"+escapedARN+"/invocations")
	f.Add("GET", "/runtimes/a%2Fb/ws?x=y")
	f.Add("POST", "/runtimes/%2e%2e/invocations")
	f.Add("GET", "/sessions/a/b%2f")
	f.Fuzz(func(t *testing.T, method, target string) {
		r := request(method, target)
		if r == nil {
			return
		}
		r.Header.Set("Upgrade", "websocket")
		op, runtime, err := route(r)
		if err != nil {
			if _, ok := errors.AsType[*failure](err); !ok {
				t.Fatalf("%q: %v is nothing that a caller may see", target, err)
			}
			return
		}
		if !op.ofRuntime() {
			if parts := strings.Split(runtime, "/"); op == opDescribe && (len(parts) != 2 || r.URL.Path != "/sessions/"+runtime) {
				t.Fatalf("%q is routed to the session %q", target, runtime)
			}
			return
		}
		label, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/runtimes/"), "/")
		if once, err := url.PathUnescape(label); err != nil || once != runtime || strings.Contains(runtime, "%") {
			t.Fatalf("%q is routed to the runtime %q", target, runtime)
		}
		if known := operations["/"+rest]; known.op != op || known.method != method {
			t.Fatalf("%q is routed to %q", target, op)
		}
	})
}

func TestPayloadIsWhatCame(t *testing.T) {
	for _, size := range []int{0, 1, inMemory - 1, inMemory, inMemory + 1, 3 * inMemory} {
		g := NewWithT(t)
		body := strings.Repeat("x", size)
		p, err := New(Options{}).spool(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)), contract.MaxPayloadBytes)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(p.Size).To(BeEquivalentTo(size))
		sum := sha256.Sum256([]byte(body))
		g.Expect(p.Hash).To(Equal(hex.EncodeToString(sum[:])))
		for range 2 { // it can be read again
			read, err := io.ReadAll(p.open())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(read)).To(Equal(body))
		}
		p.close()
	}
}
