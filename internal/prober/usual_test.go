package prober

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestUsualAnswers: what nearly all agents send is judged the short way, and what is judged
// so is whole. That both ways make the same of it is for FuzzAnswer.
func TestUsualAnswers(t *testing.T) {
	get, mcp := lifecycle.Question{}, lifecycle.Question{MCP: "/mcp"}
	answer := func(status, headers, body string) string {
		return "HTTP/1.1 " + status + "\r\n" + headers + "\r\n" + body
	}
	sized := func(status, body string) string {
		return answer(status, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
	}
	headed := func(length int) string { // a head of so many bytes
		pad := length - len(answer("200 OK", "Content-Length: 1\r\nX: \r\n", ""))
		return answer("200 OK", "Content-Length: 1\r\nX: "+strings.Repeat("y", pad)+"\r\n", "x")
	}
	chunked := func(body string) string { return answer("200 OK", "Transfer-Encoding: chunked\r\n", body) }
	most := strings.Repeat("x", contract.MaxPingBytes)
	for name, row := range map[string]struct {
		q    lifecycle.Question
		sent string
		want bool
	}{
		"as nearly all":                 {get, sized("200 OK", saysHealthy), true},
		"with usual headers":            {get, answer("200 OK", "Date: x\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n", "x"), true},
		"of the most bytes":             {get, sized("200 OK", most), true},
		"of more":                       {get, sized("200 OK", most+"x"), false},
		"of a large head":               {get, headed(maxHeader), true},
		"of a larger one":               {get, headed(maxHeader + 1), false},
		"not whole yet":                 {get, answer("200 OK", "Content-Length: 2\r\n", "x"), false},
		"with more behind it":           {get, answer("200 OK", "Content-Length: 1\r\n", "xx"), false},
		"no length":                     {get, answer("200 OK", "X: y\r\n", "x"), false},
		"another code":                  {get, sized("201 Created", "x"), false},
		"no code":                       {get, "HTTP/1.1 20", false},
		"a code that is not ended":      {get, "HTTP/1.1 200", false},
		"HTTP/1.0":                      {get, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false},
		"in chunks":                     {get, chunked("1\r\nx\r\n0\r\n\r\n"), false},
		"a trailer":                     {get, answer("200 OK", "Trailer: x\r\nContent-Length: 1\r\n", "x"), false},
		"encoded":                       {get, answer("200 OK", "Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"), false},
		"it closes":                     {get, answer("200 OK", "Connection: close\r\nContent-Length: 1\r\n", "x"), false},
		"two lengths":                   {get, answer("200 OK", "Content-Length: 1\r\nContent-Length: 1\r\n", "x"), false},
		"no header":                     {get, answer("200 OK", "X\r\nContent-Length: 1\r\n", "x"), false},
		"an odd header":                 {get, answer("200 OK", "X Y: z\r\nContent-Length: 1\r\n", "x"), false},
		"names of all that may be":      {get, answer("200 OK", "Az-09: z\r\nContent-Length: 1\r\n", "x"), true},
		"and of what may not":           {get, answer("200 OK", "A{: z\r\nContent-Length: 1\r\n", "x"), false},
		"a reason that is no text":      {get, answer("200 \x1f", "Content-Length: 1\r\n", "x"), false},
		"one of the first and last":     {get, answer("200 OK ~", "Content-Length: 1\r\n", "x"), true},
		"MCP":                           {mcp, sized("200 OK", "x"), true},
		"MCP, 199":                      {mcp, sized("199 x", "x"), false},
		"MCP, 299":                      {mcp, sized("299 x", "x"), true},
		"MCP, 300":                      {mcp, sized("300 x", "x"), false},
		"MCP, 204":                      {mcp, sized("204 No Content", ""), false},
		"MCP, 400":                      {mcp, sized("400 Bad Request", "x"), true},
		"MCP, 400 that is not whole":    {mcp, answer("400 Bad Request", "Content-Length: 2\r\n", "x"), false},
		"MCP, not whole":                {mcp, answer("200 OK", "Content-Length: 2\r\n", "x"), false},
		"MCP, in chunks":                {mcp, chunked("a\r\n0123456789\r\n0\r\n\r\n"), true},
		"MCP, chunks without an end":    {mcp, chunked("1\r\nx\r\n"), false},
		"MCP, chunks and more":          {mcp, chunked("1\r\nx\r\n0\r\n\r\nx"), false},
		"MCP, a chunk cut short":        {mcp, chunked("9\r\nx\r\n0\r\n\r\n"), false},
		"MCP, a chunk of no length":     {mcp, chunked("z\r\nx\r\n0\r\n\r\n"), false},
		"MCP, a chunk that is the rest": {mcp, chunked("1\r\nx\r\n"), false},
		"MCP, chunks of the most bytes": {mcp, chunked("fef\r\n" + most[:0xfef] + "\r\n5\r\n01234\r\n0\r\n\r\n"), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, usual := usualAnswer(row.q, []byte(row.sent))
			NewWithT(t).Expect(usual).To(Equal(row.want))
		})
	}
	g := NewWithT(t)
	code, body, _ := usualAnswer(get, []byte(sized("200 OK", saysHealthy)))
	g.Expect(code).To(Equal(200))
	g.Expect(string(body)).To(Equal(saysHealthy))
	code, body, _ = usualAnswer(mcp, []byte(sized("400 Bad Request", "x")))
	g.Expect(code).To(Equal(400))
	g.Expect(string(body)).To(Equal("x"))
}
