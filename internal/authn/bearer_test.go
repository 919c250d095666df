package authn

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
)

// TestAsBearer: a client has the right of the bearer in its context, never the configuration's own.
func TestAsBearer(t *testing.T) {
	g := NewWithT(t)
	var shown []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { shown = append(shown, r.Header.Get("Authorization")) }))
	t.Cleanup(server.Close)
	c, err := rest.HTTPClientFor(AsBearer(&rest.Config{Host: server.URL, BearerToken: "the-gateways-own", Username: "gateway", Password: "secret"}))
	g.Expect(err).NotTo(HaveOccurred())
	ask := func(token string) error {
		r, err := http.NewRequestWithContext(WithBearer(t.Context(), token), http.MethodGet, server.URL, http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		answer, err := c.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	g.Expect(ask("alices")).To(Succeed())
	g.Expect(ask("bobs")).To(Succeed())
	for _, none := range []string{"", "two words", "a\nb"} {
		g.Expect(ask(none)).To(MatchError(ContainSubstring("is nobody's")), none)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = c.Do(r)
	g.Expect(err).To(MatchError(ContainSubstring("is nobody's")))
	g.Expect(shown).To(Equal([]string{"Bearer alices", "Bearer bobs"}))
}
