package gateway

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestOriginsAreCompared(t *testing.T) {
	g := NewWithT(t)
	agent := &v1alpha1.AgentRuntime{}
	agent.Spec.AllowedOrigins = []v1alpha1.Origin{"https://app.example", "http://localhost:5173"}
	for origin, may := range map[string]bool{
		"https://app.example":       true,
		"http://localhost:5173":     true,
		"http://app.example":        false,
		"https://app.example:8443":  false,
		"https://app.example.evil":  false,
		"https://evil.app.example":  false,
		"https://APP.example":       false,
		"https://app.example/":      false,
		"http://localhost":          false,
		"null":                      false,
		"":                          false,
		"*":                         false,
		"https://app.example, null": false,
	} {
		g.Expect(mayCall(agent, origin)).To(Equal(may), origin)
	}
	g.Expect(mayCall(nil, "https://app.example")).To(BeFalse())
	g.Expect(mayCall(&v1alpha1.AgentRuntime{}, "")).To(BeFalse())
}

func TestHeadersThatAPageAsksFor(t *testing.T) {
	g := NewWithT(t)
	for asked, names := range map[string]string{
		"":                           "",
		"authorization,content-type": "authorization, content-type",
		" authorization ,, x-mine":   "authorization, x-mine",
		"a b,c\x00,d":                "d",
	} {
		r := &http.Request{Header: http.Header{"Access-Control-Request-Headers": {asked}}}
		g.Expect(headersAskedFor(r)).To(Equal(names), asked)
	}
}
