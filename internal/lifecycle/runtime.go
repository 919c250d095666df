package lifecycle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// protocolDefaults are AgentCore's ports and paths (developer guide, "Runtime
// service contract").
var protocolDefaults = map[v1alpha1.ServerProtocol]v1alpha1.ProtocolConfiguration{
	v1alpha1.ProtocolHTTP: {Port: 8080, Path: "/invocations"},
	v1alpha1.ProtocolMCP:  {Port: 8000, Path: "/mcp"},
	v1alpha1.ProtocolA2A:  {Port: 9000, Path: "/"},
	v1alpha1.ProtocolAGUI: {Port: 8080, Path: "/invocations"},
}

// ProtocolOf fills in what a protocol configuration leaves to its protocol.
func ProtocolOf(c v1alpha1.ProtocolConfiguration) v1alpha1.ProtocolConfiguration {
	protocol := cmp.Or(c.ServerProtocol, v1alpha1.ProtocolHTTP)
	defaults := protocolDefaults[protocol]
	return v1alpha1.ProtocolConfiguration{
		ServerProtocol: protocol, Port: cmp.Or(c.Port, defaults.Port), Path: cmp.Or(c.Path, defaults.Path),
	}
}

// AgentPort is where a session's agent listens.
func AgentPort(session *v1alpha1.AgentSession) int32 {
	return cmp.Or(Govern(session.Spec, session.Status.Runtime).Ping.Port, contract.Port)
}

// AgentPath is where a session's agent is invoked. One without a runtime tells of its
// protocol by how it is asked.
func AgentPath(session *v1alpha1.AgentSession) string {
	protocol := v1alpha1.ProtocolConfiguration{ServerProtocol: v1alpha1.ProtocolHTTP}
	if started := session.Status.Runtime; started != nil {
		protocol = started.ProtocolConfiguration
	} else if session.Spec.Ping.Check == v1alpha1.PingCheckMCP {
		protocol.ServerProtocol = v1alpha1.ProtocolMCP
	}
	return ProtocolOf(protocol).Path
}

// Capture is what an activation keeps of the version of a runtime that it starts
// with.
func Capture(runtime *v1alpha1.AgentRuntimeSpec, version int64) *v1alpha1.ActivationRuntime {
	return &v1alpha1.ActivationRuntime{
		AgentRuntimeVersion:        version,
		FilesystemConfigurations:   runtime.FilesystemConfigurations,
		ProtocolConfiguration:      ProtocolOf(runtime.ProtocolConfiguration),
		LifecycleConfiguration:     runtime.LifecycleConfiguration,
		Ping:                       runtime.Ping,
		ProvisioningTimeoutSeconds: runtime.ProvisioningTimeoutSeconds,
		RequestHeaderConfiguration: runtime.RequestHeaderConfiguration,
		StuckDetection:             runtime.StuckDetection,
	}
}

// Digest tells two versions of a runtime apart that differ in more than their endpoints.
func Digest(runtime v1alpha1.AgentRuntimeSpec) (string, error) {
	runtime.Endpoints = nil
	raw, err := json.Marshal(runtime)
	if err != nil {
		return "", fmt.Errorf("write a runtime's spec: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// Govern is a session's spec with what its activation started with: the
// session's own values win, each of the two timeouts for itself; of how the
// agent is asked it has none of its own.
func Govern(spec v1alpha1.AgentSessionSpec, started *v1alpha1.ActivationRuntime) v1alpha1.AgentSessionSpec {
	if spec.RuntimeRef == nil || started == nil {
		return spec
	}
	spec.Ping = v1alpha1.PingSpec{
		Port: started.ProtocolConfiguration.Port, Answers: started.Ping.Answers,
		Check:     checkOf(started.Ping.Check, started.ProtocolConfiguration.ServerProtocol),
		IdleClock: started.Ping.IdleClock, FailureThreshold: started.Ping.FailureThreshold,
	}
	spec.FilesystemConfigurations = started.FilesystemConfigurations
	spec.ProvisioningTimeoutSeconds = cmp.Or(spec.ProvisioningTimeoutSeconds, started.ProvisioningTimeoutSeconds)
	if spec.StuckDetection == nil {
		spec.StuckDetection = started.StuckDetection
	}
	var own, given v1alpha1.LifecycleConfiguration
	if spec.LifecycleConfiguration != nil {
		own = *spec.LifecycleConfiguration
	}
	if started.LifecycleConfiguration != nil {
		given = *started.LifecycleConfiguration
	}
	spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{
		IdleRuntimeSessionTimeout: cmp.Or(own.IdleRuntimeSessionTimeout, given.IdleRuntimeSessionTimeout),
		MaxLifetime:               cmp.Or(own.MaxLifetime, given.MaxLifetime),
	}
	return spec
}

// SessionlessOf is which session an invocation of a runtime gets that names none.
// Clients of MCP 2026-07-28 never name one: each of their calls would make a compute.
func SessionlessOf(runtime *v1alpha1.AgentRuntimeSpec) v1alpha1.SessionlessCalls {
	otherwise := v1alpha1.SessionlessNew
	if runtime.ProtocolConfiguration.ServerProtocol == v1alpha1.ProtocolMCP {
		otherwise = v1alpha1.SessionlessAny
	}
	return cmp.Or(runtime.SessionlessCalls, otherwise)
}

// CheckGatewayURL tells what is wrong with the URL of a gateway.
func CheckGatewayURL(given string) error {
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("it must be http or https with a host, and a path at most")
	}
	return nil
}

// InvocationsURL is where a runtime is invoked, at a gateway whose URL is base. A
// runtime is named by its ARN, or by whatever else a gateway knows it by.
func InvocationsURL(base, runtime string) string {
	// AWS's clients escape all of an ARN, its colons too.
	return strings.TrimSuffix(base, "/") + "/runtimes/" + strings.ReplaceAll(url.PathEscape(runtime), ":", "%3A") + "/invocations"
}

// EndpointURL is where an endpoint of a runtime is invoked by those who are told
// nothing but a URL, as A2A's clients are by a card.
func EndpointURL(base, runtime, qualifier string) string {
	to := InvocationsURL(base, runtime) + "/"
	if cmp.Or(qualifier, v1alpha1.DefaultQualifier) != v1alpha1.DefaultQualifier {
		to += "?qualifier=" + url.QueryEscape(qualifier)
	}
	return to
}

// SessionEndpointURL is where the allowed ports of a session are reached, each under its number:
// of the runtime's id, since AgentCore's model gives such a URL 128 characters.
func SessionEndpointURL(base, runtimeID, qualifier, session string) string {
	return strings.TrimSuffix(base, "/") + "/runtimes/" + runtimeID + "/sessions/" + cmp.Or(qualifier, v1alpha1.DefaultQualifier) + "/" + url.PathEscape(session)
}

// reservedPort is AgentCore's, in no range of allowed ports.
const reservedPort = 8443

// AllowsPort tells whether a port of a session's pod is one of those that callers reach.
func AllowsPort(allowed []v1alpha1.AllowedPort, port int32) bool {
	return port != reservedPort && slices.ContainsFunc(allowed, func(a v1alpha1.AllowedPort) bool {
		return a.PortRange == nil && port == a.Port || a.PortRange != nil && a.PortRange.From <= port && port <= a.PortRange.To
	})
}

// CallLimits bound a call.
type CallLimits struct {
	// Request is how long one may take, and Stream how long one whose answer is a
	// stream.
	Request, Stream time.Duration
	// Payload is how many bytes may be asked with, and answered.
	Payload int64
}

// Within are the limits of a runtime that sets its own: they may be lower.
func (l CallLimits) Within(own v1alpha1.RuntimeLimits) CallLimits {
	if own.RequestTimeoutSeconds > 0 {
		l.Request = min(l.Request, seconds(own.RequestTimeoutSeconds))
	}
	if own.StreamTimeoutSeconds > 0 {
		l.Stream = min(l.Stream, seconds(own.StreamTimeoutSeconds))
	}
	if own.MaxPayloadBytes > 0 {
		l.Payload = min(l.Payload, own.MaxPayloadBytes)
	}
	return l
}

// VersionAt is the version that an endpoint of a runtime names; 0 if there is no
// such endpoint. newest is the newest version.
func VersionAt(endpoints []v1alpha1.RuntimeEndpoint, qualifier string, newest int64) int64 {
	if cmp.Or(qualifier, v1alpha1.DefaultQualifier) == v1alpha1.DefaultQualifier {
		return newest
	}
	for _, e := range endpoints {
		if e.Name == qualifier {
			return e.Version
		}
	}
	return 0
}

// NoVersion says why a version of a runtime is not there, and what to do. newest is the
// newest, and kept are those that are there, if that is known.
func NoVersion(number, newest int64, kept []int64) string {
	if number > newest {
		return fmt.Sprintf("version %d has not been made yet, and %d is the newest", number, newest)
	}
	which := "one that is there"
	if len(kept) > 0 {
		which += " (" + strings.Trim(fmt.Sprint(kept), "[]") + ")"
	}
	return fmt.Sprintf("version %d is not there: either it was never recorded, as the runtime was changed again while no operator was running, "+
		"or no endpoint pinned it for ten versions. Pin %s, or apply what it was once more and pin the version that this makes", number, which)
}
