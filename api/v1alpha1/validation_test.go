package v1alpha1_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestBadInputIsRefusedWithASentence(t *testing.T) {
	id := strings.Repeat("i", 33)
	for name, row := range map[string]struct {
		spec string
		says []string // the field, and the rule
	}{
		"idle too short":                {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 59}`, []string{"spec.lifecycleConfiguration.idleRuntimeSessionTimeout", "59", "greater than or equal to 60"}},
		"idle too long":                 {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 28801}`, []string{"spec.lifecycleConfiguration.idleRuntimeSessionTimeout", "28801", "less than or equal to 28800"}},
		"max too short":                 {`lifecycleConfiguration: {maxLifetime: 59}`, []string{"spec.lifecycleConfiguration.maxLifetime", "59", "greater than or equal to 60"}},
		"max too long":                  {`lifecycleConfiguration: {maxLifetime: 28801}`, []string{"spec.lifecycleConfiguration.maxLifetime", "28801", "less than or equal to 28800"}},
		"idle > max":                    {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 601, maxLifetime: 600}`, []string{"spec.lifecycleConfiguration.idleRuntimeSessionTimeout", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime"}},
		"threshold too small":           {`ping: {failureThreshold: 3}`, []string{"spec.ping.failureThreshold", "3", "greater than or equal to 4"}},
		"threshold too large":           {`ping: {failureThreshold: 1801}`, []string{"spec.ping.failureThreshold", "less than or equal to 1800"}},
		"port 0":                        {`ping: {port: 0}`, []string{"spec.ping.port", "greater than or equal to 1"}},
		"port too large":                {`ping: {port: 65536}`, []string{"spec.ping.port", "less than or equal to 65535"}},
		"unknown clock":                 {`ping: {idleClock: Sundial}`, []string{"spec.ping.idleClock", "Sundial", `"AgentCore", "AgentCoreStrict", "Observed"`}},
		"stuck too early":               {`stuckDetection: {afterSeconds: 59}`, []string{"spec.stuckDetection.afterSeconds", "greater than or equal to 60"}},
		"stuck too late":                {`stuckDetection: {afterSeconds: 28801}`, []string{"spec.stuckDetection.afterSeconds", "less than or equal to 28800"}},
		"stuck without a time":          {`stuckDetection: {action: Stop}`, []string{"spec.stuckDetection.afterSeconds", "Required"}},
		"unknown action":                {`stuckDetection: {afterSeconds: 60, action: Kill}`, []string{"spec.stuckDetection.action", "Kill", `"Report", "Stop"`}},
		"unknown wish":                  {`desiredState: Paused`, []string{"spec.desiredState", "Paused", `"Running", "Stopped"`}},
		"activation 0":                  {`activation: 0`, []string{"spec.activation", "greater than or equal to 1"}},
		"activation too large":          {`activation: 1000000001`, []string{"spec.activation", "less than or equal to 1000000000"}},
		"unknown check":                 {`ping: {check: TCP}`, []string{"spec.ping.check", "TCP", `"Auto", "HTTP", "MCP"`}},
		"unknown answers":               {`ping: {answers: Any}`, []string{"spec.ping.answers", "Any", `"Tolerant", "Strict"`}},
		"provisioning too short":        {`provisioningTimeoutSeconds: 59`, []string{"spec.provisioningTimeoutSeconds", "greater than or equal to 60"}},
		"provisioning too long":         {`provisioningTimeoutSeconds: 7201`, []string{"spec.provisioningTimeoutSeconds", "less than or equal to 7200"}},
		"ttl below 0":                   {`ttlSecondsAfterStopped: -1`, []string{"spec.ttlSecondsAfterStopped", "greater than or equal to 0"}},
		"ttl over a year":               {`ttlSecondsAfterStopped: 31536001`, []string{"spec.ttlSecondsAfterStopped", "less than or equal to 31536000"}},
		"id too short":                  {`runtimeSessionId: ` + id[:32], []string{"spec.runtimeSessionId", "33"}},
		"id too long":                   {`runtimeSessionId: ` + strings.Repeat("i", 257), []string{"spec.runtimeSessionId", "256"}},
		"no template":                   {`template: REMOVE`, []string{"spec must have either template or runtimeRef"}},
		"a template and a runtime":      {`runtimeRef: {name: a}`, []string{"spec must have either template or runtimeRef"}},
		"a runtime without a name":      {`{template: REMOVE, runtimeRef: {qualifier: PROD}}`, []string{"spec.runtimeRef.name", "Required"}},
		"a qualifier that is none":      {`{template: REMOVE, runtimeRef: {name: a, qualifier: a-b}}`, []string{"spec.runtimeRef.qualifier", "a-b"}},
		"a template without spec":       {`template: {metadata: {labels: {a: b}}}`, []string{"spec.template.spec", "Required"}},
		"a template without containers": {`template: {spec: {containers: []}}`, []string{"spec.template.spec.containers", "at least 1 items"}},
		"absent containers":             {`template: {spec: {}}`, []string{"spec.template.spec.containers", "Required"}},
		"containers that are null":      {`template: {spec: {containers: null}}`, []string{"spec.template.spec.containers", "Required"}},
		"host network":                  {`template: {spec: {hostNetwork: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostNetwork must not be true"}},
		"host PIDs":                     {`template: {spec: {hostPID: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostPID must not be true"}},
		"host IPC":                      {`template: {spec: {hostIPC: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostIPC must not be true"}},
		"restarts":                      {`template: {spec: {restartPolicy: Always, containers: [{name: a, image: a}]}}`, []string{"template.spec.restartPolicy must be Never or absent"}},
		"restarts of a failed agent":    {`template: {spec: {restartPolicy: OnFailure, containers: [{name: a, image: a}]}}`, []string{"template.spec.restartPolicy must be Never or absent"}},
		"a grace of a year":             {`template: {spec: {terminationGracePeriodSeconds: 31536000, containers: [{name: a, image: a}]}}`, []string{"template.spec.terminationGracePeriodSeconds must be 3600 at most"}},
		"a fraction of a second":        {`ttlSecondsAfterStopped: 1.5`, []string{"spec.ttlSecondsAfterStopped", "type integer"}},
		"an empty id":                   {`runtimeSessionId: ""`, []string{"spec.runtimeSessionId", "33"}},
		"storage elsewhere":             {`filesystemConfigurations: [{sessionStorage: {mountPath: /srv/data}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "/srv/data", "^/mnt/"}},
		"storage two folders deep":      {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a/b}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "/mnt/a/b"}},
		"storage that leads up":         {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/..}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "one folder below /mnt"}},
		"storage nowhere":               {`filesystemConfigurations: [{sessionStorage: {}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "Required"}},
		"storage of no kind":            {`filesystemConfigurations: [{}]`, []string{"spec.filesystemConfigurations[0].sessionStorage", "Required"}},
		"storage of another kind":       {`filesystemConfigurations: [{efsAccessPoint: {mountPath: /mnt/a}}]`, []string{`unknown field "spec.filesystemConfigurations[0].efsAccessPoint"`}},
		"storage twice":                 {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a}}, {sessionStorage: {mountPath: /mnt/b}}]`, []string{"spec.filesystemConfigurations", "must have at most 1 item"}},
		"a path that is too long":       {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/` + strings.Repeat("a", 196) + `}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "200"}},
		"storage of no size":            {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a, size: 0}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.size", "size must be more than 0"}},
		"storage of less than no size":  {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a, size: -1Gi}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.size", "size must be more than 0"}},
		"a size that is none":           {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a, size: large}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.size", "large"}},
		"a class that is none":          {`filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a, storageClassName: A_B}}]`, []string{"spec.filesystemConfigurations[0].sessionStorage.storageClassName", "A_B"}},
		"storage beside a runtime":      {`{template: REMOVE, runtimeRef: {name: a}, filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a}}]}`, []string{"spec.filesystemConfigurations", "are its runtime's"}},
		"a misspelt field":              {`idleTimeout: 60`, []string{`unknown field "spec.idleTimeout"`}},
		"a misspelt pod field":          {`template: {spec: {container: []}}`, []string{`unknown field "spec.template.spec.container"`}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := api.Create(t.Context(), manifest(t, row.spec), client.FieldValidation(metav1.FieldValidationStrict))
			g.Expect(err).To(HaveOccurred())
			for _, words := range row.says {
				g.Expect(err.Error()).To(ContainSubstring(words))
			}
		})
	}

	t.Run("a name that no pod can have", func(t *testing.T) {
		object := manifest(t, "{}")
		object.SetGenerateName("")
		object.SetName(strings.Repeat("n", 53))
		err := api.Create(t.Context(), object)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("metadata.name must have 52 characters at most")))
	})
}

func TestChangesThatAreRefused(t *testing.T) {
	id := strings.Repeat("i", 33)
	for name, row := range map[string]struct{ before, after, says string }{
		"another id":                             {"runtimeSessionId: " + id, "runtimeSessionId: j" + id, "runtimeSessionId is immutable"},
		"an id added":                            {"{}", "runtimeSessionId: " + id, "runtimeSessionId is immutable: it can be neither added nor removed"},
		"an id removed":                          {"runtimeSessionId: " + id, "runtimeSessionId: REMOVE", "runtimeSessionId is immutable: it can be neither added nor removed"},
		"host network later":                     {"{}", "template: {spec: {hostNetwork: true, containers: [{name: agent, image: agent}]}}", "template.spec.hostNetwork must not be true"},
		"another port":                           {"ping: {port: 8080}", "ping: {port: 8081}", "ping.port is immutable"},
		"a port other than the default, removed": {"ping: {port: 8081}", "ping: REMOVE", "ping.port is immutable"},
		"idle raised over max":                   {"lifecycleConfiguration: {maxLifetime: 600}", "lifecycleConfiguration: {idleRuntimeSessionTimeout: 700, maxLifetime: 600}", "must be less than or equal to maxLifetime"},
		"containers removed":                     {"{}", "template: {spec: {containers: []}}", "should have at least 1 items"},
		"another runtime":                        {"{template: REMOVE, runtimeRef: {name: a}}", "{template: REMOVE, runtimeRef: {name: b}}", "runtimeRef is immutable"},
		"another endpoint":                       {"{template: REMOVE, runtimeRef: {name: a}}", "{template: REMOVE, runtimeRef: {name: a, qualifier: PROD}}", "runtimeRef is immutable"},
		"a template for a runtime":               {"{}", "{template: REMOVE, runtimeRef: {name: a}}", "runtimeRef is immutable: it can be neither added nor removed"},
		"a lower activation":                     {"activation: 3", "activation: 2", "activation can only grow"},
		"no activation":                          {"activation: 3", "activation: REMOVE", "activation can only grow"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := manifest(t, row.before)
			g.Expect(api.Create(t.Context(), object)).To(Succeed())
			change(t, object, row.after)
			g.Expect(api.Update(t.Context(), object)).To(MatchError(And(ContainSubstring("spec"), ContainSubstring(row.says))))
		})
	}
}

func TestGoodInputIsTaken(t *testing.T) {
	for _, spec := range []string{
		"{}",
		"lifecycleConfiguration: null",
		"lifecycleConfiguration: {maxLifetime: 600}",
		"lifecycleConfiguration: {}",
		"lifecycleConfiguration: {maxLifetime: 60}",
		"lifecycleConfiguration: {idleRuntimeSessionTimeout: 28800}",
		"lifecycleConfiguration: {idleRuntimeSessionTimeout: 60, maxLifetime: 60}",
		"lifecycleConfiguration: {idleRuntimeSessionTimeout: 28800, maxLifetime: 28800}",
		"ping: {port: 1, failureThreshold: 4, idleClock: Observed}",
		"ping: {port: 65535, failureThreshold: 1800, idleClock: AgentCoreStrict}",
		"stuckDetection: {afterSeconds: 60}",
		"stuckDetection: {afterSeconds: 28800, action: Stop}",
		"activation: 1",
		"desiredState: Stopped",
		"ttlSecondsAfterStopped: 0",
		"ttlSecondsAfterStopped: 31536000",
		"{template: REMOVE, runtimeRef: {name: a}}",
		"{template: REMOVE, runtimeRef: {name: a, qualifier: PROD}}",
		"runtimeSessionId: " + strings.Repeat("i", 33),
		"runtimeSessionId: " + strings.Repeat("i", 256),
		"filesystemConfigurations: []",
		"filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/a}}]",
		"filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/A._-9/, size: 1, storageClassName: fast.example}}]",
		"filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/" + strings.Repeat("a", 195) + ", size: 500Mi}}]",
		"template: {spec: {restartPolicy: Never, hostNetwork: false, containers: [{name: a, image: a}]}}",
		"template: {spec: {terminationGracePeriodSeconds: 3600, containers: [{name: a, image: a}]}}",
	} {
		t.Run(spec, func(t *testing.T) {
			NewWithT(t).Expect(api.Create(t.Context(), manifest(t, spec), client.FieldValidation(metav1.FieldValidationStrict))).To(Succeed())
		})
	}

	t.Run("the longest name", func(t *testing.T) {
		object := manifest(t, "{}")
		object.SetGenerateName("")
		object.SetName(strings.Repeat("n", 52))
		NewWithT(t).Expect(api.Create(t.Context(), object, client.DryRunAll)).To(Succeed())
	})
}

func TestRuntimesThatAreRefused(t *testing.T) {
	const template = "template: {spec: {containers: [{name: a, image: a}]}}"
	authorizer := func(members string) string {
		return "{" + template + ", authorizerConfiguration: {customJWTAuthorizer: {" + members + "}}}"
	}
	pages := func(origins string) string {
		return "{" + template + ", allowedOrigins: [" + origins + "], authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'https://a/.well-known/openid-configuration', allowedClients: [a]}}}"
	}
	claim := func(kind, operator, value string) string {
		return authorizer("discoveryUrl: 'https://a/.well-known/openid-configuration', customClaims: [{inboundTokenClaimName: 'https://a/team', inboundTokenClaimValueType: " + kind +
			", authorizingClaimMatchValue: {claimMatchOperator: " + operator + ", claimMatchValue: " + value + "}}]")
	}
	for name, row := range map[string]struct {
		spec string
		says []string // empty: it is taken
	}{
		"the smallest":             {spec: "{" + template + "}"},
		"all of it":                {spec: "{" + template + ", protocolConfiguration: {serverProtocol: MCP, port: 8000, path: /mcp}, lifecycleConfiguration: {maxLifetime: 600}, ping: {idleClock: Observed, failureThreshold: 4}, stuckDetection: {afterSeconds: 60}, endpoints: [{name: PROD, version: 1}]}"},
		"no template":              {"{}", []string{"spec.template", "Required"}},
		"no containers":            {"{template: {spec: {containers: []}}}", []string{"spec.template.spec.containers", "at least 1 items"}},
		"host network":             {"{template: {spec: {hostNetwork: true, containers: [{name: a, image: a}]}}}", []string{"template.spec.hostNetwork must not be true"}},
		"an unknown protocol":      {"{" + template + ", protocolConfiguration: {serverProtocol: GRPC}}", []string{"spec.protocolConfiguration.serverProtocol", "GRPC", `"HTTP", "MCP", "A2A", "AGUI"`}},
		"a path that is none":      {"{" + template + ", protocolConfiguration: {path: mcp}}", []string{"spec.protocolConfiguration.path", "mcp"}},
		"a path with a query":      {"{" + template + ", protocolConfiguration: {path: '/a?b'}}", []string{"spec.protocolConfiguration.path"}},
		"idle > max":               {"{" + template + ", lifecycleConfiguration: {idleRuntimeSessionTimeout: 601, maxLifetime: 600}}", []string{"idleRuntimeSessionTimeout must be less than or equal to maxLifetime"}},
		"the endpoint of all":      {"{" + template + ", endpoints: [{name: DEFAULT, version: 1}]}", []string{"spec.endpoints[0].name", "DEFAULT is always there"}},
		"an endpoint twice":        {"{" + template + ", endpoints: [{name: A, version: 1}, {name: A, version: 2}]}", []string{"spec.endpoints[1]", "Duplicate"}},
		"an endpoint of no name":   {"{" + template + ", endpoints: [{name: a-b, version: 1}]}", []string{"spec.endpoints[0].name", "a-b"}},
		"an issuer":                {spec: "{" + template + ", authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'https://a/.well-known/openid-configuration', allowedClients: [a]}}}"},
		"an issuer and its token":  {spec: "{" + template + ", requestHeaderConfiguration: {requestHeaderAllowlist: [authorization]}, authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'https://a/.well-known/openid-configuration', allowedClients: [a]}}}"},
		"a token of no issuer":     {"{" + template + ", requestHeaderConfiguration: {requestHeaderAllowlist: [X-A, authorization]}}", []string{"spec.requestHeaderConfiguration.requestHeaderAllowlist", "Authorization can be allowed with an authorizerConfiguration only"}},
		"an issuer without TLS":    {"{" + template + ", authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'http://a/.well-known/openid-configuration', allowedClients: [a]}}}", []string{"customJWTAuthorizer.discoveryUrl", "http://a/"}},
		"an issuer for all":        {"{" + template + ", authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'https://a/.well-known/openid-configuration'}}}", []string{"one of allowedAudience, allowedClients, allowedScopes and customClaims is needed"}},
		"an issuer for nobody":     {"{" + template + ", authorizerConfiguration: {customJWTAuthorizer: {discoveryUrl: 'https://a/.well-known/openid-configuration', allowedClients: []}}}", []string{"customJWTAuthorizer.allowedClients", "at least 1 items"}},
		"an issuer by RFC 8414":    {spec: authorizer("discoveryUrl: 'https://a/.well-known/oauth-authorization-server/b', allowedClients: [a]")},
		"an issuer elsewhere":      {authorizer("discoveryUrl: 'https://a/.well-known/oauth-protected-resource', allowedClients: [a]"), []string{"customJWTAuthorizer.discoveryUrl"}},
		"an issuer with a query":   {authorizer("discoveryUrl: 'https://a/.well-known/oauth-authorization-server?b', allowedClients: [a]"), []string{"customJWTAuthorizer.discoveryUrl"}},
		"scopes by other names":    {spec: authorizer("discoveryUrl: 'https://a/.well-known/openid-configuration', allowedScopes: [read, write], advertisedScopeMapping: {read: 'api://a/read'}")},
		"no scope by another name": {authorizer("discoveryUrl: 'https://a/.well-known/openid-configuration', allowedScopes: [read], advertisedScopeMapping: {write: b}"), []string{"customJWTAuthorizer.advertisedScopeMapping", "must map scopes of allowedScopes"}},
		"two scopes in one":        {authorizer("discoveryUrl: 'https://a/.well-known/openid-configuration', allowedScopes: ['read write']"), []string{"customJWTAuthorizer.allowedScopes[0]", "read write"}},
		"a scope with a quote":     {authorizer("discoveryUrl: 'https://a/.well-known/openid-configuration', allowedScopes: [read], advertisedScopeMapping: {read: 'a\"b'}"), []string{"customJWTAuthorizer.advertisedScopeMapping.read"}},
		"a claim":                  {spec: claim("STRING", "EQUALS", "{matchValueString: 'Blue team'}")},
		"a claim with a list":      {spec: claim("STRING_ARRAY", "CONTAINS", "{matchValueString: a}")},
		"a claim with any of":      {spec: claim("STRING_ARRAY", "CONTAINS_ANY", "{matchValueStringList: [a, b]}")},
		"a list that equals":       {claim("STRING_ARRAY", "EQUALS", "{matchValueString: a}"), []string{"customClaims[0].authorizingClaimMatchValue.claimMatchOperator", "STRING is compared with EQUALS"}},
		"a string that contains":   {claim("STRING", "CONTAINS", "{matchValueString: a}"), []string{"customClaims[0].authorizingClaimMatchValue.claimMatchOperator", "STRING is compared with EQUALS"}},
		"a claim of no value":      {claim("STRING", "EQUALS", "{}"), []string{"authorizingClaimMatchValue.claimMatchValue", "CONTAINS_ANY has matchValueStringList"}},
		"any of one":               {claim("STRING_ARRAY", "CONTAINS_ANY", "{matchValueString: a}"), []string{"authorizingClaimMatchValue.claimMatchValue", "CONTAINS_ANY has matchValueStringList"}},
		"a claim of both":          {claim("STRING_ARRAY", "CONTAINS_ANY", "{matchValueString: a, matchValueStringList: [b]}"), []string{"authorizingClaimMatchValue.claimMatchValue", "and none has both"}},
		"pages":                    {spec: pages("'https://app.example', 'https://app.example:8443', 'http://localhost', 'http://localhost:5173'")},
		"all pages":                {pages("'*'"), []string{"spec.allowedOrigins[0]", "*"}},
		"pages without TLS":        {pages("'http://app.example'"), []string{"spec.allowedOrigins[0]", "http://app.example"}},
		"a page with its path":     {pages("'https://app.example/'"), []string{"spec.allowedOrigins[0]", "https://app.example/"}},
		"pages with capitals":      {pages("'https://App.example'"), []string{"spec.allowedOrigins[0]", "https://App.example"}},
		"pages at the usual port":  {pages("'https://app.example:443'"), []string{"spec.allowedOrigins[0]", "leave the port out"}},
		"pages without an issuer":  {"{" + template + ", allowedOrigins: ['https://app.example']}", []string{"spec.allowedOrigins", "needs an authorizerConfiguration"}},
		"ports":                    {spec: "{" + template + ", allowedPorts: [{port: 8000}, {portRange: {from: 8002, to: 12000}}, {port: 8001}]}"},
		"a port too low":           {"{" + template + ", allowedPorts: [{port: 7999}]}", []string{"spec.allowedPorts[0].port", "8000"}},
		"a port too high":          {"{" + template + ", allowedPorts: [{portRange: {from: 8000, to: 12001}}]}", []string{"spec.allowedPorts[0].portRange.to", "12000"}},
		"the port of AgentCore":    {"{" + template + ", allowedPorts: [{port: 8443}]}", []string{"spec.allowedPorts[0].port", "8443 is reserved"}},
		"no port":                  {"{" + template + ", allowedPorts: [{}]}", []string{"spec.allowedPorts[0]", "exactly one of port and portRange"}},
		"a port and more":          {"{" + template + ", allowedPorts: [{port: 8000, portRange: {from: 9000, to: 9001}}]}", []string{"spec.allowedPorts[0]", "exactly one of port and portRange"}},
		"ports backwards":          {"{" + template + ", allowedPorts: [{portRange: {from: 9001, to: 9000}}]}", []string{"spec.allowedPorts[0].portRange", "from must be less"}},
		"a port twice":             {"{" + template + ", allowedPorts: [{port: 8500}, {portRange: {from: 8400, to: 8600}}]}", []string{"spec.allowedPorts", "must not overlap"}},
		"ranges that overlap":      {"{" + template + ", allowedPorts: [{portRange: {from: 8000, to: 8100}}, {portRange: {from: 8100, to: 8200}}]}", []string{"spec.allowedPorts", "must not overlap"}},
		"six ports":                {"{" + template + ", allowedPorts: [{port: 8000}, {port: 8001}, {port: 8002}, {port: 8003}, {port: 8004}, {port: 8005}]}", []string{"spec.allowedPorts", "at most 5"}},
		"storage":                  {spec: "{" + template + ", filesystemConfigurations: [{sessionStorage: {mountPath: /mnt/data, size: 2Gi, storageClassName: fast}}]}"},
		"storage elsewhere":        {"{" + template + ", filesystemConfigurations: [{sessionStorage: {mountPath: /data}}]}", []string{"spec.filesystemConfigurations[0].sessionStorage.mountPath", "/data"}},
		"an endpoint of version 0": {"{" + template + ", endpoints: [{name: A, version: 0}]}", []string{"spec.endpoints[0].version", "greater than or equal to 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := manifest(t, "{}")
			object.SetKind("AgentRuntime")
			object.Object["spec"] = map[string]any{}
			change(t, object, row.spec)
			err := api.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict), client.DryRunAll)
			if row.says == nil {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(HaveOccurred())
			for _, words := range row.says {
				g.Expect(err.Error()).To(ContainSubstring(words))
			}
		})
	}
}
