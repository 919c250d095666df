package gateway

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

const (
	signingService   = "bedrock-agentcore"
	signingAlgorithm = "AWS4-HMAC-SHA256"
	signingTime      = "20060102T150405Z"
	// maxSkew is how far a signature's time may lie from ours: AWS's 15 minutes.
	maxSkew = 15 * time.Minute
)

// mustBeSigned are the headers that say who calls and for whom, beside those
// whose names begin with x-amz: whoever sends one has to sign it.
var mustBeSigned = []string{
	"host", "x-amz-date", "x-amzn-bedrock-agentcore-runtime-session-id", "x-amzn-bedrock-agentcore-runtime-user-id",
	strings.ToLower(contract.HeaderMCPSessionID), strings.ToLower(headerRouting),
}

// signature is what a request's Authorization says.
type signature struct {
	accessKey, region string
	headers           []string // signed, in lower case
	at                time.Time
	value             string
}

// parseSignature reads the Authorization of a signed request. It checks all that
// needs no secret.
func parseSignature(r *http.Request, now time.Time) (s signature, err error) {
	parts, err := authorizationOf(r)
	if err != nil {
		return s, err
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(parts) != 3 || len(scope) != 5 || scope[3] != signingService || scope[4] != "aws4_request" {
		return s, denied("The credential must be scoped to a date, a region, the service " + signingService + " and aws4_request")
	}
	s = signature{accessKey: scope[0], region: scope[2], headers: strings.Split(parts["SignedHeaders"], ";"), value: parts["Signature"]}
	if s.at, err = time.Parse(signingTime, r.Header.Get("X-Amz-Date")); err != nil || s.at.Format("20060102") != scope[1] {
		return s, denied("X-Amz-Date must be a time as " + signingTime + ", of the credential's date")
	}
	if skew := now.Sub(s.at).Abs(); skew > maxSkew {
		return s, denied(fmt.Sprintf("Signature expired: it was made %s from now, and %s are allowed", skew.Round(time.Second), maxSkew))
	}
	return s, s.covers(r)
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
		if (slices.Contains(mustBeSigned, name) || strings.HasPrefix(name, "x-amz-")) && !slices.Contains(s.headers, name) {
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
func (s signature) verify(ctx context.Context, r *http.Request, key accessKey, payloadHash string) error {
	again := &http.Request{Method: r.Method, Host: r.Host, URL: r.URL, Header: http.Header{}}
	again = again.Clone(ctx)
	for _, name := range s.headers {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	credentials := aws.Credentials{AccessKeyID: s.accessKey, SecretAccessKey: key.secret}
	if err := key.signing.in(s.region).SignHTTP(ctx, credentials, again, payloadHash, signingService, s.region, s.at); err != nil {
		return fmt.Errorf("sign the request as its caller: %w", err)
	}
	_, want, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.value)) != 1 {
		return denied("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method")
	}
	return nil
}
