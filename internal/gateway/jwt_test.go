package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"
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
	g.Expect(get(&http.Client{Transport: toIssuers()}, server.URL)).To(MatchError(ContainSubstring("is no address of an issuer")))
	g.Expect(get(&http.Client{Transport: toIssuers()}, "https://169.254.169.254/")).To(MatchError(ContainSubstring("is no address of an issuer")))
	sparingly := &http.Client{Transport: &sparing{server.Client().Transport, rate.NewLimiter(rate.Every(time.Hour), 2)}, Timeout: time.Minute}
	g.Expect(get(sparingly, "http://127.0.0.1/")).To(MatchError(ContainSubstring("over https")))
	for range 2 {
		g.Expect(get(sparingly, server.URL)).To(Succeed())
	}
	g.Expect(get(sparingly, server.URL)).To(MatchError(ContainSubstring("would exceed context deadline")))
	g.Expect(asked).To(Equal(2))
}
