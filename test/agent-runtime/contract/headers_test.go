package contract_test

import (
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

func TestForwardable(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization":                     true,
		"X-My":                              true,
		"Baggage":                           true,
		contract.HeaderCustomPrefix + "Foo": true,
		contract.HeaderWAT:                  true,
		contract.HeaderOAuth2CallbackURL:    true,
		contract.HeaderMCPSessionID:         true,
		contract.HeaderSessionID:            false,
		contract.HeaderRequestID:            false,
		"X-Amzn-Trace-Id":                   false,
		"X-Amz-Date":                        false,
		"X-Amz-Security-Token":              false,
		"Accept":                            false, // the first of the list
		"X-XSS-Protection":                  false, // the last
		"Cookie":                            false,
		"Content-Type":                      false,
		"Host":                              false,
		"X-Forwarded-For":                   false,
		"Sec-WebSocket-Key":                 false,
		"Proxy-Authorization":               false,
		"ECT":                               false,
	} {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name), http.CanonicalHeaderKey(name)} {
			NewWithT(t).Expect(contract.Forwardable(spelled)).To(Equal(want), spelled)
		}
	}
}
