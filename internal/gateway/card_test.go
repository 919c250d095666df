package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func bodyOf(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

func TestCards(t *testing.T) {
	const to = "https://gateway.example/runtimes/a/invocations/"
	swap := strings.NewReplacer("AGENT", "http://localhost:9000/", "GATEWAY", to)
	for name, row := range map[string]struct{ card, want string }{
		"of A2A 0.3": {
			`{"name":"a","url":"AGENT","preferredTransport":"JSONRPC","additionalInterfaces":[{"transport":"JSONRPC","url":"AGENT"},{"transport":"GRPC","url":"AGENT"}],"n":12345678901234567890}`,
			`{"name":"a","url":"GATEWAY","preferredTransport":"JSONRPC","additionalInterfaces":[{"transport":"JSONRPC","url":"GATEWAY"},{"transport":"GRPC","url":"AGENT"}],"n":12345678901234567890}`,
		},
		"of A2A 1.0": {
			`{"supportedInterfaces":[{"protocolBinding":"JSONRPC","protocolVersion":"1.0","url":"AGENT"},{"protocolBinding":"HTTP+JSON","url":"AGENT"}]}`,
			`{"supportedInterfaces":[{"protocolBinding":"JSONRPC","protocolVersion":"1.0","url":"GATEWAY"},{"protocolBinding":"HTTP+JSON","url":"AGENT"}]}`,
		},
		"that says no transport":        {`{"url":"AGENT"}`, `{"url":"GATEWAY"}`},
		"whose first is another":        {`{"url":"AGENT","preferredTransport":"GRPC"}`, `{"url":"AGENT","preferredTransport":"GRPC"}`},
		"that is signed":                {`{"url":"AGENT","signatures":[{"protected":"x"}]}`, `{"url":"AGENT","signatures":[{"protected":"x"}]}`},
		"with URLs of others":           {`{"url":"https://a.example/","documentationUrl":"AGENT","provider":{"url":"AGENT"}}`, `{"url":"https://a.example/","documentationUrl":"AGENT","provider":{"url":"AGENT"}}`},
		"with things that are not URLs": {`{"url":7,"additionalInterfaces":["AGENT",null],"supportedInterfaces":{"url":"AGENT"}}`, `{"url":7,"additionalInterfaces":["AGENT",null],"supportedInterfaces":{"url":"AGENT"}}`},
		"that is a list":                {`[{"url":"AGENT"}]`, `[{"url":"AGENT"}]`},
		"that is no JSON":               {`{"url":"AGENT"} and more`, `{"url":"AGENT"} and more`},
		"that is too long":              {`{"url":"AGENT"` + strings.Repeat(" ", maxCard) + `}`, `{"url":"AGENT"` + strings.Repeat(" ", maxCard) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			card, want := swap.Replace(row.card), swap.Replace(row.want)
			answer := &http.Response{Header: http.Header{}, Body: bodyOf(card), ContentLength: int64(len(card))}
			g.Expect(mendCard(answer, &v1alpha1.PodStatus{IP: "10.0.0.1", Name: "a-1"}, to)).To(Succeed())
			raw, err := io.ReadAll(answer.Body)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(answer.ContentLength).To(BeEquivalentTo(len(raw)))
			if card == want {
				g.Expect(string(raw)).To(Equal(card), "to the byte: others may have signed it")
				return
			}
			g.Expect(raw).To(MatchJSON(want))
			g.Expect(string(raw)).To(ContainSubstring(to), "as it is read, not as HTML")
		})
	}
}

func TestURLsOfAgents(t *testing.T) {
	g := NewWithT(t)
	pod := &v1alpha1.PodStatus{IP: "10.0.0.1", Name: "a-1"}
	for _, own := range []string{
		"http://localhost:9000/", "https://LOCALHOST./a2a", "http://agent.localhost", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:9000/",
		"http://[::ffff:127.0.0.1]/", "http://0.0.0.0:9000", "http://[::]:9000", "http://10.0.0.1:9000/", "http://a-1:9000/",
	} {
		g.Expect(isAgents(own, pod)).To(BeTrue(), own)
	}
	for _, other := range []string{
		"", "/", "localhost:9000", "grpc://localhost:9000", "http://localhost.example/", "http://10.0.0.2/", "http://a-2/", "https://agents.example/localhost", "http://%zz",
	} {
		g.Expect(isAgents(other, pod)).To(BeFalse(), other)
	}
}
