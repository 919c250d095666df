package browser

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// forMany serves a page as the gateway does, to who has the token "good" as long as that is good.
// He may list what is in the namespace default. The API in memory knows no rights.
func forMany(t *testing.T, good *atomic.Bool) (page string, api kube.Client) {
	t.Helper()
	g := NewWithT(t)
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = server.Stop() }) // it is thrown away
	c, err := kube.NewWithWatch(server.Config(), kube.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	as := interceptor.NewClient(c, interceptor.Funcs{Create: func(ctx context.Context, c kube.WithWatch, object kube.Object, o ...kube.CreateOption) error {
		review, is := object.(*authorizationv1.SelfSubjectAccessReview)
		if !is {
			return c.Create(ctx, object, o...)
		}
		review.Status.Allowed = good.Load() && authn.BearerIn(ctx) == "good" && review.Spec.ResourceAttributes.Namespace == kubeapi.Namespace
		return nil
	}})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	d, err := dashboard.New(dashboard.Options{
		Client: as, Now: time.Now, Where: "cluster", Version: "v1",
		Callers: func(_ context.Context, r *http.Request) (authn.Proof, error) {
			if r.Header.Get("Authorization") != "Bearer good" || !good.Load() {
				return nil, &authn.Error{Kind: authn.Unauthorized, Message: "The token is not one of this cluster"}
			}
			return func(string) (authn.Caller, error) {
				return authn.Caller{Name: "system:serviceaccount:default:alice"}, nil
			}, nil
		},
	}, listener.Addr())
	g.Expect(err).NotTo(HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(t.Context(), listener) }()
	t.Cleanup(func() { g.Expect(<-ended).To(Succeed()) })
	return "http://" + listener.Addr().String() + "/", c
}

// TestSignIn: who opens a page for many signs in by keyboard, sees what his token may list, and
// nothing any more when it may not.
func TestSignIn(t *testing.T) {
	var good atomic.Bool
	good.Store(true)
	page, api := forMany(t, &good)
	g := NewWithT(t)
	g.Expect(kube.IgnoreAlreadyExists(api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}))).To(Succeed())
	for _, namespace := range []string{kubeapi.Namespace, "other"} {
		g.Expect(api.Create(t.Context(), &v1alpha1.AgentSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "of-" + namespace},
			Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "research"}, RuntimeSessionID: strings.Repeat("0", 33), DesiredState: v1alpha1.DesiredRunning},
		})).To(Succeed())
	}
	b := newBrowser(t, phone)
	b.do(chromedp.Navigate(page))
	b.sees(`document.activeElement.id === "token" && !document.querySelector("[role=alert]") && !document.querySelector(".row")`)
	b.accessible(phone, "sign-in")
	b.press("b", "/", "d")
	b.sees(`document.querySelector("#token").value === "b/d"`)
	b.press(kb.Enter)
	b.sees(`document.querySelector("[role=alert]")?.innerText.includes("not one of this cluster")`)
	b.accessible(phone, "not-signed-in")

	b.click("#token")
	b.press("g", "o", "o", "d", kb.Enter)
	b.sees(one)
	const rows = `[...document.querySelectorAll(".body .row[data-key]")].map((r) => r.dataset.key)`
	var keys []string
	b.is(rows, &keys)
	g.Expect(keys).To(Equal([]string{"default/of-default"}))
	b.sees(`document.querySelector(".caller").textContent.endsWith("alice") && document.querySelector(".bar").innerText.includes("Sign out")`)
	b.accessible(phone, "signed-in")
	b.do(chromedp.Navigate(page))
	b.sees(one) // the tab remembers
	b.click(".body .row")
	b.sees(`document.querySelector(".opened .said").innerText.includes("--dashboard-write would let you")`)

	good.Store(false)
	b.sees(`document.querySelector("#token") && !document.querySelector(".row") && !document.querySelector(".opened")`)
	var text string
	b.is(`document.body.innerText`, &text)
	g.Expect(text).NotTo(ContainSubstring("of-default"))
	good.Store(true)
	b.click("#token")
	b.press("g", "o", "o", "d", kb.Enter)
	b.sees(one)
	b.press(kb.Escape)
	b.click(".bar button.link")
	b.sees(`document.querySelector("#token") && !document.querySelector(".row")`)
	var kept string
	b.is(`JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])`, &kept)
	g.Expect(kept).To(Equal(`[{},{},""]`))
}
