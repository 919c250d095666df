package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// tenant is a service account with a token.
type tenant struct {
	account *corev1.ServiceAccount
	token   string
}

func newTenant(ctx context.Context, namespace string) tenant {
	GinkgoHelper()
	account, token := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "tenant-"}}, &authenticationv1.TokenRequest{}
	Expect(api.Create(ctx, account)).To(Succeed())
	Expect(api.SubResource("token").Create(ctx, account, token)).To(Succeed())
	return tenant{account, token.Status.Token}
}

// may gives a tenant rights to the platform's objects in a namespace.
func (t tenant) may(ctx context.Context, namespace string, resources map[string][]string) *rbacv1.RoleBinding {
	GinkgoHelper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "role-"}}
	for resource, verbs := range resources {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs})
	}
	Expect(api.Create(ctx, role)).To(Succeed())
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "binding-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: t.account.Namespace, Name: t.account.Name}},
	}
	Expect(api.Create(ctx, binding)).To(Succeed())
	return binding
}

// ask asks the page for something as its scripts do.
func (t tenant) ask(ctx context.Context, page, method, path, body string) *http.Response {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, method, page+path, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	r.Header.Set("Origin", page)
	r.Header.Set("X-AgentSession", "1")
	response, err := http.DefaultClient.Do(r)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(response.Body.Close)
	return response
}

// gets is the status and the body of what the page answers.
func (t tenant) gets(ctx context.Context, page, method, path, body string) (int, string) {
	GinkgoHelper()
	response := t.ask(ctx, page, method, path, body)
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

// watched is what a stream has sent.
type watched struct {
	mu    sync.Mutex
	text  strings.Builder
	ended bool
}

func (w *watched) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *watched) hasEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// watches opens a page's stream.
func (t tenant) watches(ctx context.Context, page string) *watched {
	GinkgoHelper()
	response := t.ask(ctx, page, http.MethodGet, "/api/stream", "")
	Expect(response.StatusCode).To(Equal(http.StatusOK))
	w := &watched{}
	go func() {
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			w.mu.Lock()
			w.text.WriteString(lines.Text() + "\n")
			w.mu.Unlock()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
	}()
	return w
}

var _ = Describe("The page at the gateway", func() {
	It("shows and does for each tenant what he may, until he may not", func(ctx context.Context) {
		const get, post = http.MethodGet, http.MethodPost
		red, blue := newNamespace(ctx), newNamespace(ctx)
		page := "http://" + unused()
		d, _, _ := startGateway(nil, "--authentication=kubernetes", "--dashboard="+page[len("http://"):], "--dashboard-write")
		look := []string{"get", "list"}
		alice, bob, carol, eve := newTenant(ctx, red), newTenant(ctx, blue), newTenant(ctx, blue), newTenant(ctx, blue)
		aliceLooks := alice.may(ctx, red, map[string][]string{"agentsessions": {"get", "list", "patch"}, "agentruntimes": look, "agentruntimes/invocations": {"create"}})
		bob.may(ctx, blue, map[string][]string{"agentsessions": look, "agentruntimes": look})
		carol.may(ctx, red, map[string][]string{"agentruntimes": look}) // and no sessions
		redAgent, blueAgent := newRuntime(ctx, red), newRuntime(ctx, blue)
		for _, namespace := range []string{red, blue} {
			Expect(api.Create(ctx, inline(namespace))).To(Succeed())
		}

		By("refusing who has no token of the cluster, or no right")
		for name, t := range map[string]tenant{"nobody": {}, "a stranger": {token: "stranger"}} {
			for _, path := range []string{"/api/stream", "/api/sessions/" + red + "/inline"} {
				code, text := t.gets(ctx, page, get, path, "")
				Expect(code).To(Equal(http.StatusUnauthorized), "%s: %s", name, text)
			}
			code, _ := t.gets(ctx, page, get, "/assets/app.js", "")
			Expect(code).To(Equal(http.StatusOK), "the page's own files are no secret")
		}
		code, text := eve.gets(ctx, page, get, "/api/stream", "")
		Expect(code).To(Equal(http.StatusForbidden))
		Expect(text).To(ContainSubstring(eve.account.Name + " may list neither AgentSessions nor AgentRuntimes in any namespace"))

		By("streaming to each what he may list")
		toAlice, toBob, toCarol := alice.watches(ctx, page), bob.watches(ctx, page), carol.watches(ctx, page)
		Eventually(toAlice.said).Should(And(ContainSubstring(`"key":"`+red+`/inline"`), ContainSubstring(`"key":"`+red+`/`+redAgent.Name+`"`)))
		Eventually(toBob.said).Should(And(ContainSubstring(`"key":"`+blue+`/inline"`), ContainSubstring(`"key":"`+blue+`/`+blueAgent.Name+`"`)))
		Eventually(toCarol.said).Should(ContainSubstring(`"key":"` + red + `/` + redAgent.Name + `"`))
		session := id()
		Eventually(func() int { return alice.invokes(ctx, d, redAgent, session) }).Should(Equal(http.StatusOK))
		called := sessionOf(ctx, redAgent, session)
		Expect(api.Delete(ctx, inline(blue))).To(Succeed())
		Eventually(toAlice.said).Should(ContainSubstring(`"key":"` + red + `/` + called.Name + `"`))
		Eventually(toAlice.said).Should(ContainSubstring(`"name":"` + redAgent.Name + `","version":1,"protocol":"HTTP","sessions":1`))
		Eventually(toBob.said).Should(ContainSubstring(`"gone":["` + blue + `/inline"]`))

		By("reading and writing with his own rights")
		Expect(api.Create(ctx, inline(blue))).To(Succeed())
		code, text = alice.gets(ctx, page, get, "/api/sessions/"+red+"/inline", "")
		Expect(code).To(Equal(http.StatusOK), text)
		Expect(text).To(ContainSubstring("events is forbidden"), "he may not list Events")
		for _, path := range []string{"/api/sessions/" + blue + "/inline", "/api/runtimes/" + blue + "/" + blueAgent.Name} {
			code, _ = alice.gets(ctx, page, get, path, "")
			Expect(code).To(Equal(http.StatusForbidden), path)
		}
		code, text = carol.gets(ctx, page, get, "/api/runtimes/"+red+"/"+redAgent.Name, "")
		Expect(code).To(Equal(http.StatusOK), text)
		Expect(text).To(ContainSubstring(`"sessions":0`))
		code, _ = carol.gets(ctx, page, get, "/api/sessions/"+red+"/inline", "")
		Expect(code).To(Equal(http.StatusForbidden))
		code, text = bob.gets(ctx, page, post, "/api/sessions/"+blue+"/inline/stop", "")
		Expect(code).To(Equal(http.StatusForbidden), text)
		code, _ = alice.gets(ctx, page, post, "/api/sessions/"+blue+"/inline/stop", "")
		Expect(code).To(Equal(http.StatusForbidden))
		code, text = alice.gets(ctx, page, post, "/api/sessions/"+red+"/"+called.Name+"/invoke", `{}`)
		Expect(code).To(Equal(http.StatusOK), text)
		Expect(text).To(ContainSubstring(session), "the agent's answer")
		code, text = alice.gets(ctx, page, post, "/api/sessions/"+red+"/"+called.Name+"/stop", "")
		Expect(code).To(Equal(http.StatusOK), text)
		Eventually(stateOf(ctx, redAgent, session)).Should(Equal(v1alpha1.StateStopped))

		By("ending the streams of who may no more")
		Expect(api.Delete(ctx, aliceLooks)).To(Succeed())
		Expect(api.Delete(ctx, bob.account)).To(Succeed())
		Eventually(toAlice.hasEnded).Should(BeTrue())
		Eventually(toBob.hasEnded).Should(BeTrue())
		code, text = alice.gets(ctx, page, get, "/api/stream", "")
		Expect(code).To(Equal(http.StatusForbidden), text)
		code, text = bob.gets(ctx, page, get, "/api/stream", "")
		Expect(code).To(Equal(http.StatusUnauthorized), text)
		Expect(toCarol.hasEnded()).To(BeFalse())

		By("having sent nothing of the other")
		Expect(toAlice.said()).NotTo(ContainSubstring(blue))
		Expect(toBob.said()).NotTo(ContainSubstring(red))
		Expect(toCarol.said()).NotTo(Or(ContainSubstring("inline"), ContainSubstring(called.Name), ContainSubstring(`"sessions":1`)))
	})
})

// invokes calls a runtime through a gateway with the tenant's token.
func (t tenant) invokes(ctx context.Context, d *door, agent *v1alpha1.AgentRuntime, session string) int {
	GinkgoHelper()
	r := d.request(ctx, path(agent, "invocations"), session, ask{})
	r.Header.Set("Authorization", "Bearer "+t.token)
	return fetch(r).code
}
