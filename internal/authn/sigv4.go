package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	signingService   = "bedrock-agentcore"
	signingAlgorithm = "AWS4-HMAC-SHA256"
	signingEnd       = "aws4_request"
	signingTime      = "20060102T150405Z"
	signingDate      = "20060102"
	// maxSkew is how far a signature's time may lie from ours: AWS's 15 minutes.
	maxSkew = 15 * time.Minute
	// maxPresigned is how long a presigned URL may be good: AgentCore's 300 s.
	maxPresigned = 300 * time.Second
)

// mustBeSigned are the headers that say who calls and for whom, beside those
// whose names begin with x-amz- or x-agentsession-: whoever sends one has to sign it. The session's id
// may come unsigned, as Signature Version 4 has it: awscurl and requests-aws4auth
// sign host and x-amz-* only. Whoever could change it on its way could as well repeat
// the whole request: against both there is TLS.
var mustBeSigned = []string{"host", "x-amz-date", "x-amzn-bedrock-agentcore-runtime-user-id"}

// signature is what a request's Authorization says, or the query of a presigned URL.
type signature struct {
	accessKey, region string
	headers           []string // signed, in lower case
	at                time.Time
	value             string
	presigned         bool
}

// parseSignature reads the signature of a request. It checks all that needs no secret.
func parseSignature(r *http.Request, now time.Time) (s signature, err error) {
	parts, date, expires, err := signedParts(r)
	if err != nil {
		return s, err
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // what cannot be read would go on unsigned
		return s, denied("The query of a signed request must be pairs with & between them, escaped")
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(parts) != 3 || len(scope) != 5 || scope[3] != signingService || scope[4] != signingEnd {
		return s, denied("The credential must be scoped to a date, a region, the service " + signingService + " and " + signingEnd)
	}
	s = signature{
		accessKey: scope[0], region: scope[2], headers: strings.Split(parts["SignedHeaders"], ";"), value: parts["Signature"], presigned: expires > 0,
	}
	if s.at, err = time.Parse(signingTime, date); err != nil || s.at.Format(signingDate) != scope[1] {
		return s, denied("X-Amz-Date must be a time as " + signingTime + ", of the credential's date")
	}
	if late := now.Sub(s.at); s.presigned && late > expires {
		return s, denied(fmt.Sprintf("The presigned URL has expired: it was made %s ago, and is good for %s", late.Round(time.Second), expires))
	}
	if skew := now.Sub(s.at).Abs(); skew > maxSkew {
		return s, denied(fmt.Sprintf("Signature expired: it was made %s from now, and %s are allowed", skew.Round(time.Second), maxSkew))
	}
	return s, s.covers(r)
}

// signedParts reads what a request says of its signature. expires is zero unless it is
// in the URL.
func signedParts(r *http.Request) (parts map[string]string, date string, expires time.Duration, err error) {
	if isPresigned(r) {
		return presignedParts(r)
	}
	parts, err = authorizationOf(r)
	return parts, r.Header.Get("X-Amz-Date"), 0, err
}

// authorizationOf reads the parts of the header.
func authorizationOf(r *http.Request) (map[string]string, error) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), signingAlgorithm+" ")
	if !ok || len(r.Header.Values("Authorization")) != 1 {
		return nil, denied("The request is not signed with " + signingAlgorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; twice {
			return nil, denied("The Authorization header says a part twice")
		}
		parts[name] = value
	}
	return parts, nil
}

// covers is an error if the request says who calls, or for whom, in a header that
// is not signed.
func (s signature) covers(r *http.Request) error {
	for name := range r.Header {
		name = strings.ToLower(name)
		must := slices.Contains(mustBeSigned, name) || strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-agentsession-") ||
			s.presigned && slices.Contains(namesSession, name)
		if must && !slices.Contains(s.headers, name) {
			return denied("The header " + name + " must be signed")
		}
	}
	if !slices.Contains(s.headers, "host") {
		return denied("The header host must be signed")
	}
	return nil
}

// verify signs the request once more, as its caller must have, and compares.
// payloadHash is that of the body that came.
func (s signature) verify(r *http.Request, secret, payloadHash string) error {
	scope := strings.Join([]string{s.at.Format(signingDate), s.region, signingService, signingEnd}, "/")
	request := sha256.Sum256([]byte(s.canonical(r, payloadHash)))
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = sumOf(key, part)
	}
	want := hex.EncodeToString(sumOf(key, strings.Join([]string{signingAlgorithm, s.at.Format(signingTime), scope, hex.EncodeToString(request[:])}, "\n")))
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.value)) != 1 {
		return denied("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method")
	}
	return nil
}

func sumOf(key []byte, text string) []byte {
	sum := hmac.New(sha256.New, key)
	_, _ = io.WriteString(sum, text) // it takes everything
	return sum.Sum(nil)
}

// canonical is the request as it is signed ("Create a signed AWS API request", IAM
// user guide), with the headers that its caller signed. AWS's own signer for Go was
// used for this: it leaves out headers that others sign, such as a content-length of
// zero or a user agent.
func (s signature) canonical(r *http.Request, payloadHash string) string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "") + "\n") }
	line(r.Method)
	line(escape(r.URL.EscapedPath(), "/")) // what was escaped is escaped once more
	query := r.URL.Query()
	if s.presigned {
		query.Del(querySignature)
	}
	line(canonicalQuery(query))
	for _, name := range s.headers {
		line(name, ":", signedValue(r, name))
	}
	line()
	line(strings.Join(s.headers, ";"))
	b.WriteString(payloadHash)
	return b.String()
}

func signedValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length": // net/http does not keep it as it was sent
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, value := range values {
		values[i] = strings.Join(strings.Fields(value), " ")
	}
	return strings.Join(values, ",")
}

// canonicalQuery is in the order of the escaped names, and of the values of one name.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, escape(name, "")+"\x00"+escape(value, "")) // less than what a name has
		}
	}
	slices.Sort(pairs)
	return strings.ReplaceAll(strings.Join(pairs, "&"), "\x00", "=")
}

// escape escapes all but what RFC 3986 calls unreserved, and what is to be kept.
func escape(text, keep string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
