package dashboard_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/dashboard"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// stand is a dashboard that is served, before an API in memory.
type stand struct {
	*WithT
	t      *testing.T
	client client.WithWatch
	base   string
	token  string
}

// serve serves a dashboard until the test ends.
func serve(t *testing.T, set func(*dashboard.Options)) *stand {
	t.Helper()
	g := NewWithT(t)
	ctrl.SetLogger(logr.Discard())
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	c, err := client.NewWithWatch(server.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return serveFor(t, c, set)
}

func serveFor(t *testing.T, c client.WithWatch, set func(*dashboard.Options)) *stand {
	t.Helper()
	return serveAt(t, c, "127.0.0.1:0", set)
}

func serveAt(t *testing.T, c client.WithWatch, address string, set func(*dashboard.Options)) *stand {
	t.Helper()
	g := NewWithT(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	g.Expect(err).NotTo(HaveOccurred())
	o := dashboard.Options{Client: c, Now: time.Now, Where: "here", Version: "v1", Write: true}
	if set != nil {
		set(&o)
	}
	d, err := dashboard.New(o, listener.Addr())
	g.Expect(err).NotTo(HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(t.Context(), listener) }()
	t.Cleanup(func() { g.Eventually(ended, patience).Should(Receive(BeNil())) }) // t.Context has ended by then
	base, token, _ := strings.Cut(d.URL(), "/#token=")
	return &stand{g, t, c, base, token}
}

// ask makes a request as the page does, but for what change changes.
func (s *stand) ask(method, path string, change func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, http.NoBody)
	s.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Origin", s.base)
		r.Header.Set("X-AgentSession", "1")
	}
	if change != nil {
		change(r)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	s.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	return response, string(text)
}

// TestWhoIsLetIn: a request gets nothing but the page's own files without the token, and
// nothing by another host, or from another site.
func TestWhoIsLetIn(t *testing.T) {
	s := serve(t, func(o *dashboard.Options) { o.Hosts = []string{"agents.example", "other.example:8443"} })
	_, port, _ := strings.Cut(strings.TrimPrefix(s.base, "http://"), ":")
	const page, stop = "/", "/api/sessions/default/x/stop"
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) {
			r.Host = name
			if r.Method == http.MethodPost {
				r.Header.Set("Origin", "https://"+name)
			}
		}
	}
	for name, c := range map[string]struct {
		method, path string
		change       func(*http.Request)
		code         int
		says         string
	}{
		"the page":                    {http.MethodGet, page, nil, 200, "<!doctype html>"},
		"a session that is not there": {http.MethodGet, "/api/sessions/default/x", nil, 404, "no AgentSession"},
		"no token, the page":          {http.MethodGet, page, func(r *http.Request) { r.Header.Del("Authorization") }, 200, "<!doctype html>"},
		"no token, a file":            {http.MethodGet, "/assets/app.js", func(r *http.Request) { r.Header.Del("Authorization") }, 200, ""},
		"no token, the stream":        {http.MethodGet, "/api/stream", func(r *http.Request) { r.Header.Del("Authorization") }, 403, "token is missing"},
		"no token, a session":         {http.MethodGet, "/api/sessions/default/x", func(r *http.Request) { r.Header.Del("Authorization") }, 403, "token is missing"},
		"no token, a post":            {http.MethodPost, stop, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "token is missing"},
		"another token":               {http.MethodGet, "/api/stream", header("Authorization", "Bearer x"), 403, "token is missing or wrong"},
		"another scheme":              {http.MethodGet, "/api/stream", header("Authorization", "Basic "+s.token), 403, "token is missing or wrong"},
		"a token in the address":      {http.MethodGet, "/api/stream?token=" + s.token, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "token is missing or wrong"},
		"a token in a cookie": {http.MethodGet, "/api/stream", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.AddCookie(&http.Cookie{Name: "agentsession-token", Value: s.token})
		}, 403, "token is missing or wrong"},
		"a name that leads here":        {http.MethodGet, page, host("evil.example:" + port), 403, "--allow-host"},
		"a name that leads here, a try": {http.MethodGet, "/?token=" + s.token, host("evil.example"), 403, "--allow-host"},
		"another port":                  {http.MethodGet, page, host("127.0.0.1:1"), 403, "--allow-host"},
		"localhost":                     {http.MethodGet, page, host("localhost:" + port), 200, ""},
		"an allowed name":               {http.MethodGet, page, host("Agents.example"), 200, ""},
		"an allowed name, any port":     {http.MethodGet, page, host("agents.example:99"), 200, ""},
		"an allowed name and port":      {http.MethodGet, page, host("other.example:8443"), 200, ""},
		"an allowed name, another port": {http.MethodGet, page, host("other.example"), 403, "--allow-host"},
		"another site reads":            {http.MethodGet, "/api/stream", header("Sec-Fetch-Site", "cross-site"), 403, "another site"},
		"another port's page reads":     {http.MethodGet, "/api/stream", header("Sec-Fetch-Site", "same-site"), 403, "another site"},
		"a post":                        {http.MethodPost, stop, nil, 404, "no AgentSession"},
		"a post by an allowed name":     {http.MethodPost, stop, host("agents.example"), 404, "no AgentSession"},
		"another site posts":            {http.MethodPost, stop, header("Origin", "https://evil.example"), 403, "Origin must be the page's own"},
		"another port's page posts":     {http.MethodPost, stop, header("Origin", "http://127.0.0.1:1"), 403, "Origin must be the page's own"},
		"a post of nobody":              {http.MethodPost, stop, func(r *http.Request) { r.Header.Del("Origin") }, 403, "Origin must be the page's own"},
		"a sandboxed frame posts":       {http.MethodPost, stop, header("Origin", "null"), 403, "Origin must be the page's own"},
		"a form posts":                  {http.MethodPost, stop, func(r *http.Request) { r.Header.Del("X-AgentSession") }, 403, "X-AgentSession"},
		"a verb that is none":           {http.MethodPost, "/api/sessions/default/x/delete", nil, 404, "stop, wake and invoke"},
		"no file":                       {http.MethodGet, "/assets/secrets.js", nil, 404, "no such file"},
		"no text":                       {http.MethodGet, "/assets/htm-preact.LICENSE.txt", nil, 404, "no such file"},
		"a way out":                     {http.MethodGet, "/assets/..%2fpage.go", nil, 404, "nothing at this path"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.WithT = NewWithT(t)
			response, text := s.ask(c.method, c.path, c.change)
			s.Expect(response.StatusCode).To(Equal(c.code), text)
			s.Expect(text).To(ContainSubstring(c.says))
			s.Expect(response.Header.Get("Content-Security-Policy")).To(HavePrefix("default-src 'none'; script-src 'self';"))
			s.Expect(response.Header.Get("X-Content-Type-Options")).To(Equal("nosniff"))
			s.Expect(response.Header.Get("Cache-Control")).To(Equal("no-store"))
			s.Expect(response.Header.Get("Access-Control-Allow-Origin")).To(BeEmpty())
			s.Expect(response.Cookies()).To(BeEmpty(), "cookies go to all ports of a host")
		})
	}
}

// TestBelowAPath: a proxy leaves the public path on, or takes it off.
func TestBelowAPath(t *testing.T) {
	s := serve(t, func(o *dashboard.Options) { o.PublicPath = "/sessions/" })
	response, _ := s.ask(http.MethodGet, "/sessions/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	s.Expect(response.StatusCode).To(Equal(http.StatusOK), "a link to the page")
	for _, page := range []string{"/", "/sessions/", "/sessions/assets/app.js", "/assets/app.js"} {
		response, text := s.ask(http.MethodGet, page, nil)
		s.Expect(response.StatusCode).To(Equal(http.StatusOK), text)
	}
	for _, path := range []string{"/api/sessions/default/x", "/sessions/api/sessions/default/x"} {
		response, _ := s.ask(http.MethodGet, path, nil)
		s.Expect(response.StatusCode).To(Equal(http.StatusNotFound))
		response, _ = s.ask(http.MethodGet, path, func(r *http.Request) { r.Header.Del("Authorization") })
		s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
	}
}

// TestAddresses have the token where a browser sends it to nobody, and can be opened.
func TestAddresses(t *testing.T) {
	for at, page := range map[string]string{
		"127.0.0.1:81": "127.0.0.1:81", "[::1]:81": "[::1]:81", "10.0.0.7:81": "10.0.0.7:81",
		"0.0.0.0:81": "127.0.0.1:81", "[::]:81": "localhost:81",
	} {
		g := NewWithT(t)
		addr, err := net.ResolveTCPAddr("tcp", at)
		g.Expect(err).NotTo(HaveOccurred())
		d, err := dashboard.New(dashboard.Options{Hosts: []string{"agents.example"}, PublicPath: "/sessions/"}, addr)
		g.Expect(err).NotTo(HaveOccurred())
		token, ok := strings.CutPrefix(d.URL(), "http://"+page+"/#token=")
		g.Expect(ok).To(BeTrue(), d.URL())
		g.Expect(len(token)).To(BeNumerically(">=", 26))
		g.Expect(d.URLs()).To(Equal([]string{"https://agents.example/sessions/#token=" + token}))
	}
}

// TestEverywhere: a page at all addresses of the machine answers at the one that it prints.
func TestEverywhere(t *testing.T) {
	g := NewWithT(t)
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	c, err := client.NewWithWatch(server.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	s := serveAt(t, c, "0.0.0.0:0", func(o *dashboard.Options) { o.Hosts = []string{"agents.example"} })
	response, text := s.ask(http.MethodGet, "/api/sessions/default/x", nil)
	s.Expect(response.StatusCode).To(Equal(http.StatusNotFound), text)
	response, _ = s.ask(http.MethodGet, "/", func(r *http.Request) { r.Host = "evil.example" })
	s.Expect(response.StatusCode).To(Equal(http.StatusForbidden))
}

// TestAChunkedRequestLosesItsConnection: what has both a Content-Length and a Transfer-Encoding is
// two requests to some proxies.
func TestAChunkedRequestLosesItsConnection(t *testing.T) {
	s := serve(t, nil)
	for head, closes := range map[string]bool{
		"Content-Length: 2\r\n\r\n{}":                                                 false,
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n":                      true,
		"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": true,
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.base, "http://"))
		s.Expect(err).NotTo(HaveOccurred())
		_, err = io.WriteString(conn, "POST /api/sessions/default/x/stop HTTP/1.1\r\nHost: "+conn.RemoteAddr().String()+
			"\r\nOrigin: "+s.base+"\r\nX-AgentSession: 1\r\nAuthorization: Bearer "+s.token+"\r\n"+head)
		s.Expect(err).NotTo(HaveOccurred())
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(response.StatusCode).To(Equal(http.StatusNotFound), "there is no such session")
		s.Expect(response.Close).To(Equal(closes), head)
		s.Expect(conn.Close()).To(Succeed())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	g := NewWithT(t)
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, path := range []string{"sessions/", "/sessions", "/a?b/", "//evil.example/", `/a\b/`, "/a/../", "/../", "/./", "/a/./b/", "/%2e%2e/", "/a\n/", "/a;b/", "/*/"} {
		_, err := dashboard.New(dashboard.Options{PublicPath: path}, at)
		g.Expect(err).To(MatchError(HavePrefix(fmt.Sprintf("--public-path is %q: it must begin and end with a slash", path))))
	}
	for _, path := range []string{"", "/", "/a/", "/a.b/~c/..d/"} {
		_, err := dashboard.New(dashboard.Options{PublicPath: path}, at)
		g.Expect(err).NotTo(HaveOccurred(), path)
	}
	for _, host := range []string{"", "https://agents.example", "a b", "*", "*.example.com", "a,b", "agents.example:", "agents.example:0", "agents.example:70000", "agents.example:*", ":8443", "-a.example", "a..b", "agents.example/x", "user@agents.example", "[::1", "a]"} {
		_, err := dashboard.New(dashboard.Options{Hosts: []string{host}}, at)
		g.Expect(err).To(MatchError(HavePrefix(fmt.Sprintf("--allow-host is %q: it must be one name or IP address", host))))
	}
	for _, host := range []string{"agents.example", "Agents.Example:8443", "localhost", "10.0.0.7", "10.0.0.7:8443", "::1", "[::1]", "[::1]:8443"} {
		_, err := dashboard.New(dashboard.Options{Hosts: []string{host}}, at)
		g.Expect(err).NotTo(HaveOccurred(), host)
	}
}
