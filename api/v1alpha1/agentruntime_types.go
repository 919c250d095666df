package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelRuntime is on every AgentSession that the gateway makes, on every pod of
// a session with spec.runtimeRef, and on every ControllerRevision of a version,
// with the runtime's name as its value.
const LabelRuntime = "runtime.agentsession.dev/runtime"

// LabelVersion is on every pod of a session with spec.runtimeRef, and on every
// ControllerRevision of a version, with the version as its value.
const LabelVersion = "runtime.agentsession.dev/version"

// AnnotationDigest is on every ControllerRevision of a version, with the SHA-256 of what the
// version is apart from its endpoints.
const AnnotationDigest = "runtime.agentsession.dev/digest"

// LabelTrial is on the AgentSession that tries a version of a runtime, with the version as
// its value. No call gets such a session.
const LabelTrial = "runtime.agentsession.dev/trial"

// DefaultQualifier is the endpoint that every runtime has: it follows the newest
// version, or the newest that is valid (spec.validation).
const DefaultQualifier = "DEFAULT"

// AgentRuntime is an agent that sessions are made of: what its pods look like,
// how it is spoken to, and how long its sessions last. Every change of spec is a
// new version, as on AWS Bedrock AgentCore. A session keeps the version that its
// activation started with; its next activation gets the one that its endpoint
// names then.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=agr,categories=agents
// +kubebuilder:printcolumn:name="Id",type=string,JSONPath=`.status.agentRuntimeId`
// +kubebuilder:printcolumn:name="Version",type=integer,JSONPath=`.status.agentRuntimeVersion`
// +kubebuilder:printcolumn:name="Protocol",type=string,JSONPath=`.spec.protocolConfiguration.serverProtocol`
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.sessions.active`
// +kubebuilder:printcolumn:name="Idle",type=integer,JSONPath=`.status.sessions.idle`
// +kubebuilder:printcolumn:name="Stopped",type=integer,JSONPath=`.status.sessions.stopped`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name must have 52 characters at most: it is a label of the sessions' pods"
type AgentRuntime struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the agent. Every change of it is a new version.
	// +required
	Spec AgentRuntimeSpec `json:"spec"`
	// Status is what the operator made of it.
	// +optional
	Status AgentRuntimeStatus `json:"status,omitempty"`

	// Unreadable is why the object could not be read as a whole, and empty if it could.
	// Then spec.template, and maybe more, is missing. No client may update such an object
	// from what it read; the API server refuses one without a template.
	Unreadable string `json:"-"`
}

// AgentRuntimeList is a list of runtimes.
//
// +kubebuilder:object:root=true
type AgentRuntimeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AgentRuntime `json:"items"`
}

// AgentRuntimeSpec is an agent that sessions are made of.
//
// +kubebuilder:validation:XValidation:rule="has(self.authorizerConfiguration) || !has(self.requestHeaderConfiguration) || !has(self.requestHeaderConfiguration.requestHeaderAllowlist) || !self.requestHeaderConfiguration.requestHeaderAllowlist.exists(h, h.lowerAscii() == 'authorization')",message="Authorization can be allowed with an authorizerConfiguration only: without one it is the caller's credential for the gateway, which agents do not get",fieldPath=".requestHeaderConfiguration.requestHeaderAllowlist"
// +kubebuilder:validation:XValidation:rule="!has(self.allowedOrigins) || has(self.authorizerConfiguration)",message="allowedOrigins needs an authorizerConfiguration: pages call with tokens of its issuer",fieldPath=".allowedOrigins"
// +kubebuilder:validation:XValidation:rule="!has(self.hooksConfiguration) || has(self.validation) && self.validation == 'Start'",message="hooksConfiguration needs validation Start: the hook is sent to the session that tries a version",fieldPath=".hooksConfiguration"
// +kubebuilder:validation:XValidation:rule="!has(self.hooksConfiguration) || !has(self.hooksConfiguration.build.warmup.action.httpPost.port) || self.hooksConfiguration.build.warmup.action.httpPost.port == (has(self.protocolConfiguration.port) ? self.protocolConfiguration.port : self.protocolConfiguration.serverProtocol == 'MCP' ? 8000 : self.protocolConfiguration.serverProtocol == 'A2A' ? 9000 : 8080)",message="port of a hook must be the agent's, as protocolConfiguration has it",fieldPath=".hooksConfiguration"
type AgentRuntimeSpec struct {
	// template of the sessions' pods, as an AgentSession's spec.template.
	// +required
	Template corev1.PodTemplateSpec `json:"template"`

	// filesystemConfigurations: AgentCore's session storage, one at most (as there, where
	// filesystems of other kinds may stand beside it): a folder that outlives the session's
	// computes. It is empty again in the first activation of another version, and 14 days
	// after the end of the session's last compute, as on AgentCore.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1
	FilesystemConfigurations []FilesystemConfiguration `json:"filesystemConfigurations,omitempty"`

	// protocolConfiguration says how the agent is spoken to.
	// +optional
	// +kubebuilder:default={}
	ProtocolConfiguration ProtocolConfiguration `json:"protocolConfiguration,omitempty"`

	// lifecycleConfiguration says when computes are taken away. A session's own
	// values win over it, each for itself. A session keeps what its activation
	// started with.
	// +optional
	LifecycleConfiguration *LifecycleConfiguration `json:"lifecycleConfiguration,omitempty"`

	// ping says how agents' answers are read.
	// +optional
	// +kubebuilder:default={}
	Ping RuntimePing `json:"ping,omitempty"`

	// provisioningTimeoutSeconds is how long after its creation the pod may take
	// until the agent's container has started: to be scheduled, perhaps onto a node
	// that an autoscaler has to make, and to pull its images. A pod that cannot be created
	// may take as long from the first try on. 60 to 7200; 600 if
	// absent. From then on the agent has AgentCore's 120 seconds to
	// answer its first ping. (AgentCore has pulled an image before any session of it
	// starts, and has no such limit.)
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=7200
	ProvisioningTimeoutSeconds int32 `json:"provisioningTimeoutSeconds,omitempty"`

	// stuckDetection of sessions that have none of their own.
	// +optional
	StuckDetection *StuckDetection `json:"stuckDetection,omitempty"`

	// maxSessions is how many sessions may have a compute at once. A call for one
	// more is answered 402 ServiceQuotaExceededException. No limit if absent. Each
	// gateway counts for itself: n of them may together start n-1 too many, and more
	// while what the others did is seen late. A session that cannot start does not
	// count.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxSessions *int32 `json:"maxSessions,omitempty"`

	// sessionTTLSecondsAfterStopped is spec.ttlSecondsAfterStopped of the sessions
	// that the gateway makes, 0 to 31,536,000 (a year). If absent a day, since callers
	// without a session id leave one behind each, and 14 days with session storage, which
	// goes with its session. A call with the id of a session
	// that is gone makes it anew, which is what waking it comes to, but for storage.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	SessionTTLSecondsAfterStopped *int32 `json:"sessionTTLSecondsAfterStopped,omitempty"`

	// requestHeaderConfiguration says which of a caller's headers reach the agent,
	// beside AgentCore's own.
	// +optional
	RequestHeaderConfiguration *RequestHeaderConfiguration `json:"requestHeaderConfiguration,omitempty"`

	// limits of calls, where they are to be lower than the gateway's own. Those of
	// the newest version are in force for all sessions.
	// +optional
	Limits RuntimeLimits `json:"limits,omitzero"`

	// onDisconnect says what becomes of a call whose caller hangs up before the answer
	// is there: Finish (the agent works on to the end, within the call's limit, and the
	// session is in use meanwhile) or Cancel (the agent's connection is closed).
	// Streams and WebSockets are always cancelled, and so are calls beyond 16 of one
	// session whose callers have hung up. The value of the newest version is
	// in force for all sessions.
	// +optional
	// +kubebuilder:default=Finish
	OnDisconnect OnDisconnect `json:"onDisconnect,omitempty"`

	// sessionlessCalls says which session an invocation gets that names none:
	// NewSession (one of its own, as on AgentCore) or AnySession (one that is free, as
	// with the header X-AgentSession-Routing: any). Absent: AnySession for the protocol
	// MCP, whose clients of 2026-07-28 never name a session, and NewSession for all
	// others. An MCP client that sends initialize gets a session of its own in any case:
	// it goes on in that session. The value of the newest version is in force.
	// +optional
	SessionlessCalls SessionlessCalls `json:"sessionlessCalls,omitempty"`

	// authorizerConfiguration says who may call the runtime instead of those whom
	// the gateway knows. The one of the newest version is in force for all sessions.
	// +optional
	AuthorizerConfiguration *AuthorizerConfiguration `json:"authorizerConfiguration,omitempty"`

	// allowedOrigins are the origins of web pages that may call the runtime from a browser
	// (CORS), 1 to 20: https://HOST, https://HOST:PORT, http://localhost or
	// http://localhost:PORT, as browsers write them. The pages call with tokens of
	// authorizerConfiguration, which is needed. If it is given, WebSockets of other pages
	// are refused. Absent: no page may read an answer, and a page of any origin may open a
	// WebSocket with a token. The list of the newest version is in force.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	AllowedOrigins []Origin `json:"allowedOrigins,omitempty"`

	// allowedPorts are ports of the sessions' pods that callers reach by the session's
	// endpoint, 1 to 5 ports or ranges that do not overlap, from 8000 to 12000 without 8443: HTTP
	// and WebSockets to servers that listen on 0.0.0.0, with the right to invoke.
	// The endpoint's URL is in the header
	// X-Amzn-Bedrock-AgentCore-Runtime-Session-Endpoint-Url of an invocation's answer, and the
	// port follows it, as in URL/8081/path. The agent's own port is reached by invocations
	// only. Such requests keep the session in use, and start none. The list of the newest version
	// is in force.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, (has(a.port) ? a.port : a.portRange.from) <= (has(b.port) ? b.port : b.portRange.to) && (has(b.port) ? b.port : b.portRange.from) <= (has(a.port) ? a.port : a.portRange.to)))",message="ports and ranges must not overlap"
	AllowedPorts []AllowedPort `json:"allowedPorts,omitempty"`

	// endpoints pin versions under names that callers may use as a qualifier, at
	// most ten. DEFAULT is always there and follows the newest version.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10
	Endpoints []RuntimeEndpoint `json:"endpoints,omitempty"`

	// validation says what a new version has to show before the endpoint DEFAULT leads to
	// it: None, or Start: one session of it is started, by all rules and limits of starts,
	// and is taken away again when its agent was healthy. Until then, and for good if it never
	// was, DEFAULT stays with the last version that was valid; endpoints that pin a version
	// start that one all the same. Each version is tried once: a version that has failed is
	// not tried again, and one with the same content is another. None if absent.
	// (AgentCore's since 2026-09, on which its control plane API does it always.)
	// +optional
	Validation Validation `json:"validation,omitempty"`

	// hooksConfiguration: AgentCore's warm-up, which goes with validation Start only: the
	// request that the agent of the session that tries a version is sent when it is healthy.
	// It has 120 s to answer with a status of 2xx, or the version has failed. AgentCore sends it before it
	// takes the snapshot that sessions start from; here there are no snapshots, and sessions start
	// without it.
	// +optional
	HooksConfiguration *HooksConfiguration `json:"hooksConfiguration,omitempty"`

	// agentCore is what AgentCore's control plane API was given for this version that has no
	// other place here. It is given back, and has no effect on sessions.
	// +optional
	AgentCore *AgentCoreMembers `json:"agentCore,omitempty"`
}

// Origin of web pages.
//
// +kubebuilder:validation:Pattern=`^(https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?|http://localhost)(:[1-9][0-9]{0,4})?$`
// +kubebuilder:validation:MaxLength=267
// +kubebuilder:validation:XValidation:rule="!(self.startsWith('https://') && self.endsWith(':443')) && self != 'http://localhost:80'",message="browsers leave the port out of an origin if it is the scheme's own"
type Origin string

// OnDisconnect is what becomes of a call whose caller hangs up.
//
// +kubebuilder:validation:Enum=Finish;Cancel
type OnDisconnect string

const (
	// OnDisconnectFinish lets the agent work on to the end of the call.
	OnDisconnectFinish OnDisconnect = "Finish"
	// OnDisconnectCancel closes the agent's connection.
	OnDisconnectCancel OnDisconnect = "Cancel"
)

// SessionlessCalls is which session an invocation gets that names none.
//
// +kubebuilder:validation:Enum=NewSession;AnySession
type SessionlessCalls string

const (
	// SessionlessNew is a session of its own.
	SessionlessNew SessionlessCalls = "NewSession"
	// SessionlessAny is a session that is free.
	SessionlessAny SessionlessCalls = "AnySession"
)

// ServerProtocol is what an agent speaks, in AgentCore's words.
//
// +kubebuilder:validation:Enum=HTTP;MCP;A2A;AGUI
type ServerProtocol string

const (
	// ProtocolHTTP is POST /invocations and /ws on port 8080.
	ProtocolHTTP ServerProtocol = "HTTP"
	// ProtocolMCP is POST /mcp on port 8000.
	ProtocolMCP ServerProtocol = "MCP"
	// ProtocolA2A is POST / on port 9000.
	ProtocolA2A ServerProtocol = "A2A"
	// ProtocolAGUI is POST /invocations and /ws on port 8080.
	ProtocolAGUI ServerProtocol = "AGUI"
)

// ProtocolConfiguration is AgentCore's.
type ProtocolConfiguration struct {
	// serverProtocol is HTTP, MCP, A2A or AGUI. The agent answers pings on the same
	// port: the JSON-RPC request "ping" if it is MCP, else GET /ping (see ping.check).
	// +optional
	// +kubebuilder:default=HTTP
	ServerProtocol ServerProtocol `json:"serverProtocol,omitempty"`
	// port of the agent, 1 to 65535. Absent: the protocol's, which is 8080 for HTTP
	// and AGUI, 8000 for MCP, 9000 for A2A. (AgentCore allows 8000 to 12000.)
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// path of invocations. Absent: the protocol's, which is /invocations for HTTP
	// and AGUI, /mcp for MCP, / for A2A.
	// +optional
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9._~/-]*$`
	// +kubebuilder:validation:MaxLength=256
	Path string `json:"path,omitempty"`
}

// RequestHeaderConfiguration is AgentCore's.
type RequestHeaderConfiguration struct {
	// requestHeaderAllowlist names up to 20 headers, in any case. Names that begin
	// with X-Amz- or X-Amzn- and those that HTTP, browsers and proxies use
	// themselves are never passed on; those that begin with
	// X-Amzn-Bedrock-AgentCore-Runtime-Custom- always are. A call with a value of
	// more than 4096 bytes is refused. Authorization needs authorizerConfiguration.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z][A-Za-z0-9_-]{0,255}$`
	RequestHeaderAllowlist []string `json:"requestHeaderAllowlist,omitempty"`
}

// RuntimeLimits are those of calls. What is absent is the gateway's own, whose
// defaults are AgentCore's (developer guide, "Quotas"); what is higher than that
// does not count.
type RuntimeLimits struct {
	// requestTimeoutSeconds is how long an invocation may take, with the start of its
	// session, 1 to 28800; AgentCore's is 900.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=28800
	RequestTimeoutSeconds int32 `json:"requestTimeoutSeconds,omitempty"`
	// streamTimeoutSeconds is how long a stream or a WebSocket may last, 1 to 28800;
	// AgentCore's is 3600.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=28800
	StreamTimeoutSeconds int32 `json:"streamTimeoutSeconds,omitempty"`
	// maxPayloadBytes is how large a request's payload may be, and an answer that
	// says its length (one that does not is a stream), 1 to 100,000,000, which is
	// AgentCore's.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxPayloadBytes int64 `json:"maxPayloadBytes,omitempty"`
}

// RuntimePing says how agents' answers to pings are read: spec.ping of an
// AgentSession without its port, which is the protocol's.
type RuntimePing struct {
	// check is how the agent is asked: Auto (HTTP, or MCP for a runtime whose
	// serverProtocol is MCP), HTTP (GET /ping) or MCP (the JSON-RPC request "ping" as
	// POST to protocolConfiguration.path; 2xx is a good answer, and so is 400 with a JSON-RPC body, which
	// servers with state give to whom has no session).
	// +optional
	// +kubebuilder:default=Auto
	Check PingCheck `json:"check,omitempty"`
	// answers to GET /ping that count as good: Tolerant (status code 200, whatever
	// the body says but "Unhealthy") or Strict (only a JSON object whose status is
	// Healthy or HealthyBusy).
	// +optional
	// +kubebuilder:default=Tolerant
	Answers PingAnswers `json:"answers,omitempty"`
	// idleClock is AgentCore, AgentCoreStrict or Observed.
	// +optional
	// +kubebuilder:default=AgentCore
	IdleClock IdleClock `json:"idleClock,omitempty"`
	// failureThreshold is how many pings in a row must fail before a compute is
	// stopped as Unhealthy, 4 to 1800; one ping is made every 2 seconds.
	// Timeouts and refused connections do not count while an invocation through the
	// gateway is in flight, nor for 15 minutes after a HealthyBusy: the agent may have
	// no time for them.
	// +optional
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=4
	// +kubebuilder:validation:Maximum=1800
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// RuntimeEndpoint pins a version under a name.
//
// +kubebuilder:validation:XValidation:rule="self.name != 'DEFAULT'",message="the endpoint DEFAULT is always there and follows the newest version",fieldPath=".name"
type RuntimeEndpoint struct {
	// name of the endpoint, a letter and up to 47 letters, digits and underscores.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`
	Name string `json:"name"`
	// version that it pins.
	// +required
	// +kubebuilder:validation:Minimum=1
	Version int64 `json:"version"`
}

// RuntimeRef names an AgentRuntime and one of its endpoints.
type RuntimeRef struct {
	// name of an AgentRuntime in the session's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	Name string `json:"name"`
	// qualifier is the endpoint whose version an activation starts with.
	// +optional
	// +kubebuilder:default=DEFAULT
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`
	Qualifier string `json:"qualifier,omitempty"`
}

// ActivationRuntime is what an activation started with.
type ActivationRuntime struct {
	// agentRuntimeVersion is the version of the runtime.
	// +required
	AgentRuntimeVersion int64 `json:"agentRuntimeVersion"`
	// filesystemConfigurations of that version.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1
	FilesystemConfigurations []FilesystemConfiguration `json:"filesystemConfigurations,omitempty"`
	// protocolConfiguration with the port and the path in force.
	// +required
	ProtocolConfiguration ProtocolConfiguration `json:"protocolConfiguration"`
	// lifecycleConfiguration of that version. A session's own values win over it.
	// +optional
	LifecycleConfiguration *LifecycleConfiguration `json:"lifecycleConfiguration,omitempty"`
	// ping of that version.
	// +required
	Ping RuntimePing `json:"ping"`
	// provisioningTimeoutSeconds of that version. A session's own wins over it.
	// +optional
	ProvisioningTimeoutSeconds int32 `json:"provisioningTimeoutSeconds,omitempty"`
	// requestHeaderConfiguration of that version.
	// +optional
	RequestHeaderConfiguration *RequestHeaderConfiguration `json:"requestHeaderConfiguration,omitempty"`
	// stuckDetection of that version, for a session without one.
	// +optional
	StuckDetection *StuckDetection `json:"stuckDetection,omitempty"`
}
