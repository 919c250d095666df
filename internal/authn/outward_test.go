package authn

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
)

// Where there is a proxy, it is the issuer's address that must not be the gateway's own:
// the proxy's may be.
func TestAProxyIsNotAskedForTheGatewaysOwnMachine(t *testing.T) {
	g := NewWithT(t)
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(issuer.Close)
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // on loopback
		asked.Store(r.Method + " " + r.Host)
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		to, err := net.Dial("tcp", issuer.Listener.Addr().String())
		if err != nil {
			return
		}
		defer to.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from) }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	through, err := url.Parse(proxy.URL)
	g.Expect(err).NotTo(HaveOccurred())
	get := func(o *outward, url string) error {
		o.proxied.(*http.Transport).TLSClientConfig = issuer.Client().Transport.(*http.Transport).TLSClientConfig
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := o.RoundTrip(r)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	guarded := newOutward(http.ProxyURL(through), false)
	for url, says := range map[string]string{
		"https://127.0.0.1/":       "127.0.0.1 is loopback",
		"https://[::1]/":           "::1 is loopback",
		"https://169.254.169.254/": "169.254.169.254 is",
		"https://localhost/":       "is loopback",
		"https://127.1/":           "neither a name nor an address",
		"https://2130706433/":      "neither a name nor an address",
		"https://0x7f000001/":      "neither a name nor an address",
		"https://１６９．２５４．１６９．２５４/":           "not in ASCII",
		"https://metadata.0x7f.1./":          "neither a name nor an address",
		"https://[fd00:ec2::254]/":           "where a cloud has its metadata",
		"https://[::ffff:169.254.169.254]:1": "169.254.169.254 is",
	} {
		g.Expect(get(guarded, url)).To(MatchError(ContainSubstring(says)), url)
	}
	g.Expect(asked.Load()).To(BeNil())
	g.Expect(get(guarded, "https://example.com.invalid/")).To(MatchError(ContainSubstring("certificate is valid for")), "what only the proxy knows")
	g.Expect(asked.Load()).To(Equal("CONNECT example.com.invalid:443"))
	g.Expect(get(newOutward(http.ProxyURL(through), true), "https://127.0.0.1/")).To(Succeed())
	g.Expect(asked.Load()).To(Equal("CONNECT 127.0.0.1:443"))
}
