package authn

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What a presigned URL has in its query.
const (
	queryAlgorithm  = "X-Amz-Algorithm"
	queryCredential = "X-Amz-Credential" //nolint:gosec // a parameter's name
	queryDate       = "X-Amz-Date"
	queryExpires    = "X-Amz-Expires"
	queryHeaders    = "X-Amz-SignedHeaders"
	querySignature  = "X-Amz-Signature"
)

// namesSession are the headers that name a session. A presigned URL is handed to others,
// who may open the session that it names and no other: with one they must be signed.
var namesSession = []string{"x-amzn-bedrock-agentcore-runtime-session-id", "mcp-session-id"}

// isPresigned tells whether a request is signed in its URL.
func isPresigned(r *http.Request) bool {
	query := r.URL.Query()
	return query.Has(queryAlgorithm) || query.Has(querySignature)
}

// isWebSocket tells whether a request opens a WebSocket.
func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// presignedParts reads the query of a presigned URL.
func presignedParts(r *http.Request) (parts map[string]string, date string, expires time.Duration, err error) {
	query := r.URL.Query()
	switch {
	case len(r.Header.Values("Authorization")) > 0:
		return nil, "", 0, denied("The request must be signed once: in its URL, or in the header Authorization")
	case !isWebSocket(r):
		return nil, "", 0, denied("A presigned URL opens a WebSocket, and nothing else: a GET with the header Upgrade: websocket")
	case query.Get(queryAlgorithm) != signingAlgorithm:
		return nil, "", 0, denied("X-Amz-Algorithm of a presigned URL must be " + signingAlgorithm)
	}
	for _, name := range []string{queryAlgorithm, queryCredential, queryDate, queryExpires, queryHeaders, querySignature} {
		if len(query[name]) != 1 {
			return nil, "", 0, denied("A presigned URL must have " + name + " once")
		}
	}
	if expires, err = expiryOf(query); err != nil {
		return nil, "", 0, err
	}
	return map[string]string{
		"Credential": query.Get(queryCredential), "SignedHeaders": query.Get(queryHeaders), "Signature": query.Get(querySignature),
	}, query.Get(queryDate), expires, nil
}

func expiryOf(query url.Values) (time.Duration, error) {
	const most = int(maxPresigned / time.Second)
	seconds, err := strconv.Atoi(query.Get(queryExpires))
	if err != nil || seconds < 1 || seconds > most {
		return 0, denied("X-Amz-Expires of a presigned URL must be a number of seconds from 1 to " + strconv.Itoa(most))
	}
	return time.Duration(seconds) * time.Second, nil
}

// BearerProtocol is the subprotocol of WebSockets whose callers show their token as another
// one, since pages of browsers cannot set headers: this, a point, and the token in base64url.
const BearerProtocol = "base64UrlBearerAuthorization" //nolint:gosec // a protocol's name

const headerProtocol = "Sec-Websocket-Protocol"

// TakeBearerProtocol moves the token that a WebSocket's caller shows as a subprotocol to
// where all others show theirs. It tells whether there was one: then the answer must
// choose a subprotocol, which is BearerProtocol.
func TakeBearerProtocol(r *http.Request) (taken bool, err error) {
	tokens, marked, others := bearerProtocols(r)
	switch {
	case len(tokens) == 0 && !marked:
		return false, nil
	case len(tokens) != 1 || !marked:
		return false, denied("A token as a subprotocol is given as two of them: " + BearerProtocol + ".TOKEN, once, and " + BearerProtocol)
	case len(r.Header.Values("Authorization")) > 0 || isPresigned(r):
		return false, denied("The request must show one token or signature, and has a subprotocol " + BearerProtocol + " beside it")
	}
	token, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(tokens[0], "="))
	if err != nil || !mayBeToken(string(token)) {
		return false, denied("The token in the subprotocol " + BearerProtocol + " must be in base64url")
	}
	r.Header.Del(headerProtocol)
	if len(others) > 0 {
		r.Header.Set(headerProtocol, strings.Join(others, ", "))
	}
	r.Header.Set("Authorization", SchemeBearer+" "+string(token))
	return true, nil
}

// bearerProtocols are the tokens among a request's subprotocols, and the others. marked
// tells whether BearerProtocol itself is one.
func bearerProtocols(r *http.Request) (tokens []string, marked bool, others []string) {
	for name := range strings.SplitSeq(strings.Join(r.Header.Values(headerProtocol), ","), ",") {
		name = strings.TrimSpace(name)
		token, is := strings.CutPrefix(name, BearerProtocol+".")
		switch {
		case is:
			tokens = append(tokens, token)
		case name == BearerProtocol:
			marked = true
		case name != "":
			others = append(others, name)
		}
	}
	return tokens, marked, others
}
