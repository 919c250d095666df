package contract

import (
	"slices"
	"strings"
)

// Request headers of an invocation. HTTP header names are case-insensitive:
// the AWS clients send at least two spellings.
const (
	// HeaderSessionID names the session, 33 to 256 characters.
	HeaderSessionID = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	// HeaderMCPSessionID names the session in the protocol MCP.
	HeaderMCPSessionID = "Mcp-Session-Id"
	// HeaderRequestID names one invocation.
	HeaderRequestID = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
	// HeaderWAT holds the workload access token.
	HeaderWAT = "X-Amz-Bedrock-AgentCore-Identity-WAT"
	// HeaderWorkloadAccessToken is the older name of HeaderWAT, which wins.
	HeaderWorkloadAccessToken = "WorkloadAccessToken"
	// HeaderOAuth2CallbackURL is where a three-legged OAuth flow returns to.
	HeaderOAuth2CallbackURL = "OAuth2CallbackUrl"
	// HeaderCustomPrefix begins the headers that a caller may invent.
	HeaderCustomPrefix = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-"
)

// IsTraceHeader tells whether a request header carries the trace context of an
// invocation: W3C Trace Context, W3C Baggage or AWS X-Ray.
func IsTraceHeader(name string) bool {
	switch strings.ToLower(name) {
	case "traceparent", "tracestate", "baggage", "x-amzn-trace-id":
		return true
	}
	return false
}

// Forwardable tells whether an agent's code may see a request header by that
// name. These are not: everything that begins with X-Amz- (but HeaderWAT) or
// X-Amzn- (but HeaderCustomPrefix), and the names that HTTP, browsers and
// proxies use for themselves.
//
// Source: the developer guide, "Pass custom headers", and the SDK for Python,
// whose list this is.
func Forwardable(name string) bool {
	name = strings.ToLower(name)
	switch {
	case name == strings.ToLower(HeaderWAT):
		return true
	case strings.HasPrefix(name, "x-amz-"):
		return false
	case strings.HasPrefix(name, "x-amzn-"):
		return strings.HasPrefix(name, strings.ToLower(HeaderCustomPrefix))
	}
	_, restricted := slices.BinarySearch(restrictedHeaders, name)
	return !restricted
}

// restrictedHeaders are in lower case and sorted.
var restrictedHeaders = []string{
	"accept",
	"accept-ch",
	"accept-ch-lifetime",
	"accept-charset",
	"accept-encoding",
	"accept-language",
	"accept-ranges",
	"access-control-allow-credentials",
	"access-control-allow-headers",
	"access-control-allow-methods",
	"access-control-allow-origin",
	"access-control-expose-headers",
	"access-control-max-age",
	"access-control-request-headers",
	"access-control-request-method",
	"cache-control",
	"cf-connecting-ip",
	"cf-ray",
	"clear-site-data",
	"connection",
	"content-encoding",
	"content-language",
	"content-length",
	"content-location",
	"content-range",
	"content-security-policy",
	"content-security-policy-report-only",
	"content-type",
	"cookie",
	"cross-origin-embedder-policy",
	"cross-origin-opener-policy",
	"cross-origin-resource-policy",
	"date",
	"downlink",
	"dpr",
	"ect",
	"etag",
	"expect-ct",
	"expires",
	"feature-policy",
	"forwarded",
	"from",
	"host",
	"if-match",
	"if-modified-since",
	"if-none-match",
	"if-range",
	"if-unmodified-since",
	"keep-alive",
	"last-modified",
	"link",
	"location",
	"origin",
	"permissions-policy",
	"pragma",
	"proxy-authorization",
	"proxy-connection",
	"public-key-pins",
	"public-key-pins-report-only",
	"range",
	"referer",
	"referrer-policy",
	"retry-after",
	"rtt",
	"save-data",
	"sec-websocket-accept",
	"sec-websocket-extensions",
	"sec-websocket-key",
	"sec-websocket-protocol",
	"sec-websocket-version",
	"server",
	"set-cookie",
	"strict-transport-security",
	"te",
	"trailer",
	"transfer-encoding",
	"true-client-ip",
	"upgrade",
	"user-agent",
	"vary",
	"via",
	"viewport-width",
	"width",
	"www-authenticate",
	"x-amz-cf-id",
	"x-cache",
	"x-client-ip",
	"x-cluster-client-ip",
	"x-content-type-options",
	"x-csrf-token",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-proto",
	"x-frame-options",
	"x-original-host",
	"x-original-url",
	"x-originating-ip",
	"x-real-ip",
	"x-requested-with",
	"x-rewrite-url",
	"x-served-by",
	"x-source-ip",
	"x-xss-protection",
}
