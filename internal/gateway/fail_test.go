package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestAnAnswerThatFailsInTheMiddleDoesNotLookWhole(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want OmegaMatcher
	}{
		"in the middle":                    {errors.New("the second is not to be had"), MatchError(io.ErrUnexpectedEOF)},
		"of which the answer itself tells": {answeredError{errors.New("the command was killed")}, Succeed()},
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

func TestWhatIsWorthTryingAgainSaysWhen(t *testing.T) {
	resource := schema.GroupResource{Resource: "agentsessions"}
	for name, row := range map[string]struct {
		err  error
		code int
		wait []string // Retry-After and x-amz-retry-after
	}{
		"a session that starts":      {conflict(), http.StatusConflict, []string{"5", "5000"}},
		"too many":                   {throttled(""), http.StatusTooManyRequests, []string{"1", "1000"}},
		"no API server":              {fmt.Errorf("get: %w", &url.Error{Op: "Get", Err: syscall.ECONNREFUSED}), http.StatusServiceUnavailable, []string{"2", "2000"}},
		"an API server that is busy": {fmt.Errorf("get: %w", apierrors.NewTooManyRequests("later", 1)), http.StatusServiceUnavailable, []string{"2", "2000"}},
		"one that is slow":           {apierrors.NewServerTimeout(resource, "get", 1), http.StatusServiceUnavailable, []string{"2", "2000"}},
		"one that has no etcd":       {fmt.Errorf("get: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusInternalServerError}}), http.StatusServiceUnavailable, []string{"2", "2000"}},
		"what the API server denies": {apierrors.NewForbidden(resource, "", errors.New("no")), http.StatusInternalServerError, []string{"", ""}},
		"what nobody foresaw":        {errors.New("a bug"), http.StatusInternalServerError, []string{"", ""}},
		"no right":                   {denied("no"), http.StatusForbidden, []string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			g, w := NewWithT(t), httptest.NewRecorder()
			one := New(Options{})
			one.fail(&recorder{ResponseWriter: w, ready: &one.ready}, nil, call{}, row.err)
			g.Expect(w.Code).To(Equal(row.code))
			g.Expect([]string{w.Header().Get("Retry-After"), w.Header().Get("X-Amz-Retry-After")}).To(Equal(row.wait))
		})
	}
}

func TestAnotherMethodIsTold(t *testing.T) {
	g, w := NewWithT(t), httptest.NewRecorder()
	New(Options{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/runtimes/echo/invocations", nil))
	g.Expect(w.Code).To(Equal(http.StatusMethodNotAllowed))
	g.Expect(w.Header().Get("Allow")).To(Equal(http.MethodPost))
}

// What has both a Content-Length and a Transfer-Encoding is two requests to some.
func TestAChunkedRequestLosesItsConnection(t *testing.T) {
	serving(t, Options{}, func(e *WithT, _ *Gateway, p *pipes, end func(), ended <-chan error) {
		for head, closes := range map[string]bool{
			"Content-Length: 2\r\n\r\n{}":                                                 false,
			"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n":                      true,
			"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": true,
		} {
			conn, err := p.dial("GET /openapi.yaml HTTP/1.1\r\nHost: a\r\n" + head)
			e.Expect(err).NotTo(HaveOccurred())
			e.Expect(answerOn(e, conn).Close).To(Equal(closes), head)
			e.Expect(conn.Close()).To(Succeed())
		}
		end()
		e.Expect(<-ended).To(Succeed())
	})
}
