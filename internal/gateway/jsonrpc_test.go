package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func messageOf(body string) *rpc {
	c := call{payload: payloadOf(body)}
	return c.message()
}

func TestMessages(t *testing.T) {
	long := strings.Repeat("x", maxMember+1)
	for name, row := range map[string]struct {
		body, id    string
		initializes bool
	}{
		"nothing":                    {``, `null`, false},
		"no JSON":                    {`hello`, `null`, false},
		"a number":                   {`{"jsonrpc":"2.0","id":7,"method":"tools/call"}`, `7`, false},
		"a text":                     {`{"id" : "a\"b" , "method":"ping"}`, `"a\"b"`, false},
		"no id":                      {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, `null`, false},
		"null":                       {`{"id":null}`, `null`, false},
		"a literal":                  {`{"id":true}`, `null`, false},
		"an object":                  {`{"id":{"id":1}}`, `null`, false},
		"one that is no JSON":        {`{"id":1x}`, `null`, false},
		"a long one":                 {`{"id":"` + long + `"}`, `null`, false},
		"a long number":              {`{"id":` + strings.Repeat("1", maxMember+1) + `}`, `null`, false},
		"behind much":                {`{"params":{"id":1,"method":"initialize","x":"` + long + `\"}{"},"id":2}`, `2`, false},
		"behind a nested list":       {`{"params":[[{"id":1}],"initialize"],"id":2}`, `2`, false},
		"initialize":                 {`{"method":"initialize","params":{},"id":0}`, `0`, true},
		"initialize, escaped":        {`{"m\u0065thod":"\u0069nitialize","id":-1}`, `-1`, true},
		"initialize, spaced":         {"\n{\t\"method\"\r\n:  \"initialize\" }", `null`, true},
		"initialize, twice":          {`{"method":"initialize","method":"ping"}`, `null`, true},
		"of the params":              {`{"method":"tools/call","params":{"method":"initialize"},"id":3}`, `3`, false},
		"as a value":                 {`{"name":"initialize","method":["initialize"]}`, `null`, false},
		"a batch":                    {`[{"method":"ping","id":1},{"id":2,"method":"tools/list"}]`, `null`, false},
		"a batch that initializes":   {`[{"method":"ping","id":1},{"id":2,"method":"initialize"}]`, `null`, true},
		"a batch, nested":            {`[[{"method":"initialize"}],{"x":{"method":"initialize"}}]`, `null`, false},
		"cut off":                    {`{"id":5,"method":"init`, `5`, false},
		"more ends than beginnings":  {`}]}]{"id":1}`, `null`, false},
		"an end in a text":           {`{"x":"},\"id\":9","id":4}`, `4`, false},
		"a backslash before the end": {`{"x":"\\","id":6}`, `6`, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := messageOf(row.body)
			g.Expect(string(m.id)).To(Equal(row.id))
			g.Expect(m.initializes).To(Equal(row.initializes))
		})
	}
}

// What is skimmed is what encoding/json reads, of all that it can read.
func TestMessagesAsJSON(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		return rapid.SampledFrom([]any{nil, true, 1, -2.5, "initialize", "a\"b\\", "{,:[", []any{"initialize", []any{}}, map[string]any{"id": 1, "method": "initialize"}}).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOf(rapid.SampledFrom([]string{"id", "method", "params", "}", "a\\\""}), value).Draw(t, "object")
		body, err := json.MarshalIndent(object, rapid.SampledFrom([]string{"", "\t"}).Draw(t, "prefix"), " ")
		if err != nil {
			t.Fatal(err)
		}
		want := "null"
		switch id := object["id"].(type) {
		case string, int, float64:
			raw, err := json.Marshal(id)
			if err != nil {
				t.Fatal(err)
			}
			want = string(raw)
		}
		m := messageOf(string(body))
		if string(m.id) != want || m.initializes != (object["method"] == "initialize") {
			t.Fatalf("%s is read as %+v", body, m)
		}
	})
}

func TestErrorsOfAgentsThatPass(t *testing.T) {
	const rpcError = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Bad Request: Missing session ID"}}`
	type says struct {
		protocol v1alpha1.ServerProtocol
		code     int
		body     string
		inMCP    bool
	}
	for name, row := range map[string]struct {
		says
		want string // empty: it does not pass
	}{
		"a call without a session":      {says{"MCP", 400, rpcError, false}, rpcError},
		"an unknown session":            {says{"MCP", 404, rpcError, true}, rpcError},
		"an unknown session, in a text": {says{"MCP", 404, "session not found\n", true}, gone},
		"no such path":                  {says{"MCP", 404, "404 page not found\n", false}, ""},
		"an Accept that will not do":    {says{"MCP", 406, rpcError, false}, rpcError},
		"A2A":                           {says{"A2A", 400, rpcError, false}, rpcError},
		"A2A has no such sessions":      {says{"A2A", 404, "not found", true}, ""},
		"HTTP":                          {says{"HTTP", 400, rpcError, true}, ""},
		"AG-UI":                         {says{"AGUI", 400, rpcError, true}, ""},
		"who may call":                  {says{"MCP", 401, rpcError, true}, ""},
		"who may call what":             {says{"MCP", 403, rpcError, true}, ""},
		"its own fault":                 {says{"MCP", 500, rpcError, true}, ""},
		"a redirect":                    {says{"MCP", 307, rpcError, true}, ""},
		"no JSON-RPC":                   {says{"MCP", 400, `{"error":{"code":1,"message":""}}`, true}, ""},
		"no error":                      {says{"MCP", 400, `{"jsonrpc":"2.0","result":{},"id":1}`, true}, ""},
		"no code":                       {says{"MCP", 400, `{"jsonrpc":"2.0","error":{"message":""},"id":1}`, true}, ""},
		"too long":                      {says{"MCP", 400, rpcError + strings.Repeat(" ", maxRefusal), true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := call{op: opInvoke, protocol: row.protocol, inMCP: row.inMCP}
			answer := &http.Response{StatusCode: row.code, Header: http.Header{"Set-Cookie": {"a=b"}}, Body: bodyOf(row.body)}
			err := passOn(answer, &c, &v1alpha1.AgentSession{})
			if row.want == "" {
				g.Expect(err).To(MatchError(agentFailed(row.code).Error()))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(answer).To(HaveHTTPBody(row.want))
			g.Expect(answer.Header).NotTo(HaveKey("Set-Cookie"))
			g.Expect(answer.ContentLength).To(BeEquivalentTo(len(row.want)))
		})
	}
}
