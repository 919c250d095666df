package gateway_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

// newKey makes an access key for the runtimes of a namespace.
func newKey(ctx context.Context, namespace, rights string) (id, secret string) {
	GinkgoHelper()
	Expect(api.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "key-", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": "AK" + namespace + rights, "secretAccessKey": "secret-" + rights, "namespaces": namespace, "rights": rights},
	})).To(Succeed())
	return "AK" + namespace + rights, "secret-" + rights
}

// presign is a URL of an operation of a runtime that a key's owner has made.
func presign(ctx context.Context, d *door, at string, query url.Values, key, secret string) string {
	GinkgoHelper()
	query.Set("X-Amz-Expires", "300")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+at+"?"+query.Encode(), nil)
	Expect(err).NotTo(HaveOccurred())
	signed, err := caller.Presign(r, key, secret)
	Expect(err).NotTo(HaveOccurred())
	return "ws" + strings.TrimPrefix(signed, "http")
}

// dial opens a WebSocket, or tells how that was refused.
func dial(ctx context.Context, url string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, string) {
	socket, response, err := websocket.Dial(ctx, url, o)
	if err == nil {
		DeferCleanup(func() { _ = socket.CloseNow() }) // it may be closed
		return socket, response, ""
	}
	if response == nil {
		return nil, nil, err.Error()
	}
	body := make([]byte, 1024) // what Dial keeps of it
	n, _ := response.Body.Read(body)
	return nil, response, response.Header.Get("X-Amzn-ErrorType") + ": " + string(body[:n])
}

var _ = Describe("A WebSocket", func() {
	It("ends with a frame of more than 64 KiB, and its caller and the log are told", func(ctx context.Context) {
		log := gbytes.NewBuffer()
		d := openDoor(func(o *gateway.Options) {
			o.Log = funcr.NewJSON(func(line string) { _, _ = log.Write([]byte(line + "\n")) }, funcr.Options{})
		})
		agent, session := newRuntime(ctx, newNamespace(ctx)), id()
		socket, _, refusal := dial(ctx, "ws"+strings.TrimPrefix(d.url, "http")+path(agent, "ws"), &websocket.DialOptions{HTTPHeader: http.Header{sessionHeader: {session}}})
		Expect(refusal).To(BeEmpty())
		socket.SetReadLimit(64 << 10)
		says := func() string {
			GinkgoHelper()
			_, message, err := socket.Read(ctx)
			Expect(err).NotTo(HaveOccurred())
			return string(message)
		}
		Expect(says()).To(Equal(session))
		fits := strings.Repeat("#", 64<<10)
		Expect(socket.Write(ctx, websocket.MessageText, []byte(fits))).To(Succeed())
		Expect(says()).To(Equal(fits))

		Expect(socket.Write(ctx, websocket.MessageText, []byte(strings.Repeat("#", 1<<20)))).To(Succeed())
		_, _, err := socket.Read(ctx)
		closed, _ := errors.AsType[websocket.CloseError](err)
		Expect(closed).To(Equal(websocket.CloseError{Code: websocket.StatusMessageTooBig, Reason: "a frame has 1048576 bytes, and 65536 are allowed"}))
		Expect(d.shut()).To(Succeed(), "nothing is in flight")
		Expect(log).To(gbytes.Say(`"code":101,.*"error":"the WebSocket was closed: a frame has 1048576 bytes, and 65536 are allowed"`))
		Expect(openDoor().invoke(ctx, agent, session, ask{}).code).To(Equal(http.StatusOK), "the session lives")
	})

	It("is opened by a presigned URL, to the session that it names", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		d, agent, session := openDoor(front.Authenticated), newRuntime(ctx, namespace), id()
		key, secret := newKey(ctx, namespace, "invocations")
		signed := presign(ctx, d, path(agent, "ws"), url.Values{sessionHeader: {session}}, key, secret)
		var socket *websocket.Conn
		Eventually(func() (refusal string) { // the gateway learns of the key
			socket, _, refusal = dial(ctx, signed, nil)
			return refusal
		}).Should(BeEmpty())
		_, message, err := socket.Read(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(message)).To(Equal(session))

		By("and by none that was changed, nor for anything else")
		for says, change := range map[string]func(string) (string, *websocket.DialOptions){
			"does not match": func(u string) (string, *websocket.DialOptions) { return strings.Replace(u, session, id(), 1), nil },
			"must be signed": func(u string) (string, *websocket.DialOptions) {
				return u, &websocket.DialOptions{HTTPHeader: http.Header{sessionHeader: {id()}}}
			},
			"from 1 to 300": func(u string) (string, *websocket.DialOptions) {
				return strings.Replace(u, "Expires=300", "Expires=600", 1), nil
			},
			"signed once": func(u string) (string, *websocket.DialOptions) {
				return u, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer x"}}}
			},
		} {
			at, o := change(signed)
			_, response, refusal := dial(ctx, at, o)
			Expect(response.StatusCode).To(Equal(http.StatusForbidden), refusal)
			Expect(refusal).To(And(HavePrefix("AccessDeniedException"), ContainSubstring(says)))
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(signed, "ws"), nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(fetch(r).code).To(Equal(http.StatusBadRequest), "it does not ask for a WebSocket")
		stop, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.Replace("http"+strings.TrimPrefix(signed, "ws"), "/ws?", "/stopruntimesession?", 1), nil)
		Expect(err).NotTo(HaveOccurred())
		a := fetch(stop)
		Expect(a.code).To(Equal(http.StatusForbidden), a.body)
		Expect(a.failed.Message).To(ContainSubstring("opens a WebSocket, and nothing else"))
	})

	It("takes its caller's token as a subprotocol, as pages of browsers send it", func(ctx context.Context) {
		issuer := newIDP()
		d := openDoor(front.Authenticated, func(o *gateway.Options) { o.Issuers = issuer.Client().Transport })
		agent := newRuntime(ctx, newNamespace(ctx), func(s *v1alpha1.AgentRuntimeSpec) { s.AuthorizerConfiguration = issuer.authorizes() })
		session := id()
		at := "ws" + strings.TrimPrefix(d.url, "http") + path(agent, "ws") + "?" + sessionHeader + "=" + session
		protocols := func(token string) *websocket.DialOptions {
			return &websocket.DialOptions{Subprotocols: []string{
				authn.BearerProtocol + "." + base64.RawURLEncoding.EncodeToString([]byte(token)), authn.BearerProtocol,
			}}
		}
		socket, response, refusal := dial(ctx, at, protocols(sign(jose.ES256, issuer.key, "first", issuer.claims(nil))))
		Expect(refusal).To(BeEmpty())
		Expect(response.Header.Get("Sec-WebSocket-Protocol")).To(Equal(authn.BearerProtocol), "or browsers close it")
		_, message, err := socket.Read(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(message)).To(Equal(session))

		By("and no other token")
		_, response, refusal = dial(ctx, at, protocols(sign(jose.ES256, issuer.key, "first", issuer.claims(map[string]any{"aud": "others"}))))
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized), refusal)
		Expect(response.Header.Get("WWW-Authenticate")).To(HavePrefix("Bearer resource_metadata="))
		_, response, refusal = dial(ctx, at, &websocket.DialOptions{Subprotocols: []string{authn.BearerProtocol}})
		Expect(response.StatusCode).To(Equal(http.StatusForbidden), refusal)
		Expect(refusal).To(ContainSubstring("given as two of them"))
	})
})
