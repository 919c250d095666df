package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

// patience is for what comes in its time, on a busy machine.
const patience = time.Minute

// guarded is a gateway of one runtime whose callers have tokens of a cluster.
func guarded(t *testing.T, cluster string) *Gateway {
	t.Helper()
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name}}
	tokens, err := authn.KubernetesTokens(&rest.Config{Host: cluster, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	g.Expect(err).NotTo(HaveOccurred())
	return New(Options{
		Client:       fake.NewClientBuilder().WithScheme(scheme).WithObjects(agent).Build(),
		Authenticate: authn.ByScheme(map[string]authn.Authenticator{authn.SchemeBearer: tokens}),
	})
}

// callWith is what a bearer of a token is answered.
func callWith(t *testing.T, g *Gateway, token string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/runtimes/a%2Fshop/invocations", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	g.ServeHTTP(w, r)
	return w
}

func TestACallerWhomNobodyCanTellComesAgain(t *testing.T) {
	e := NewWithT(t)
	w := callWith(t, guarded(t, "https://127.0.0.1:1"), "token")
	e.Expect(w.Code).To(Equal(http.StatusServiceUnavailable), w.Body.String())
	e.Expect(w.Header().Get("X-Amzn-ErrorType")).To(Equal("InternalServerException"))
	e.Expect(w.Header().Get("Retry-After")).To(Equal("2"))
	e.Expect(w.Header().Get("X-Amz-Retry-After")).To(Equal("2000"))
	e.Expect(w.Body.String()).NotTo(ContainSubstring("127.0.0.1"))
}

func TestTooManyInventedTokensAreThrottled(t *testing.T) {
	e, answer := NewWithT(t), make(chan struct{})
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Error: "invalid bearer token"}})
	}))
	t.Cleanup(cluster.Close)
	letGo := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(letGo)
	g, answers := guarded(t, cluster.URL), make(chan *httptest.ResponseRecorder, 60)
	for n := range 60 { // ten more than are reviewed at once
		go func() { answers <- callWith(t, g, fmt.Sprint("invented-", n)) }()
	}
	for range 10 {
		var w *httptest.ResponseRecorder
		e.Eventually(answers, patience).Should(Receive(&w))
		e.Expect(w.Code).To(Equal(http.StatusTooManyRequests), w.Body.String())
		e.Expect(w.Header().Get("X-Amzn-ErrorType")).To(Equal("ThrottlingException"))
		e.Expect(w.Header().Get("Retry-After")).To(Equal("1"))
		e.Expect(w.Header().Get("X-Amz-Retry-After")).To(Equal("1000"))
	}
	letGo()
	for range 50 {
		var w *httptest.ResponseRecorder
		e.Eventually(answers, patience).Should(Receive(&w))
		e.Expect(w.Code).To(Equal(http.StatusUnauthorized), w.Body.String())
		e.Expect(w.Header().Get("WWW-Authenticate")).To(Equal("Bearer"))
	}
}
