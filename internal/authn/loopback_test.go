package authn

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
)

// On loopback programs may call, and pages of this machine; no page of another.
func TestOfThisMachine(t *testing.T) {
	for name, row := range map[string]struct {
		host   string
		header http.Header
		may    bool
	}{
		"a program":                          {"127.0.0.1:8080", nil, true},
		"by name":                            {"localhost:8080", nil, true},
		"by IPv6":                            {"[::1]:8080", nil, true},
		"without a port":                     {"localhost", nil, true},
		"by IPv6 without a port":             {"[::1]", nil, true},
		"in capitals":                        {"LOCALHOST:8080", nil, true},
		"a page in capitals":                 {"localhost:8080", http.Header{"Origin": {"http://LOCALHOST:3000"}}, true},
		"brackets around a name":             {"[evil.example]", nil, false},
		"a page of this machine":             {"localhost:8080", http.Header{"Origin": {"http://localhost:3000"}, "Sec-Fetch-Site": {"same-site"}}, true},
		"a page of another":                  {"127.0.0.1:8080", http.Header{"Origin": {"https://evil.example"}}, false},
		"a page without an origin":           {"127.0.0.1:8080", http.Header{"Origin": {"null"}}, false},
		"an image of another":                {"127.0.0.1:8080", http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		"a name that leads to loopback":      {"evil.example:8080", nil, false},
		"a page of one":                      {"evil.example:8080", http.Header{"Origin": {"http://evil.example:8080"}}, false},
		"a name that looks like this":        {"localhost.evil.example", nil, false},
		"an address that is not on loopback": {"192.0.2.1", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Host, r.Header = row.host, row.header
			proof, err := OfThisMachine(t.Context(), r)
			if !row.may {
				g.Expect(err).To(HaveField("Kind", Denied))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(proof).NotTo(BeNil())
		})
	}
}
