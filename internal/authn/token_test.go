package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const clusters = "https://kubernetes.default.svc"

// tokenOf is a JWT of an issuer, with a signature that is none.
func tokenOf(issuer, subject string) string {
	claims, _ := json.Marshal(map[string]string{"iss": issuer, "sub": subject}) //nolint:errchkjson // texts only
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part(claims) + "." + part([]byte("signature"))
}

// apiServer reviews tokens and rights.
type apiServer struct {
	*httptest.Server

	reviews atomic.Int64
	access  atomic.Int64 // reviews of rights
	peers   sync.Map     // the connections of reviews
	good    func(token string) bool
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{good: func(token string) bool { return strings.HasPrefix(token, "good") }}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
			a.reviews.Add(1)
			a.peers.Store(r.RemoteAddr, "")
			review := &authenticationv1.TokenReview{}
			_ = json.NewDecoder(r.Body).Decode(review)
			review.Status.Error = "invalid bearer token"
			if a.good(review.Spec.Token) {
				review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
					Username: "owner-of-" + review.Spec.Token, Groups: []string{"callers"}, Extra: map[string]authenticationv1.ExtraValue{"pod": {"one"}},
				}}
			}
			_ = json.NewEncoder(w).Encode(review)
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			a.access.Add(1)
			a.peers.Store(r.RemoteAddr, "")
			review := &authorizationv1.SubjectAccessReview{}
			_ = json.NewDecoder(r.Body).Decode(review)
			asked := review.Spec.ResourceAttributes
			review.Status.Allowed = (asked.Name == "one" || asked.Name == "" && asked.Namespace == "b") && review.Spec.Groups[0] == "callers" && review.Spec.Extra["pod"][0] == "one"
			_ = json.NewEncoder(w).Encode(review)
		default:
			_, _ = w.Write([]byte(`{"major":"1","minor":"36"}`))
		}
	}))
	a.EnableHTTP2 = true
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *apiServer) config() *rest.Config {
	return &rest.Config{
		Host: a.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, BearerToken: tokenOf(clusters, "gateway"),
		ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	}
}

func tokensOf(t *testing.T, config *rest.Config) *tokens {
	t.Helper()
	all, err := newTokens(config)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	all.timeout = patience
	return all
}

// kindOf is why a bearer of a token is refused; zero if he is not.
func (t *tokens) kindOf(ctx context.Context, token string) Kind {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	_, err := t.authenticate(ctx, r)
	if e, is := errors.AsType[*Error](err); is {
		return e.Kind
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestATokenOfTheClusterIsAskedAboutOnce(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	all := tokensOf(t, server.config())
	for range 3 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "bearer good")
		proof, err := all.authenticate(t.Context(), r)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(r.Header).NotTo(HaveKey("Authorization"), "the agent must not see it")
		caller, err := proof("")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(caller.Name).To(Equal("owner-of-good"))
		for name, want := range map[string]bool{"one": true, "two": false} {
			may, err := caller.May(t.Context(), agent("a", name), ToInvoke)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(may).To(Equal(want), name)
		}
		for namespace, want := range map[string]bool{"": false, "a": false, "b": true} {
			may, err := caller.MayAll(t.Context(), namespace, ToInvoke)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(may).To(Equal(want), namespace)
		}
	}
	g.Expect(server.reviews.Load()).To(BeEquivalentTo(1))
	g.Expect(server.access.Load()).To(BeEquivalentTo(5), "each right is asked about once")
	for range 100 {
		g.Expect(all.kindOf(t.Context(), "invented")).To(Equal(Unauthorized))
	}
	g.Expect(server.reviews.Load()).To(BeEquivalentTo(2))
	all.change(g, "good", func(k *cachedUser) { k.at = k.at.Add(-knownTTL) })
	server.good = func(string) bool { return false }
	g.Expect(all.kindOf(t.Context(), "good")).To(Equal(Unauthorized), "it was revoked")
	_, good := all.last(hashed("good"))
	g.Expect(good).To(BeFalse(), "from now on it is as any other")
}

// change changes what is remembered of a good token.
func (t *tokens) change(g *WithT, token string, change func(*cachedUser)) {
	key := hashed(token)
	last, ok := t.last(key)
	g.Expect(ok).To(BeTrue())
	change(&last)
	t.cached.Add(key, last)
}

func TestWhatCanBeNoTokenIsNotAskedAbout(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	all := tokensOf(t, server.config())
	for _, token := range []string{"", "a b", "a\tb", "good\x7f", "göod", strings.Repeat("good", maxTokenBytes/4+1)} {
		g.Expect(all.kindOf(t.Context(), token)).To(Equal(Unauthorized), token)
	}
	g.Expect(server.reviews.Load()).To(BeZero())
	for _, token := range []string{"good", " good", "good.but-opaque", tokenOf("https://oidc.example", "somebody"), strings.Repeat("good", maxTokenBytes/4)} {
		server.good = func(string) bool { return true }
		g.Expect(all.kindOf(t.Context(), token)).To(BeZero(), token)
	}
}

func TestIssuerIn(t *testing.T) {
	g := NewWithT(t)
	g.Expect(issuerIn(tokenOf(clusters, "a"))).To(Equal(clusters))
	for _, other := range []string{"", "a", "..", "a.b.c", "a.e30.c", "a." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":1}`)) + ".c", tokenOf(clusters, "a") + ".d"} {
		g.Expect(issuerIn(other)).To(BeEmpty(), other)
	}
}

// However many tokens are invented, the API server is asked about few of them, and who
// was known before does not notice.
func TestInventedTokensCostLittle(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	all := tokensOf(t, server.config())
	g.Expect(all.kindOf(t.Context(), "good-1")).To(BeZero())
	g.Expect(all.kindOf(t.Context(), "good-2")).To(BeZero())
	server.reviews.Store(0)
	began := time.Now()
	var kinds [Unknown + 1]atomic.Int64
	var invented sync.WaitGroup
	for i := range 20 {
		invented.Go(func() {
			for n := range 100 {
				kinds[all.kindOf(t.Context(), fmt.Sprintf("invented-%d-%d", i, n))].Add(1)
			}
		})
	}
	invented.Wait()
	most := 50 + int64(10*time.Since(began).Seconds()) + 1
	g.Expect(server.reviews.Load()).To(BeNumerically("<=", most))
	g.Expect(kinds[Unauthorized].Load()).To(Equal(server.reviews.Load()))
	g.Expect(kinds[Throttled].Load()).To(Equal(2000 - server.reviews.Load()))
	all.others.pace.SetBurst(0)

	g.Expect(all.kindOf(t.Context(), "good-3")).To(Equal(Throttled), "nobody knows it")
	reviews := server.reviews.Load()
	g.Expect(all.kindOf(t.Context(), "good-1")).To(BeZero(), "it is remembered")
	g.Expect(server.reviews.Load()).To(Equal(reviews))
	all.change(g, "good-2", func(k *cachedUser) { k.at = k.at.Add(-knownTTL) })
	g.Expect(all.kindOf(t.Context(), "good-2")).To(BeZero(), "it is asked about again all the same")
	g.Expect(server.reviews.Load()).To(Equal(reviews + 1))
	server.good = func(string) bool { return true }
	g.Expect(all.kindOf(t.Context(), tokenOf(clusters, "somebody"))).To(BeZero(), "it may well be one of the cluster's")
	all.issuer = ""
	g.Expect(all.kindOf(t.Context(), tokenOf("https://oidc.example", "somebody"))).To(BeZero(), "none is less likely than another")
}

func TestGoodTokensAreRememberedWhateverElseIs(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	all := tokensOf(t, server.config())
	g.Expect(all.kindOf(t.Context(), "good")).To(BeZero())
	for n := range maxRefused + maxKnown {
		all.refused.Add(hashed(fmt.Sprint(n)), time.Now())
	}
	g.Expect(all.kindOf(t.Context(), "good")).To(BeZero())
	g.Expect(server.reviews.Load()).To(BeEquivalentTo(1))
	g.Expect(all.refused.Len()).To(Equal(maxRefused))
	for n := range maxKnown {
		all.cached.Add(hashed(fmt.Sprint(n)), cachedUser{&user.DefaultInfo{}, time.Now()})
	}
	g.Expect(all.cached.Len()).To(Equal(maxKnown))
}

// An API server that takes its time is asked about a few at once only.
func TestFewReviewsAreOnTheirWay(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	held, answer := context.WithCancel(t.Context())
	defer answer()
	server.good = func(string) bool {
		<-held.Done()
		return true
	}
	all := tokensOf(t, server.config())
	kinds := make(chan Kind, 1000)
	for n := range 1000 {
		go func() { kinds <- all.kindOf(t.Context(), fmt.Sprint(n)) }()
	}
	for range 990 {
		g.Expect(next(g, kinds)).To(Equal(Throttled))
	}
	gone, leave := context.WithCancel(t.Context())
	ended := make(chan Kind, 1)
	all.others = newBudget(1, 1, 1)
	go func() { ended <- all.kindOf(gone, "somebody's") }()
	g.Eventually(server.reviews.Load).Should(BeEquivalentTo(11))
	leave()
	g.Expect(next(g, ended)).To(BeEquivalentTo(-1), "he has gone, and waits no longer")
	answer()
	for range 10 {
		g.Expect(next(g, kinds)).To(BeZero())
	}
	g.Eventually(func() Kind { return all.kindOf(t.Context(), "somebody's") }).Should(BeZero(), "his question was answered")
	g.Expect(server.reviews.Load()).To(BeEquivalentTo(11))
}

func TestAnAPIServerThatIsAwayRefusesNobody(t *testing.T) {
	g := NewWithT(t)
	away := tokensOf(t, &rest.Config{Host: "https://127.0.0.1:1"})
	g.Expect(away.kindOf(t.Context(), "good")).To(Equal(Unknown))

	server, asked := newAPIServer(t), make(chan struct{})
	silent := tokensOf(t, server.config())
	g.Expect(silent.kindOf(t.Context(), "good-1")).To(BeZero())
	server.good = func(string) bool {
		<-asked
		return true
	}
	defer close(asked)
	silent.timeout = time.Millisecond
	g.Expect(silent.kindOf(t.Context(), "good-2")).To(Equal(Unknown))
	g.Expect(silent.kindOf(t.Context(), "good-1")).To(BeZero(), "it was looked at a moment ago")
}

// Reviews go over connections of their own, also where both sides speak HTTP/2.
func TestReviewsAreApart(t *testing.T) {
	g, server := NewWithT(t), newAPIServer(t)
	config := server.config()
	others, err := kubernetes.NewForConfig(config)
	g.Expect(err).NotTo(HaveOccurred())
	var peers sync.Map
	handler := server.Config.Handler
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			peers.Store(r.RemoteAddr, r.Proto)
		}
		handler.ServeHTTP(w, r)
	})
	g.Expect(tokensOf(t, config).kindOf(t.Context(), "good")).To(BeZero())
	_, err = others.Discovery().ServerVersion()
	g.Expect(err).NotTo(HaveOccurred())
	n := 0
	peers.Range(func(peer, proto any) bool {
		n++
		g.Expect(proto).To(Equal("HTTP/2.0"))
		_, both := server.peers.Load(peer)
		g.Expect(both).To(BeFalse())
		return true
	})
	g.Expect(n).To(Equal(1))
}
