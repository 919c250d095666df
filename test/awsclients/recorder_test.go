package awsclients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/controlplane"
)

// exchange is a request to the control plane, and what was answered.
type exchange struct {
	Method string `json:"method"`
	Path   string `json:"path"` // as it was sent
	Query  string `json:"query"`
	Body   string `json:"body"`
	Status int    `json:"status"`
	Kind   string `json:"kind"` // of an error
	Answer string `json:"answer"`
}

// recorder stands before a gateway, and keeps what is said of the control plane.
type recorder struct {
	next http.Handler

	mu        sync.Mutex
	exchanges []exchange
}

// record starts a recorder before the gateway at a URL, until the test ends.
func record(t *testing.T, gateway string) (*recorder, string) {
	t.Helper()
	to, err := url.Parse(gateway)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	r := &recorder{next: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, // which is signed
		FlushInterval: -1,
	}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	path := request.URL.EscapedPath()
	if controlplane.Route(request.Method, path) == nil {
		r.next.ServeHTTP(w, request)
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller has gone
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	r.next.ServeHTTP(answer, request)
	r.mu.Lock()
	r.exchanges = append(r.exchanges, exchange{
		request.Method, path, request.URL.RawQuery, string(body), answer.Code, answer.Header().Get("X-Amzn-ErrorType"), answer.Body.String(),
	})
	r.mu.Unlock()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the caller may have gone
}

// judged holds all that was said since the last time against botocore's model, and returns how
// often each operation was asked for.
func (r *recorder) judged(t *testing.T) (seen map[string]int) {
	t.Helper()
	g := NewWithT(t)
	r.mu.Lock()
	said := r.exchanges
	r.exchanges = nil
	r.mu.Unlock()
	var lines bytes.Buffer
	for _, one := range said {
		g.Expect(json.NewEncoder(&lines).Encode(one)).To(Succeed())
	}
	oracle := exec.CommandContext(t.Context(), python(t), "oracle.py")
	var complaints bytes.Buffer
	oracle.Stdin, oracle.Stderr = &lines, &complaints
	out, err := oracle.Output()
	g.Expect(err).NotTo(HaveOccurred(), fmt.Sprint(&complaints))
	g.Expect(json.Unmarshal(out, &seen)).To(Succeed())
	return seen
}
