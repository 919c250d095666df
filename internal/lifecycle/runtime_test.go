package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestProtocolOf(t *testing.T) {
	for name, row := range map[string]struct {
		given, want v1alpha1.ProtocolConfiguration
	}{
		"nothing":   {v1alpha1.ProtocolConfiguration{}, v1alpha1.ProtocolConfiguration{ServerProtocol: "HTTP", Port: 8080, Path: "/invocations"}},
		"MCP":       {v1alpha1.ProtocolConfiguration{ServerProtocol: "MCP"}, v1alpha1.ProtocolConfiguration{ServerProtocol: "MCP", Port: 8000, Path: "/mcp"}},
		"A2A":       {v1alpha1.ProtocolConfiguration{ServerProtocol: "A2A"}, v1alpha1.ProtocolConfiguration{ServerProtocol: "A2A", Port: 9000, Path: "/"}},
		"AGUI":      {v1alpha1.ProtocolConfiguration{ServerProtocol: "AGUI"}, v1alpha1.ProtocolConfiguration{ServerProtocol: "AGUI", Port: 8080, Path: "/invocations"}},
		"one's own": {v1alpha1.ProtocolConfiguration{ServerProtocol: "MCP", Port: 8123, Path: "/x"}, v1alpha1.ProtocolConfiguration{ServerProtocol: "MCP", Port: 8123, Path: "/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.ProtocolOf(row.given)).To(Equal(row.want))
		})
	}
}

func TestAllowsPort(t *testing.T) {
	g := NewWithT(t)
	one, some := []v1alpha1.AllowedPort{{Port: 9000}}, []v1alpha1.AllowedPort{{PortRange: &v1alpha1.PortRange{From: 8400, To: 8500}}}
	for port, has := range map[int32][2]bool{8399: {}, 8400: {false, true}, 8443: {}, 8500: {false, true}, 8501: {}, 9000: {true, false}, 0: {}} {
		g.Expect([2]bool{lifecycle.AllowsPort(one, port), lifecycle.AllowsPort(some, port)}).To(Equal(has), "%d", port)
	}
}

func TestSessionlessOf(t *testing.T) {
	for name, row := range map[string]struct {
		protocol    v1alpha1.ServerProtocol
		given, want v1alpha1.SessionlessCalls
	}{
		"nothing":          {"", "", "NewSession"},
		"HTTP":             {"HTTP", "", "NewSession"},
		"A2A":              {"A2A", "", "NewSession"},
		"AGUI":             {"AGUI", "", "NewSession"},
		"MCP":              {"MCP", "", "AnySession"},
		"MCP, as it says":  {"MCP", "NewSession", "NewSession"},
		"HTTP, as it says": {"HTTP", "AnySession", "AnySession"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &v1alpha1.AgentRuntimeSpec{ProtocolConfiguration: v1alpha1.ProtocolConfiguration{ServerProtocol: row.protocol}, SessionlessCalls: row.given}
			NewWithT(t).Expect(lifecycle.SessionlessOf(spec)).To(Equal(row.want))
		})
	}
}

func TestURLsOfRuntimes(t *testing.T) {
	g := NewWithT(t)
	const arn, escaped = "arn:aws:bedrock-agentcore:r:1:runtime/a-b", "arn%3Aaws%3Abedrock-agentcore%3Ar%3A1%3Aruntime%2Fa-b"
	g.Expect(lifecycle.InvocationsURL("http://g", arn)).To(Equal("http://g/runtimes/" + escaped + "/invocations"))
	g.Expect(lifecycle.SessionEndpointURL("https://g:8/p/", "a-1", "", "s/ö")).To(Equal("https://g:8/p/runtimes/a-1/sessions/DEFAULT/s%2F%C3%B6"))
	g.Expect(lifecycle.InvocationsURL("https://g:8/p/", "a/b")).To(Equal("https://g:8/p/runtimes/a%2Fb/invocations"))
	for _, qualifier := range []string{"", "DEFAULT"} {
		g.Expect(lifecycle.EndpointURL("http://g", arn, qualifier)).To(Equal("http://g/runtimes/" + escaped + "/invocations/"))
	}
	for _, good := range []string{"http://g", "https://g:8/p/", "http://[::1]:8080"} {
		g.Expect(lifecycle.CheckGatewayURL(good)).To(Succeed(), good)
	}
	for _, bad := range []string{"", "g", "g:80", "//g", "ftp://g", "http://", "http://:80", "http://a:b@g", "http://g?x", "http://g?", "http://g#x", "http://g\n"} {
		g.Expect(lifecycle.CheckGatewayURL(bad)).To(MatchError(ContainSubstring("http or https with a host")), bad)
	}
	g.Expect(lifecycle.EndpointURL("http://g", arn, "PROD")).To(Equal("http://g/runtimes/" + escaped + "/invocations/?qualifier=PROD"))
}

func TestGovern(t *testing.T) {
	config := func(idle, life int32) *v1alpha1.LifecycleConfiguration {
		return &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: idle, MaxLifetime: life}
	}
	stuck := func(after int32) *v1alpha1.StuckDetection { return &v1alpha1.StuckDetection{AfterSeconds: after} }
	runtime := func(change func(*v1alpha1.ActivationRuntime)) *v1alpha1.ActivationRuntime {
		started := &v1alpha1.ActivationRuntime{
			ProtocolConfiguration: v1alpha1.ProtocolConfiguration{Port: 8000},
			Ping:                  v1alpha1.RuntimePing{IdleClock: v1alpha1.IdleClockObserved, FailureThreshold: 7},
		}
		change(started)
		return started
	}
	ping := v1alpha1.PingSpec{Port: 8000, Check: v1alpha1.PingCheckHTTP, IdleClock: v1alpha1.IdleClockObserved, FailureThreshold: 7}
	for name, row := range map[string]struct {
		own, given *v1alpha1.LifecycleConfiguration
		ownStuck   *v1alpha1.StuckDetection
		stuck      *v1alpha1.StuckDetection
		want       *v1alpha1.LifecycleConfiguration
		wantStuck  *v1alpha1.StuckDetection
	}{
		"nothing":               {want: config(0, 0)},
		"the runtime's":         {given: config(60, 120), stuck: stuck(60), want: config(60, 120), wantStuck: stuck(60)},
		"the session's":         {own: config(70, 140), given: config(60, 120), ownStuck: stuck(99), stuck: stuck(60), want: config(70, 140), wantStuck: stuck(99)},
		"one of each":           {own: config(0, 140), given: config(60, 120), want: config(60, 140)},
		"one of each, the pair": {own: config(70, 0), given: config(0, 120), want: config(70, 120)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			spec := v1alpha1.AgentSessionSpec{
				RuntimeRef: &v1alpha1.RuntimeRef{Name: "a"}, Ping: v1alpha1.PingSpec{Port: 1, FailureThreshold: 15},
				LifecycleConfiguration: row.own, StuckDetection: row.ownStuck,
			}
			started := runtime(func(r *v1alpha1.ActivationRuntime) { r.LifecycleConfiguration, r.StuckDetection = row.given, row.stuck })
			governed := lifecycle.Govern(spec, started)
			g.Expect(governed.Ping).To(Equal(ping))
			g.Expect(governed.LifecycleConfiguration).To(Equal(row.want))
			g.Expect(governed.StuckDetection).To(Equal(row.wantStuck))
			g.Expect(spec.LifecycleConfiguration).To(Equal(row.own), "the spec as it was written stays")
		})
	}
	t.Run("a session with a template", func(t *testing.T) {
		spec := v1alpha1.AgentSessionSpec{Ping: v1alpha1.PingSpec{Port: 1}}
		NewWithT(t).Expect(lifecycle.Govern(spec, runtime(func(*v1alpha1.ActivationRuntime) {}))).To(Equal(spec))
	})
	t.Run("a session that has not started", func(t *testing.T) {
		spec := v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "a"}, LifecycleConfiguration: config(60, 0)}
		NewWithT(t).Expect(lifecycle.Govern(spec, nil)).To(Equal(spec))
	})
}

func TestCallLimits(t *testing.T) {
	g := NewWithT(t)
	gateways := lifecycle.CallLimits{Request: time.Minute, Stream: time.Hour, Payload: 1000}
	g.Expect(gateways.Within(v1alpha1.RuntimeLimits{})).To(Equal(gateways))
	g.Expect(gateways.Within(v1alpha1.RuntimeLimits{RequestTimeoutSeconds: 61, StreamTimeoutSeconds: 3601, MaxPayloadBytes: 1001})).To(Equal(gateways))
	g.Expect(gateways.Within(v1alpha1.RuntimeLimits{RequestTimeoutSeconds: 5, StreamTimeoutSeconds: 7, MaxPayloadBytes: 9})).To(Equal(
		lifecycle.CallLimits{Request: 5 * time.Second, Stream: 7 * time.Second, Payload: 9}))
}

func TestVersionAt(t *testing.T) {
	endpoints := []v1alpha1.RuntimeEndpoint{{Name: "PROD", Version: 3}, {Name: "TEST", Version: 5}}
	for qualifier, want := range map[string]int64{"": 7, "DEFAULT": 7, "PROD": 3, "TEST": 5, "prod": 0, "X": 0} {
		NewWithT(t).Expect(lifecycle.VersionAt(endpoints, qualifier, 7)).To(Equal(want), qualifier)
	}
}

func TestNoVersionSaysWhatToDo(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lifecycle.NoVersion(8, 7, nil)).To(Equal("version 8 has not been made yet, and 7 is the newest"))
	g.Expect(lifecycle.NoVersion(7, 7, nil)).To(And(HavePrefix("version 7 is not there: "), ContainSubstring("Pin one that is there, or apply")))
	g.Expect(lifecycle.NoVersion(3, 7, []int64{5, 7})).To(ContainSubstring("Pin one that is there (5 7), or apply"))
}

func TestWhereAnAgentIsInvoked(t *testing.T) {
	started := func(c v1alpha1.ProtocolConfiguration) v1alpha1.AgentSession {
		return v1alpha1.AgentSession{
			Spec:   v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "shop"}},
			Status: v1alpha1.AgentSessionStatus{Runtime: &v1alpha1.ActivationRuntime{ProtocolConfiguration: lifecycle.ProtocolOf(c)}},
		}
	}
	own := func(p v1alpha1.PingSpec) v1alpha1.AgentSession {
		return v1alpha1.AgentSession{Spec: v1alpha1.AgentSessionSpec{Ping: p}}
	}
	for name, row := range map[string]struct {
		session v1alpha1.AgentSession
		port    int32
		path    string
	}{
		"without a runtime":     {own(v1alpha1.PingSpec{}), 8080, "/invocations"},
		"at a port of its own":  {own(v1alpha1.PingSpec{Port: 9090}), 9090, "/invocations"},
		"an MCP server":         {own(v1alpha1.PingSpec{Port: 8000, Check: v1alpha1.PingCheckMCP}), 8000, "/mcp"},
		"of a runtime":          {started(v1alpha1.ProtocolConfiguration{}), 8080, "/invocations"},
		"of a runtime of MCP":   {started(v1alpha1.ProtocolConfiguration{ServerProtocol: v1alpha1.ProtocolMCP}), 8000, "/mcp"},
		"of a runtime's choice": {started(v1alpha1.ProtocolConfiguration{Port: 1234, Path: "/chat"}), 1234, "/chat"},
	} {
		g := NewWithT(t)
		g.Expect(lifecycle.AgentPort(&row.session)).To(Equal(row.port), name)
		g.Expect(lifecycle.AgentPath(&row.session)).To(Equal(row.path), name)
	}
}
