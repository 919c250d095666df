package authn

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	. "github.com/onsi/gomega"
)

const socketPath = "http://gateway.example/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-west-1%3A123456789012%3Aruntime%2Fecho-AbCdEf1234/ws"

// presigned is a request by a URL that AWS's signer for Go has made, good for a minute.
func presigned(t *testing.T, method string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method,
		socketPath+"?qualifier=PROD&X-Amz-Expires=60&X-Amzn-Bedrock-AgentCore-Runtime-Session-Id="+strings.Repeat("s", 36), nil)
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, SessionToken: "token/+="}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials, r, hashOf(""), signingService, "eu-west-1", signedAt)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, signed, nil)
	r.Header.Set("Upgrade", "websocket")
	return r
}

func TestAPresignedURL(t *testing.T) {
	query := func(change func(url.Values)) func(*http.Request) {
		return func(r *http.Request) {
			values := r.URL.Query()
			change(values)
			r.URL.RawQuery = values.Encode()
		}
	}
	set := func(name, value string) func(*http.Request) {
		return query(func(values url.Values) { values.Set(name, value) })
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, row := range map[string]struct {
		change func(*http.Request)
		method string // that was signed
		after  time.Duration
		secret string
		says   string // empty: it is right
	}{
		"right":                       {},
		"at its end":                  {after: time.Minute},
		"expired":                     {after: time.Minute + time.Second, says: "has expired: it was made 1m1s ago, and is good for 1m0s"},
		"by a clock a little ahead":   {after: -time.Minute},
		"of the future":               {after: -16 * time.Minute, says: "made 16m0s from now"},
		"made to last":                {change: set("X-Amz-Expires", "300"), says: "does not match"},
		"too long":                    {change: set("X-Amz-Expires", "301"), says: "from 1 to 300"},
		"no time":                     {change: set("X-Amz-Expires", "0"), says: "from 1 to 300"},
		"a time that is none":         {change: set("X-Amz-Expires", "1e2"), says: "from 1 to 300"},
		"no expiry":                   {change: query(func(v url.Values) { v.Del("X-Amz-Expires") }), says: "must have X-Amz-Expires once"},
		"two dates":                   {change: query(func(v url.Values) { v.Add("X-Amz-Date", "20261123T120000Z") }), says: "must have X-Amz-Date once"},
		"another day":                 {change: set("X-Amz-Date", "20261124T120000Z"), says: "of the credential's date"},
		"another algorithm":           {change: set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), says: "must be AWS4-HMAC-SHA256"},
		"another session":             {change: set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "x"), says: "does not match"},
		"another token":               {change: set("X-Amz-Security-Token", "x"), says: "does not match"},
		"another qualifier":           {change: set("qualifier", "TEST"), says: "does not match"},
		"more in the query":           {change: set("shellId", "x"), says: "does not match"},
		"more that cannot be read":    {change: func(r *http.Request) { r.URL.RawQuery += "&admin=%zz" }, says: "escaped"},
		"more behind a semicolon":     {change: func(r *http.Request) { r.URL.RawQuery += "&admin;x" }, says: "escaped"},
		"another path":                {change: func(r *http.Request) { r.URL.RawPath, r.URL.Path = "", "/runtimes/x/ws" }, says: "does not match"},
		"another host":                {change: func(r *http.Request) { r.Host = "other.example" }, says: "does not match"},
		"another signature":           {change: set("X-Amz-Signature", strings.Repeat("0", 64)), says: "does not match"},
		"another secret":              {secret: "x", says: "does not match"},
		"signed for another method":   {method: http.MethodPost, says: "does not match"},
		"of a call":                   {change: func(r *http.Request) { r.Method = http.MethodPost }, says: "opens a WebSocket, and nothing else"},
		"of a page":                   {change: func(r *http.Request) { r.Header.Del("Upgrade") }, says: "opens a WebSocket, and nothing else"},
		"beside a header":             {change: header("Authorization", "Bearer x"), says: "signed once"},
		"a session in a header":       {change: header("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "x"), says: "must be signed"},
		"a session of MCP":            {change: header("Mcp-Session-Id", "x"), says: "must be signed"},
		"a user, not signed":          {change: header("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "root"), says: "must be signed"},
		"a header of a load balancer": {change: header("X-Amzn-Trace-Id", "Root=1-2-3")},
		"no host signed":              {change: set("X-Amz-SignedHeaders", "x"), says: "host must be signed"},
		"another service":             {change: set("X-Amz-Credential", "AKIDEXAMPLE/20261123/eu-west-1/s3/aws4_request"), says: "must be scoped"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if row.method == "" {
				row.method = http.MethodGet
			}
			r := presigned(t, row.method)
			if row.change != nil {
				row.change(r)
			}
			if row.secret == "" {
				row.secret = secret
			}
			s, err := parseSignature(r, signedAt.Add(row.after))
			if err == nil {
				err = s.verify(r, row.secret, hashOf(""))
			}
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
}

// What was signed in the head is good there only, and what was signed in a URL too.
func TestASignatureIsNotMoved(t *testing.T) {
	g := NewWithT(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, socketPath, nil)
	r.Header.Set("Upgrade", "websocket")
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}
	g.Expect(v4.NewSigner().SignHTTP(t.Context(), credentials, r, hashOf(""), signingService, "eu-west-1", signedAt)).To(Succeed())
	verify := func(r *http.Request) error {
		s, err := parseSignature(r, signedAt)
		g.Expect(err).NotTo(HaveOccurred())
		return s.verify(r, secret, hashOf(""))
	}
	g.Expect(verify(r)).To(Succeed())
	head, err := authorizationOf(r)
	g.Expect(err).NotTo(HaveOccurred())
	moved := url.Values{
		queryAlgorithm: {signingAlgorithm}, queryCredential: {head["Credential"]}, queryDate: {r.Header.Get("X-Amz-Date")}, queryExpires: {"300"},
		queryHeaders: {head["SignedHeaders"]}, querySignature: {head["Signature"]},
	}
	r.Header.Del("Authorization")
	r.URL.RawQuery = moved.Encode()
	g.Expect(verify(r)).To(MatchError(ContainSubstring("does not match")))

	back := presigned(t, http.MethodGet)
	query := back.URL.Query()
	back.Header.Set("Authorization", signingAlgorithm+" Credential="+query.Get(queryCredential)+", SignedHeaders=host, Signature="+query.Get(querySignature))
	back.Header.Set("X-Amz-Date", query.Get(queryDate))
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	back.URL.RawQuery = query.Encode()
	_, err = parseSignature(back, signedAt)
	g.Expect(err).To(MatchError(ContainSubstring("x-amz-date must be signed")))
}

// testdata/presigned has the URLs that bedrock-agentcore for Python 1.25.0 makes.
func TestWhatClientsPresignIsUnderstood(t *testing.T) {
	files, err := filepath.Glob("testdata/presigned/*.http")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).To(HaveLen(3))
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			g := NewWithT(t)
			raw, err := os.ReadFile(name)
			g.Expect(err).NotTo(HaveOccurred())
			verify := func(raw []byte) error {
				r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
				g.Expect(err).NotTo(HaveOccurred())
				s, err := parseSignature(r, signedAt.Add(time.Minute))
				g.Expect(err).NotTo(HaveOccurred())
				return s.verify(r, secret, hashOf(""))
			}
			g.Expect(verify(raw)).To(Succeed())
			g.Expect(verify(bytes.Replace(raw, []byte("a-session"), []byte("b-session"), 1))).To(MatchError(ContainSubstring("does not match")))
		})
	}
}

func TestATokenAsASubprotocol(t *testing.T) {
	encoded := base64.RawURLEncoding.EncodeToString([]byte("a.to-ken_."))
	for name, row := range map[string]struct {
		lines               []string
		authorization       string
		token, passes, says string
	}{
		"none":                  {lines: []string{"chat"}, passes: "chat"},
		"as browsers send it":   {lines: []string{BearerProtocol + "." + encoded + ", " + BearerProtocol}, token: "a.to-ken_."},
		"in two lines":          {lines: []string{BearerProtocol, BearerProtocol + "." + encoded}, token: "a.to-ken_."},
		"padded":                {lines: []string{BearerProtocol + "." + encoded + "==," + BearerProtocol}, token: "a.to-ken_."},
		"with others":           {lines: []string{"chat, " + BearerProtocol + "." + encoded + ", " + BearerProtocol + ", v2"}, token: "a.to-ken_.", passes: "chat, v2"},
		"no sign":               {lines: []string{BearerProtocol + "." + encoded}, says: "given as two of them"},
		"no token":              {lines: []string{BearerProtocol}, says: "given as two of them"},
		"two tokens":            {lines: []string{BearerProtocol + ".YQ, " + BearerProtocol + ".Yg, " + BearerProtocol}, says: "given as two of them"},
		"beside a header":       {lines: []string{BearerProtocol + ".YQ, " + BearerProtocol}, authorization: "Bearer x", says: "one token or signature"},
		"not in base64url":      {lines: []string{BearerProtocol + ".a/b, " + BearerProtocol}, says: "in base64url"},
		"a header in the token": {lines: []string{BearerProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte("a\r\nX: b")) + ", " + BearerProtocol}, says: "in base64url"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, socketPath, nil)
			r.Header["Sec-Websocket-Protocol"] = row.lines
			if row.authorization != "" {
				r.Header.Set("Authorization", row.authorization)
			}
			taken, err := TakeBearerProtocol(r)
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(taken).To(Equal(row.token != ""))
			if taken {
				g.Expect(r.Header.Get("Authorization")).To(Equal("Bearer " + row.token))
			}
			g.Expect(r.Header.Get("Sec-Websocket-Protocol")).To(Equal(row.passes))
		})
	}
}
