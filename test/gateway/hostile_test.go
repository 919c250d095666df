package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/echo"
	"github.com/agentsession/agentsession/test/front"
)

var _ = Describe("An agent that", func() {
	const early = "HTTP/1.1 103 Early Hints\r\nX-Early: " + echo.Secret + "\r\n\r\n"
	for what, raw := range map[string]string{
		"fails after it has said something before":   early + early + "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
		"says something before without an end":       strings.Repeat(early, 10_000) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"has endless headers":                        "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 100<<10) + "\r\nContent-Length: 0\r\n\r\n",
		"switches to a protocol nobody asked for":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"switches to no protocol":                    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"says nothing that is HTTP":                  "SSH-2.0-OpenSSH_9.9\r\n",
		"has a length that is none":                  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"cannot tell where its answer ends":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"asks for a connection to be upgraded first": "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
	} {
		It(what+" has failed, and is let go", func(ctx context.Context) {
			d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
			a := d.invoke(ctx, agent, session, ask{Raw: raw})
			Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
			Expect(a.body).NotTo(ContainSubstring(echo.Secret))
			Expect(a.header).To(And(
				HaveKeyWithValue("X-Amzn-Requestid", ConsistOf(HaveLen(36))), HaveKeyWithValue("X-Amzn-Errortype", ConsistOf("RuntimeClientError")),
				HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", ConsistOf(session)), Not(HaveKey("X-Early"))))
			Eventually(plane.Gone).Should(Receive(Equal(session)), "its connection is closed")
		})
	}

	It("ends its answer with its connection has it cut where it broke off", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		const head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
		a := d.invoke(ctx, agent, session, ask{Raw: head + `{"a": 1}`, Die: true})
		Expect(a.err).NotTo(HaveOccurred())
		Expect(a.code).To(Equal(http.StatusOK), a.body)
		Expect(a.body).To(Equal(`{"a": 1}`))
		Expect(d.invoke(ctx, agent, session, ask{Raw: head + `{"a": 1`, Die: true}).err).To(MatchError(io.ErrUnexpectedEOF))
	})

	It("has trailers keeps them for itself", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		for _, announced := range []string{"", "Trailer: X-Late\r\n"} {
			response, err := http.DefaultClient.Do(d.request(ctx, path(agent, "invocations"), id(),
				ask{Raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + announced + "\r\n2\r\n{}\r\n0\r\nX-Late: " + echo.Secret + "\r\n\r\n"}))
			Expect(err).NotTo(HaveOccurred())
			defer response.Body.Close()
			Expect(response.StatusCode).To(Equal(http.StatusOK))
			Expect(io.ReadAll(response.Body)).To(BeEquivalentTo("{}"))
			Expect(response.Trailer).To(BeEmpty())
			Expect(response.Header).To(And(Not(HaveKey("Trailer")), HaveKeyWithValue("X-Amzn-Requestid", HaveLen(1)),
				HaveKeyWithValue("X-Amzn-Bedrock-Agentcore-Runtime-Session-Id", HaveLen(1))))
		}
	})

	It("refuses a WebSocket has failed", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path(agent, "ws"), nil)
		Expect(err).NotTo(HaveOccurred())
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": session} {
			r.Header.Set(name, value)
		}
		a := send(r) // without the key of a WebSocket: the agent refuses
		Expect(a.code).To(Equal(http.StatusFailedDependency), a.body)
		Expect(a.header).To(HaveKeyWithValue("X-Amzn-Requestid", HaveLen(1)))
	})

	It("is never healthy costs its caller AWS's own error", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx), deaf)
		a := d.invoke(ctx, agent, id(), ask{})
		Expect(a.code).To(Equal(http.StatusFailedDependency))
		Expect(a.header.Get("X-Amzn-ErrorType")).To(Equal("RuntimeClientError"))
		Expect(a.failed.Message).To(Equal("Runtime initialization time exceeded. Please make sure that initialization completes in 20s."), "the least in a scaled time")
	})

	It("cannot be had leaves a session and a runtime that say why", func(ctx context.Context) {
		d, session := openDoor(), id()
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) {
			s.Template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 40}}}
		})
		a := d.invoke(ctx, agent, session, ask{})
		Expect(a.code).To(Equal(http.StatusFailedDependency))
		Expect(a.failed.Message).To(ContainSubstring("The session cannot start: PodRefused"))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		why := "The template has no terminationGracePeriodSeconds, and 30 seconds are the default: set it"
		Expect(sessionOf(ctx, agent, session).Status.LastTermination).To(And(HaveField("Reason", v1alpha1.StopStartFailed),
			HaveField("Message", And(HavePrefix("PodRefused: The API server refused the pod: "), ContainSubstring(why)))))
		Eventually(func(g Gomega) {
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(agent), agent)).To(Succeed())
			g.Expect(agent.Status.Conditions).To(ContainElement(And(
				HaveField("Type", v1alpha1.ConditionSessionsStart), HaveField("Status", metav1.ConditionFalse),
				HaveField("Reason", string(v1alpha1.StopStartFailed)), HaveField("Message", And(ContainSubstring("PodRefused"), ContainSubstring(why))))))
		}).Should(Succeed())
		Expect(d.invoke(ctx, agent, session, ask{}).failed.Message).To(ContainSubstring("PodRefused"), "it is tried again for whoever calls again")
	})

	It("never ran has failed its caller", func(ctx context.Context) {
		d, session := openDoor(), id()
		agent := newRuntime(ctx, newNamespace(ctx), held)
		answered := make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			answered <- d.invoke(ctx, agent, session, ask{})
		}()
		var pods []corev1.Pod
		Eventually(func() []corev1.Pod { pods = podsOf(ctx, agent); return pods }).Should(HaveLen(1))
		pods[0].Status.Phase, pods[0].Status.Reason = corev1.PodFailed, "OutOfcpu"
		Expect(api.Status().Update(ctx, &pods[0])).To(Succeed())
		var a answer
		Eventually(answered).Should(Receive(&a))
		Expect(a.code).To(Equal(http.StatusFailedDependency))
		Expect(a.failed.Message).To(HavePrefix("An error occurred when starting the runtime."))
	})

	It("ends before it is healthy has failed its caller", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx), held), id()
		answered := make(chan answer, 1)
		go func() {
			defer GinkgoRecover()
			answered <- d.invoke(ctx, agent, session, ask{})
		}()
		var pods []corev1.Pod
		Eventually(func() []corev1.Pod { pods = podsOf(ctx, agent); return pods }).Should(HaveLen(1))
		// The first that is heard of it, or the time of an agent that has started would run.
		pods[0].Status.Phase = corev1.PodFailed
		pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "agent", Image: "echo", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
		}}
		Expect(api.Status().Update(ctx, &pods[0])).To(Succeed())
		var a answer
		Eventually(answered).Should(Receive(&a))
		Expect(a.code).To(Equal(http.StatusFailedDependency))
		Expect(a.failed.Message).To(Equal("Runtime health check failed or timed out. Please make sure that health check is implemented according to the requirements."))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopAgentExited))
	})
})

// deaf has a runtime's agents answer nothing.
func deaf(s *v1alpha1.AgentRuntimeSpec) { s.ProtocolConfiguration.Port = 1 }

// raw sends bytes as they are, and returns the answer to them.
func (d *door) raw(head string, body ...byte) *http.Response {
	GinkgoHelper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	Expect(conn.SetDeadline(time.Now().Add(time.Minute))).To(Succeed())
	go conn.Write(append([]byte(head), body...)) // who refuses it need not read it all
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	Expect(err).NotTo(HaveOccurred())
	return response
}

var _ = Describe("A caller who", func() {
	It("sends a head that clients do not send is refused, or asks for what it says", func(ctx context.Context) {
		d, agent := openDoor(), newRuntime(ctx, newNamespace(ctx))
		session := "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: " + id()
		at := path(agent, "invocations")
		for head, code := range map[string]int{
			"POST " + at + " HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings": 200,
			"POST http://elsewhere.example" + at + " HTTP/1.1\r\nHost: elsewhere.example":                                                    200,
			"CONNECT " + strings.TrimPrefix(d.url, "http://") + " HTTP/1.1\r\nHost: a":                                                       404,
			"CONNECT " + at + " HTTP/1.1\r\nHost: a":                                                                                         405,
			"PRI * HTTP/2.0\r\nHost: a":                                                                                                      404,
			"POST *" + at + " HTTP/1.1\r\nHost: a":                                                                                           400,
			"POST /runtimes/a\x00b/invocations HTTP/1.1\r\nHost: a":                                                                          400,
			"POST /runtimes/a%00b/invocations HTTP/1.1\r\nHost: a":                                                                           400,
			"POST /runtimes/a\xff\xfeb/invocations HTTP/1.1\r\nHost: a":                                                                      400,
			"POST /runtimes/../runtimes/a/invocations HTTP/1.1\r\nHost: a":                                                                   404,
			"POST //runtimes/a/invocations HTTP/1.1\r\nHost: a":                                                                              404,
			"POST " + at + "?qualifier=DEFAULT;x HTTP/1.1\r\nHost: a":                                                                        200,
			"POST " + at + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity":                                                    501,
			"POST " + at + " HTTP/1.1\r\nHost: a\r\n" + session + "\r\nX-Split: a\nX-Amzn-Bedrock-AgentCore-Runtime-Session-Id: " + id():     400,
			"POST " + at + " HTTP/1.1\r\nHost: a\r\nX-Long: " + aLot[:1<<20]:                                                                 431,
		} {
			response := d.raw(head + "\r\n" + session + "\r\nContent-Length: 2\r\n\r\n{}")
			body, err := io.ReadAll(response.Body)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.StatusCode).To(Equal(code), "%.200q: %.200s", head, body)
			if code == http.StatusOK {
				Expect(body).To(And(ContainSubstring(`"path":"/invocations"`), Not(ContainSubstring("Upgrade")), Not(ContainSubstring("Http2-Settings"))))
			}
		}
		Expect(podsOf(ctx, agent)).To(HaveLen(1))
	})

	It("goes in mid-stream ends what the agent does for him", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		Expect(err).NotTo(HaveOccurred())
		Expect(d.request(ctx, path(agent, "invocations"), session, ask{Chunks: 2, Sleep: "1h"}).Write(conn)).To(Succeed())
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(conn.Close()).To(Succeed())
		left := time.Now()
		Eventually(plane.Gone).WithPolling(time.Millisecond).Should(Receive(Equal(session)))
		AddReportEntry("The agent knew", fmt.Sprintf("%s after the caller had gone (1 s is wanted)", time.Since(left)))
	})

	It("stops a session ends the streams of it", func(ctx context.Context) {
		d, agent, session := openDoor(), newRuntime(ctx, newNamespace(ctx)), id()
		response, err := http.DefaultClient.Do(d.request(ctx, path(agent, "invocations"), session, ask{Chunks: 2, Sleep: "1h"}))
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close()
		Expect(response.StatusCode).To(Equal(http.StatusOK))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path(agent, "stopruntimesession"), nil)
		Expect(err).NotTo(HaveOccurred())
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
		Expect(send(r).code).To(Equal(http.StatusOK), "the body may be left out")
		_, err = io.ReadAll(response.Body)
		Expect(err).To(MatchError(io.ErrUnexpectedEOF))
		Eventually(stateOf(ctx, agent, session)).Should(Equal(v1alpha1.StateStopped))
		Expect(sessionOf(ctx, agent, session).Status.LastTermination.Reason).To(Equal(v1alpha1.StopRequested))
	})

	It("stops the session of another tenant learns nothing of it", func(ctx context.Context) {
		ours, theirs := newNamespace(ctx), newNamespace(ctx)
		agent := newRuntime(ctx, theirs)
		live := warm(ctx, agent)
		Expect(api.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: "key", Labels: map[string]string{authn.LabelAccessKey: ""}},
			StringData: map[string]string{"accessKeyId": "AK" + ours, "secretAccessKey": "secret", "namespaces": ours},
		})).To(Succeed())
		d := openDoor(front.Authenticated)
		stop := func(at, session string) answer {
			r := d.request(ctx, at, session, struct{}{})
			Expect(caller.Sign(r, "AK"+ours, "secret")).To(Succeed())
			return send(r)
		}
		at := path(agent, "stopruntimesession")
		known, unknown, nowhere := stop(at, live), stop(at, id()), stop(strings.Replace(at, agent.Name, "none", 1), id())
		for _, a := range []answer{known, unknown, nowhere} {
			Expect(a.code).To(Equal(http.StatusNotFound), a.body)
			for _, own := range []string{"X-Amzn-Requestid", "Date"} {
				Expect(a.header).To(HaveKey(own))
				a.header.Del(own)
			}
			Expect(a.header).To(Equal(known.header))
			Expect(a.body).To(Equal(known.body))
		}
		Expect(sessionOf(ctx, agent, live).Spec.DesiredState).NotTo(Equal(v1alpha1.DesiredStopped))
	})
})
