package authn

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestIssuersAreAskedWithCare(t *testing.T) {
	g := NewWithT(t)
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	get := func(client *http.Client, url string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := client.Do(r)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	g.Expect(get(&http.Client{Transport: newOutward(http.ProxyFromEnvironment, false)}, server.URL)).To(MatchError(ContainSubstring("it is not called")))
	g.Expect(get(&http.Client{Transport: newOutward(http.ProxyFromEnvironment, false)}, "https://169.254.169.254/")).To(MatchError(ContainSubstring("it is not called")))
	sparingly := &http.Client{Transport: &limitedTransport{server.Client().Transport, rate.NewLimiter(rate.Every(time.Hour), 2)}, Timeout: time.Minute}
	g.Expect(get(sparingly, "http://127.0.0.1/")).To(MatchError(ContainSubstring("over https")))
	for range 2 {
		g.Expect(get(sparingly, server.URL)).To(Succeed())
	}
	g.Expect(get(sparingly, server.URL)).To(MatchError(ContainSubstring("would exceed context deadline")))
	g.Expect(asked).To(Equal(2))
}

func TestNobodyWaitsForAnIssuerLongerThanHeLikes(t *testing.T) {
	g := NewWithT(t)
	var asked atomic.Int32
	held, answer := context.WithCancel(t.Context())
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-held.Done() // a tarpit
		http.Error(w, strings.Repeat("x", 10000), http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	defer answer()
	one := NewIssuers(server.Client().Transport, false).at(server.URL + "/.well-known/openid-configuration")
	one.client.Timeout = patience
	gone, leave := context.WithCancelCause(t.Context())
	ends := make(chan error, 20)
	for i := range 20 {
		ctx := gone
		if i%2 == 0 {
			ctx = t.Context()
		}
		go func() {
			_, _, _, err := one.verify(ctx, "a.b.c")
			ends <- err
		}()
	}
	g.Eventually(asked.Load).Should(BeEquivalentTo(1))
	leave(errors.New("the caller has gone"))
	for range 10 {
		g.Expect(next(g, ends)).To(MatchError("the caller has gone"))
	}
	answer()
	for range 10 {
		err := next(g, ends)
		g.Expect(err).To(MatchError(ContainSubstring("discover the issuer")))
		g.Expect(len(err.Error())).To(BeNumerically("<", 500))
	}
	_, _, wrong, err := one.verify(t.Context(), "a.b.c")
	g.Expect(wrong).To(Equal(notReached))
	g.Expect(err).To(MatchError(ContainSubstring("discover the issuer")))
	g.Expect(asked.Load()).To(BeEquivalentTo(1), "it is asked again after a while only")
}

func TestMetadataOfIssuers(t *testing.T) {
	const openid, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for url, row := range map[string]struct{ at, names, says string }{
		"https://a" + openid:                 {"https://a", "https://elsewhere", ""},
		"https://a/t" + openid:               {"https://a/t", "https://a/t/", ""},
		"https://a" + openid + "/t":          {"https://a/t", "https://a/t", ""},
		"https://a:8443" + oauth:             {"https://a:8443", "https://a:8443", ""},
		"https://b" + oauth:                  {"https://b", "https://b/", ""},
		"https://b" + oauth + "/t/u":         {"https://b/t/u", "https://b/t/u", ""},
		"https://b" + oauth + "/t/":          {"https://b/t/", "https://b/t", ""},
		"https://b/t" + oauth:                {"https://b/t", "https://b/t", ""},
		"https://c" + oauth:                  {"https://c", "https://elsewhere", `must be of "https://c"`},
		"https://c" + oauth + "/t":           {"https://c/t", "https://c", `must be of "https://c/t"`},
		"https://c/t" + oauth:                {"https://c/t", "https://c/T", `must be of "https://c/t"`},
		"https://c" + oauth + "/u":           {"https://c/u", "", "no issuer"},
		"https://c/x" + openid + "s" + oauth: {"https://c/x" + openid + "s", "https://c", "must be of"},
	} {
		t.Run(url, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(IssuerAt(url)).To(Equal(row.at))
			err := (&metadata{Issuer: row.names, Keys: "https://keys"}).check(url)
			if row.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(row.says)))
		})
	}
	g := NewWithT(t)
	g.Expect((&metadata{}).algorithms("https://a"+openid)).To(BeEmpty(), "RS256")
	g.Expect((&metadata{}).algorithms("https://a" + oauth)).To(Equal(signatures))
	g.Expect((&metadata{Algorithms: []string{"none", "HS256", "ES256"}}).algorithms("https://a" + oauth)).To(Equal([]string{"ES256"}))
}

func TestCustomClaims(t *testing.T) {
	rule := func(kind v1alpha1.ClaimValueType, operator v1alpha1.ClaimMatchOperator, one string, more ...string) *v1alpha1.CustomClaim {
		return &v1alpha1.CustomClaim{
			InboundTokenClaimName: "groups", InboundTokenClaimValueType: kind,
			AuthorizingClaimMatchValue: v1alpha1.ClaimMatch{
				ClaimMatchOperator: operator, ClaimMatchValue: v1alpha1.ClaimMatchValue{MatchValueString: one, MatchValueStringList: more},
			},
		}
	}
	equals := rule(v1alpha1.ClaimString, v1alpha1.ClaimEquals, "admins")
	contains := rule(v1alpha1.ClaimStringArray, v1alpha1.ClaimContains, "admins")
	containsAny := rule(v1alpha1.ClaimStringArray, v1alpha1.ClaimContainsAny, "", "owners", "admins")
	const absent, mistyped, other = "its claim groups is not there", "its claim groups is of another type than it should be", "nothing of its claim groups is allowed"
	for name, row := range map[string]struct {
		rule        *v1alpha1.CustomClaim
		claim, says string
	}{
		"equal":                   {equals, `"admins"`, ""},
		"not equal":               {equals, `"admin"`, other},
		"of another case":         {equals, `"Admins"`, other},
		"longer":                  {equals, `"admins owners"`, other},
		"empty":                   {equals, `""`, other},
		"null":                    {equals, `null`, other},
		"not there":               {equals, ``, absent},
		"a list, not a string":    {equals, `["admins"]`, mistyped},
		"a number":                {equals, `1`, mistyped},
		"in the list":             {contains, `["users", "admins"]`, ""},
		"not in the list":         {contains, `["users", "admins-not"]`, other},
		"an empty list":           {contains, `[]`, other},
		"no list":                 {contains, `null`, other},
		"no claim":                {contains, ``, absent},
		"a string, not a list":    {contains, `"admins"`, mistyped},
		"a list of other things":  {contains, `["admins", 1]`, mistyped},
		"an object":               {contains, `{"admins": true}`, mistyped},
		"one of several":          {containsAny, `["users", "owners"]`, ""},
		"another of several":      {containsAny, `["admins"]`, ""},
		"none of several":         {containsAny, `["users"]`, other},
		"an empty one of several": {containsAny, `["", null]`, other},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(refusalByClaim(row.rule, []byte(row.claim))).To(Equal(row.says))
		})
	}
}
