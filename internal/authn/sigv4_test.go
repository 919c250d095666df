package authn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
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
	"pgregory.net/rapid"
)

var signedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// signed is a request as an official client sends it, and a server gets it.
func signed(t *testing.T, body string) *http.Request {
	t.Helper()
	g := NewWithT(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://gateway.example/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-west-1%3A123456789012%3Aruntime%2Fecho-AbCdEf1234/invocations?qualifier=PROD&accountId=123456789012",
		strings.NewReader(body))
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 36))
	r.Header.Set("Content-Type", "application/json")
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}
	g.Expect(v4.NewSigner().SignHTTP(t.Context(), credentials, r, hashOf(body), signingService, "eu-west-1", signedAt)).To(Succeed())
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7")
	r.Header.Set("X-Amzn-Trace-Id", "Root=1-2-3")
	return r
}

func TestSignature(t *testing.T) {
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			was := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(was, old, new, 1))
			if r.Header.Get("Authorization") == was {
				panic(old + " is not in " + was)
			}
		}
	}
	for name, row := range map[string]struct {
		change func(*http.Request)
		now    time.Time
		body   string
		secret string
		says   string // empty: it is right
	}{
		"right":                      {},
		"15 minutes late":            {now: signedAt.Add(15 * time.Minute)},
		"16 minutes late":            {now: signedAt.Add(16 * time.Minute), says: "Signature expired"},
		"16 minutes early":           {now: signedAt.Add(-16 * time.Minute), says: "Signature expired"},
		"another secret":             {secret: "x", says: "does not match"},
		"another body":               {body: "{}", says: "does not match"},
		"another path":               {change: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/runtimes/x/invocations", "" }, says: "does not match"},
		"a path unescaped":           {change: func(r *http.Request) { r.URL.RawPath = "" }, says: "does not match"},
		"another query":              {change: func(r *http.Request) { r.URL.RawQuery = "qualifier=DEFAULT" }, says: "does not match"},
		"another method":             {change: func(r *http.Request) { r.Method = http.MethodGet }, says: "does not match"},
		"another host":               {change: func(r *http.Request) { r.Host = "other.example" }, says: "does not match"},
		"another session":            {change: func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "x") }, says: "does not match"},
		"a session added":            {change: func(r *http.Request) { r.Header.Add("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "x") }, says: "does not match"},
		"a user, not signed":         {change: func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "root") }, says: "must be signed"},
		"an MCP session, not signed": {change: func(r *http.Request) { r.Header.Set("Mcp-Session-Id", "x") }},
		"routing, not signed":        {change: func(r *http.Request) { r.Header.Set("X-AgentSession-Routing", "any") }, says: "must be signed"},
		"a token, not signed":        {change: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, says: "must be signed"},
		"another region":             {change: replace("eu-west-1", "eu-west-2"), says: "does not match"},
		"another service":            {change: replace("/bedrock-agentcore/", "/s3/"), says: "must be scoped"},
		"another day":                {change: replace("/20261123/", "/20261122/"), says: "of the credential's date"},
		"another key":                {change: replace("AKIDEXAMPLE", "AKIDEXAMPLF")}, // whose secret is asked for is not known here
		"no host signed":             {change: replace("host;", ""), says: "host must be signed"},
		"a session signed no more":   {change: replace(";x-amzn-bedrock-agentcore-runtime-session-id", ""), says: "does not match"},
		"another signature":          {change: replace("Signature=", "Signature=0"), says: "does not match"},
		"no signature":               {change: replace("Signature=", "S="), says: "does not match"},
		"two signatures":             {change: replace("Signature=", "Signature=,Signature="), says: "twice"},
		"algorithm none":             {change: replace(signingAlgorithm, "none"), says: "not signed"},
		"nothing":                    {change: func(r *http.Request) { r.Header.Del("Authorization") }, says: "not signed"},
		"two":                        {change: func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, says: "not signed"},
		"no date":                    {change: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, says: "X-Amz-Date"},
		"a header that is no one":    {change: func(r *http.Request) { r.Header.Set("X-Forwarded-For", "1.2.3.4") }},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			const body = `{"prompt":"hello"}`
			r := signed(t, body)
			if row.change != nil {
				row.change(r)
			}
			if row.now.IsZero() {
				row.now = signedAt
			}
			if row.body == "" {
				row.body = body
			}
			if row.secret == "" {
				row.secret = secret
			}
			s, err := parseSignature(r, row.now)
			if err == nil {
				err = s.verify(r, row.secret, hashOf(row.body))
			}
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
			g.Expect(err.Error()).NotTo(ContainSubstring(secret))
		})
	}
}

// testdata/signed has what clients sent, as they are without any setting: AWS's for
// JavaScript 3.1140.0, Java 2.40.3 and Python (boto3 1.44.5), the signer of those for
// Rust (aws-sigv4 1.6.4), aws4fetch 1.0.20, awscurl 0.44, requests-aws4auth 1.4.0 and
// curl 7.88.1 (which cannot sign an escaped path, so without an ARN). Of each User-Agent,
// which none signs, there is the first word.
func TestWhatClientsSignIsUnderstood(t *testing.T) {
	files, err := filepath.Glob("testdata/signed/*.http")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).To(HaveLen(14))
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			g := NewWithT(t)
			raw, err := os.ReadFile(name)
			g.Expect(err).NotTo(HaveOccurred())
			verify := func(raw []byte) error {
				r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
				g.Expect(err).NotTo(HaveOccurred())
				body, err := io.ReadAll(r.Body)
				g.Expect(err).NotTo(HaveOccurred())
				at, err := time.Parse(signingTime, r.Header.Get("X-Amz-Date"))
				g.Expect(err).NotTo(HaveOccurred())
				s, err := parseSignature(r, at)
				g.Expect(err).NotTo(HaveOccurred())
				return s.verify(r, secret, hashOf(string(body)))
			}
			g.Expect(verify(raw)).To(Succeed())
			g.Expect(verify(bytes.Replace(raw, []byte("qualifier=PROD"), []byte("qualifier=TEST"), 1))).To(MatchError(ContainSubstring("does not match")))
		})
	}
}

// Whatever AWS's signer for Go signs is verified, and a change of it is not.
func TestASignatureIsThatOfAWSsSigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewWithT(t)
		text := rapid.StringOfN(rapid.Rune(), 0, 20, -1)
		query := url.Values{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			query.Add(text.Draw(t, "name"), text.Draw(t, "value"))
		}
		path := "/runtimes/" + url.PathEscape(text.Draw(t, "runtime")) + "/invocations"
		body := text.Draw(t, "body")
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://gateway.example"+path+"?"+query.Encode(), strings.NewReader(body))
		g.Expect(err).NotTo(HaveOccurred())
		for _, value := range rapid.SliceOfN(rapid.StringMatching(`[ -~]{0,20}`), 0, 3).Draw(t, "header") {
			r.Header.Add("X-Amz-Meta", value)
		}
		credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}
		g.Expect(v4.NewSigner().SignHTTP(context.Background(), credentials, r, hashOf(body), signingService, "eu-west-1", signedAt)).To(Succeed())
		s, err := parseSignature(r, signedAt)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s.verify(r, secret, hashOf(body))).To(Succeed())
		r.URL.RawQuery += "&more"
		g.Expect(s.verify(r, secret, hashOf(body))).NotTo(Succeed())
	})
}
