package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// withLogs puts logs before an API that has none. It returns where it is, and what was
// asked of it.
func (d *desk) withLogs(answer http.HandlerFunc) (at string, asked *url.Values) {
	asked = &url.Values{}
	return d.before("log", func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.Query()
		answer(w, r)
	}), asked
}

// before puts a subresource before an API that does not have it, and returns where that is.
func (d *desk) before(subresource string, answer http.HandlerFunc) (at string) {
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig)
	d.Expect(err).NotTo(HaveOccurred())
	to, err := url.Parse(config.Host)
	d.Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport, err = rest.TransportFor(config)
	d.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Base(r.URL.Path) == subresource {
			answer(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	d.t.Cleanup(server.Close)
	return server.URL
}

func TestLogs(t *testing.T) {
	d := newDesk(t)
	d.fill()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "idle-2", Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "istio-proxy", Image: "i"}, {Name: "agent", Image: "a", Env: []corev1.EnvVar{{Name: contract.EnvToken, Value: "t"}}},
	}}}
	d.Expect(d.client.Create(t.Context(), pod)).To(Succeed())
	at, asked := d.withLogs(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("tailLines") {
		case "4":
			http.NotFound(w, r)
			return
		case "3":
			http.Error(w, "the node is away", http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte("first\x1b[2J\nlast"))
	})
	show := func(args ...string) (string, error) {
		out, _, err := d.run(append([]string{"--server", at, "logs"}, args...)...)
		return out, err
	}
	_, err := show("idle")
	d.Expect(err).To(MatchError(`AgentSession "idle" has no compute, so there is no log`), "the pod by that name is another")
	s := d.session("idle")
	s.Status.Pod.UID = pod.UID
	d.Expect(d.client.Status().Update(t.Context(), s)).To(Succeed())
	out, err := show("idle")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(Equal("first\x1b[2J\nlast"), "into a file it is what it is")
	d.Expect(*asked).To(Equal(url.Values{"container": {"agent"}}), "of the agent, and not of what was injected")
	_, err = show("idle", "-f", "--tail", "0")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(*asked).To(Equal(url.Values{"container": {"agent"}, "follow": {"true"}, "tailLines": {"0"}}))

	for args, says := range map[string]string{
		"idle --tail 4":  "the API server has no log of pod idle-2: it may just have gone; and what agents of `agentsession local` write",
		"idle --tail 3":  "read the log of pod idle-2",
		"idle --tail -2": "--tail is -2: it must be -1",
		"idle busy":      "one name is wanted, and not 2",
		"":               "a name is missing",
		"nobody":         `there is no AgentSession "nobody"`,
		"exited":         `AgentSession "exited" has no compute, and the log of the last went with its pod. It ended by AgentExited: The agent exited with code 1`,
	} {
		_, err := show(strings.Fields(args)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
	}
	s = d.session("research")
	s.Status = v1alpha1.AgentSessionStatus{State: v1alpha1.StateStarting}
	d.Expect(d.client.Status().Update(t.Context(), s)).To(Succeed())
	_, err = show("research")
	d.Expect(err).To(MatchError(`AgentSession "research" has no compute, so there is no log`))
}

// TestNothingIsHeldBack that can be shown, whatever comes after it: a carriage return, or a part
// of a character.
func TestNothingIsHeldBack(t *testing.T) {
	for _, chunk := range []string{"text", "text\r", "text\xc3"} {
		g, out := NewWithT(t), &lineBuffer{}
		from, to := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- copyPrintable(out, from) }()
		_, err := io.WriteString(to, chunk)
		g.Expect(err).NotTo(HaveOccurred())
		g.Eventually(out.String, patience).Should(Equal("text"), "%q", chunk)
		g.Expect(to.Close()).To(Succeed())
		g.Eventually(ended, patience).Should(Receive(BeNil()))
	}
}

// TestLogsInATerminal: nothing does anything to it, and a line is there as soon as it came.
func TestLogsInATerminal(t *testing.T) {
	g, out := NewWithT(t), &bytes.Buffer{}
	g.Expect(copyPrintable(out, iotest.OneByteReader(strings.NewReader("a\tü\x1b[2J\u202e\u009b\xff\nlast")))).To(Succeed())
	g.Expect(out.String()).To(Equal("a\tü?[2J??\ufffd\nlast"))
	g.Expect(copyPrintable(out, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))))).To(MatchError(iotest.ErrTimeout))
	g.Expect(out.String()).To(HaveSuffix("lasta"), "what came is written")
}
