package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
)

func TestAnAnswerThatFailsInTheMiddleDoesNotLookWhole(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want OmegaMatcher
	}{
		"in the middle":                    {errors.New("the second is not to be had"), MatchError(io.ErrUnexpectedEOF)},
		"of which the answer itself tells": {told{errors.New("the command was killed")}, Succeed()},
	} {
		t.Run(name, func(t *testing.T) { failInTheMiddle(t, row.err, row.want) })
	}
}

func failInTheMiddle(t *testing.T, failed error, want OmegaMatcher) {
	t.Helper()
	g := NewWithT(t)
	one := New(Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &recorder{ResponseWriter: w, ready: &one.ready}
		_, _ = io.WriteString(answer, "the first half")
		_ = http.NewResponseController(answer).Flush()
		one.fail(answer, r, call{}, failed)
	}))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(r)
	g.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	half, err := io.ReadAll(response.Body)
	g.Expect(string(half)).To(Equal("the first half"))
	g.Expect(err).To(want)
}
