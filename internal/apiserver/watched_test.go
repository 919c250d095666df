package apiserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/agentsession/agentsession/internal/apiserver"
)

type roundTrip func() error

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return &http.Response{}, f() }

// Each change is a line, whichever of the clients made of a configuration sees it.
func TestWatchedTellsChanges(t *testing.T) {
	g := NewWithT(t)
	var lines []string
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	var fails error
	config := apiserver.Watched(&rest.Config{Host: "https://api.example", Transport: roundTrip(func() error { return fails })}, log)
	call := func() {
		client, err := rest.HTTPClientFor(config)
		g.Expect(err).NotTo(HaveOccurred())
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/api", http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = client.Do(r)
		g.Expect(err == nil).To(Equal(fails == nil))
	}
	call()
	fails = context.Canceled
	call()
	g.Expect(lines).To(BeEmpty(), "one that is not waited for says nothing")
	fails = errors.New("connection refused")
	call()
	call()
	g.Expect(lines).To(ConsistOf(And(ContainSubstring("does not answer"), ContainSubstring("connection refused"), ContainSubstring("api.example"))))
	fails = nil
	call()
	call()
	g.Expect(lines).To(HaveExactElements(ContainSubstring("does not answer"), ContainSubstring("answers again")))
}
