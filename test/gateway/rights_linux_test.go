package gateway_test

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

var update = flag.Bool("update", false, "write the table of rights in docs/security.md")

// somebody asks for things.
type somebody struct {
	name string
	// sign puts his credentials into a request.
	sign func(*http.Request)
	// open is a WebSocket's URL with his credentials where browsers can put them.
	open func(ctx context.Context, d *door, path string, query url.Values) (string, *websocket.DialOptions)
}

func nobody() somebody {
	return somebody{"nobody", func(*http.Request) {}, func(_ context.Context, d *door, path string, query url.Values) (string, *websocket.DialOptions) {
		return "ws" + strings.TrimPrefix(d.url, "http") + path + "?" + query.Encode(), nil
	}}
}

func withKey(name, key, secret string) somebody {
	sign := func(r *http.Request) { Expect(caller.Sign(r, key, secret)).To(Succeed()) }
	return somebody{name, sign, func(ctx context.Context, d *door, path string, query url.Values) (string, *websocket.DialOptions) {
		return presign(ctx, d, path, query, key, secret), nil
	}}
}

func withToken(name, token string) somebody {
	who := nobody()
	who.name, who.sign = name, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	who.open = func(ctx context.Context, d *door, path string, query url.Values) (string, *websocket.DialOptions) {
		at, _ := nobody().open(ctx, d, path, query)
		return at, &websocket.DialOptions{Subprotocols: []string{authn.BearerProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte(token)), authn.BearerProtocol}}
	}
	return who
}

// playground is what is asked for.
type playground struct {
	d, page   *door
	namespace string
	agent     *v1alpha1.AgentRuntime
	owner     somebody // who may do everything to it
	change    []func(*v1alpha1.AgentRuntimeSpec)
}

// fresh is a runtime like the playground's.
func (p *playground) fresh(ctx context.Context) *v1alpha1.AgentRuntime {
	GinkgoHelper()
	return newRuntime(ctx, p.namespace, p.change...)
}

// session is one that runs.
func (p *playground) session(ctx context.Context) string {
	GinkgoHelper()
	session := id()
	r := p.d.request(ctx, path(p.agent, "invocations"), session, ask{})
	p.owner.sign(r)
	Expect(fetch(r).code).To(Equal(http.StatusOK))
	return session
}

// asks is the status that somebody is answered.
func (p *playground) asks(ctx context.Context, who somebody, method, path, session string, body any) string {
	GinkgoHelper()
	r := asked(ctx, p.d, p.namespace, method, path, body)
	if session != "" {
		r.Header.Set(sessionHeader, session)
	}
	who.sign(r)
	return fmt.Sprint(fetch(r).code)
}

// opens is the status with which a WebSocket is opened, or not.
func (p *playground) opens(ctx context.Context, at string, o *websocket.DialOptions) string {
	GinkgoHelper()
	socket, response, refusal := dial(ctx, at, o)
	Expect(response).NotTo(BeNil(), refusal)
	if socket != nil {
		_ = socket.Close(websocket.StatusNormalClosure, "") // it may have ended
	}
	return fmt.Sprint(response.StatusCode)
}

// dials opens a WebSocket with credentials in headers.
func (p *playground) dials(ctx context.Context, who somebody, path string) string {
	GinkgoHelper()
	query := url.Values{sessionHeader: {id()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.d.url+path+"?"+query.Encode(), strings.NewReader(""))
	Expect(err).NotTo(HaveOccurred())
	who.sign(r)
	at, _ := nobody().open(ctx, p.d, path, query)
	return p.opens(ctx, at, &websocket.DialOptions{HTTPHeader: r.Header})
}

func (p *playground) pageAnswers(ctx context.Context, who somebody, method, path string) string {
	GinkgoHelper()
	r := asked(ctx, p.page, p.namespace, method, path, nil)
	r.Header.Set("Origin", p.page.url)
	r.Header.Set("X-AgentSession", "1")
	who.sign(r)
	return fmt.Sprint(fetch(r).code)
}

// rights are what somebody may want, and how it is asked for.
var rights = []struct {
	what string
	ask  func(ctx context.Context, p *playground, who somebody) string
}{
	{"InvokeAgentRuntime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodPost, path(p.agent, "invocations"), id(), ask{})
	}},
	{"a WebSocket (`/ws`)", func(ctx context.Context, p *playground, who somebody) string {
		return p.dials(ctx, who, path(p.agent, "ws"))
	}},
	{"the same, by a presigned URL, or the token as a subprotocol", func(ctx context.Context, p *playground, who somebody) string {
		at, o := who.open(ctx, p.d, path(p.agent, "ws"), url.Values{sessionHeader: {id()}})
		return p.opens(ctx, at, o)
	}},
	{"StopRuntimeSession", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodPost, path(p.agent, "stopruntimesession"), p.session(ctx), map[string]string{})
	}},
	{"InvokeAgentRuntimeCommand", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodPost, path(p.agent, "commands"), id(), map[string]string{"command": "true"})
	}},
	{"InvokeAgentRuntimeCommandShell (`/ws/shells`)", func(ctx context.Context, p *playground, who somebody) string {
		return p.dials(ctx, who, path(p.agent, "ws/shells"))
	}},
	{"`GET /sessions` of the runtime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodGet, "/sessions?agentRuntimeArn="+url.QueryEscape(p.agent.Status.AgentRuntimeArn), "", nil)
	}},
	{"`GET /sessions/{namespace}/{name}`", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodGet, "/sessions/"+p.namespace+"/"+sessionOf(ctx, p.agent, p.session(ctx)).Name, "", nil)
	}},
	{"`POST /sessions/stop` of the runtime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodPost, "/sessions/stop", "", map[string]string{"agentRuntimeArn": p.agent.Status.AgentRuntimeArn})
	}},
	{"GetAgentRuntime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodGet, "/runtimes/"+p.agent.Status.AgentRuntimeID+"/", "", nil)
	}},
	{"CreateAgentRuntime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodPut, "/runtimes/", "", echoing("a"+strings.ReplaceAll(id(), "-", "")))
	}},
	{"UpdateAgentRuntime", func(ctx context.Context, p *playground, who somebody) string {
		body := echoing("")
		delete(body, "agentRuntimeName")
		return p.asks(ctx, who, http.MethodPut, "/runtimes/"+p.fresh(ctx).Status.AgentRuntimeID+"/", "", body)
	}},
	{"DeleteAgentRuntime", func(ctx context.Context, p *playground, who somebody) string {
		return p.asks(ctx, who, http.MethodDelete, "/runtimes/"+p.fresh(ctx).Status.AgentRuntimeID+"/", "", nil)
	}},
	{"the page: a runtime", func(ctx context.Context, p *playground, who somebody) string {
		return p.pageAnswers(ctx, who, http.MethodGet, "/api/runtimes/"+p.namespace+"/"+p.agent.Name)
	}},
	{"the page: stop a session (`--dashboard-write`)", func(ctx context.Context, p *playground, who somebody) string {
		return p.pageAnswers(ctx, who, http.MethodPost, "/api/sessions/"+p.namespace+"/"+sessionOf(ctx, p.agent, p.session(ctx)).Name+"/stop")
	}},
}

// tableOf asks for everything, for each of some callers.
func tableOf(ctx context.Context, p *playground, callers []somebody) string {
	GinkgoHelper()
	var table strings.Builder
	table.WriteString("| |")
	for _, who := range callers {
		table.WriteString(" " + who.name + " |")
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(callers)) + "\n")
	for _, right := range rights {
		fmt.Fprintf(&table, "| %s |", right.what)
		for _, who := range callers {
			By(right.what + ": " + who.name)
			fmt.Fprintf(&table, " %s |", right.ask(ctx, p, who))
		}
		table.WriteString("\n")
	}
	return table.String()
}

// binds gives a tenant ClusterRoles in a namespace, and waits until the API server knows.
func (t tenant) binds(ctx context.Context, namespace string, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Expect(api.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "binding-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: t.account.Namespace, Name: t.account.Name}},
		})).To(Succeed())
	}
	for _, name := range names {
		var role rbacv1.ClusterRole
		Expect(api.Get(ctx, client.ObjectKey{Name: name}, &role)).To(Succeed())
		for _, rule := range role.Rules {
			resource, sub, _ := strings.Cut(rule.Resources[len(rule.Resources)-1], "/")
			Eventually(func() bool {
				review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User: "system:serviceaccount:" + t.account.Namespace + ":" + t.account.Name,
					ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: rule.Verbs[len(rule.Verbs)-1], Group: rule.APIGroups[0], Resource: resource, Subresource: sub,
					},
				}}
				Expect(api.Create(ctx, review)).To(Succeed())
				return review.Status.Allowed
			}).Should(BeTrue())
		}
	}
}

var _ = Describe("Who may do what", func() {
	It("is as docs/security.md says", func(ctx context.Context) {
		pods, issuer := front.NewPods(GinkgoT().TempDir()), newIDP()
		DeferCleanup(pods.Close)
		for _, file := range []string{"gateway/invoker_role.yaml", "gateway/control_role.yaml", "rbac/agentsession_viewer_role.yaml", "rbac/agentsession_editor_role.yaml"} {
			roles(ctx, "../../config/"+file)
		}
		p := &playground{
			d:         openDoor(front.Authenticated, controlled, pods.Run, func(o *gateway.Options) { o.Issuers = issuer.Client().Transport }),
			page:      &door{url: "http://" + unused()},
			namespace: newNamespace(ctx), change: []func(*v1alpha1.AgentRuntimeSpec){func(s *v1alpha1.AgentRuntimeSpec) {
				s.Template.Spec.AutomountServiceAccountToken = new(false)
				s.Template.Spec.Containers[0].Image = "registry.example/echo:1"
			}},
		}
		startGateway(nil, "--authentication=kubernetes", "--dashboard="+strings.TrimPrefix(p.page.url, "http://"), "--dashboard-write")
		p.agent = p.fresh(ctx)
		elsewhere := newNamespace(ctx)

		known := func(who somebody) somebody {
			Eventually(func() string { return p.asks(ctx, who, http.MethodGet, "/sessions", "", nil) }).Should(Equal("200"))
			return who
		}
		var keys []somebody
		for _, rights := range []string{"invocations", "commands", "sessions", "control", "*"} {
			id, secret := newKey(ctx, p.namespace, rights)
			keys = append(keys, known(withKey("`"+rights+"`", id, secret)))
		}
		p.owner = keys[len(keys)-1]
		id, secret := newKey(ctx, elsewhere, "*")
		keys = append(keys, known(withKey("`*`, of another namespace", id, secret)), nobody())

		var tokens []somebody
		all := []string{"invoker", "session-manager", "runtime-controller", "viewer", "editor"}
		for _, role := range all {
			t := newTenant(ctx, p.namespace)
			t.binds(ctx, p.namespace, role)
			tokens = append(tokens, known(withToken("`"+role+"`", t.token)))
		}
		t := newTenant(ctx, elsewhere)
		t.binds(ctx, elsewhere, all...)
		stranger := known(withToken("all five, in another namespace", t.token))

		tables := "\nAccess keys, by their `rights`:\n\n" + tableOf(ctx, p, keys) +
			"\nTokens of the cluster, by the ClusterRole (`agentsession-` stands before its name) that is bound in the runtime's namespace:\n\n" + tableOf(ctx, p, append(slices.Clone(tokens), stranger))

		By("a runtime with an authorizer")
		guarded := *p
		guarded.change = append(slices.Clone(p.change), func(s *v1alpha1.AgentRuntimeSpec) { s.AuthorizerConfiguration = issuer.authorizes() })
		guarded.agent = guarded.fresh(ctx)
		guarded.owner = withToken("a token of its issuer", sign(jose.ES256, issuer.key, "first", issuer.claims(nil)))
		owner := p.owner
		owner.name = "an access key with `*`"
		every := newTenant(ctx, p.namespace)
		every.binds(ctx, p.namespace, all...)
		tables += "\nA runtime with an `authorizerConfiguration`:\n\n" + tableOf(ctx, &guarded, []somebody{
			guarded.owner, withToken("a token of its issuer, for others", sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"aud": "others"}))),
			owner, known(withToken("a token of the cluster, all five", every.token)), nobody(),
		})

		const page, heading = "../../docs/security.md", "\n## Who may do what\n"
		raw, err := os.ReadFile(page)
		Expect(err).NotTo(HaveOccurred())
		before, section, has := strings.Cut(string(raw), heading)
		Expect(has).To(BeTrue())
		section, after, _ := strings.Cut(section, "\n## ")
		words, _, _ := strings.Cut(section, "\nAccess keys, by their")
		if *update {
			Expect(os.WriteFile(page, []byte(before+heading+words+tables+"\n## "+after), 0o600)).To(Succeed())
			return
		}
		Expect(section).To(Equal(words+tables), "go test ./test/gateway -ginkgo.focus='Who may do what' -update writes it")
	})
})
