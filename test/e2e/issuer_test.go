package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// issuer is one of tokens, with TLS of an authority that nobody knows.
type issuer struct {
	url, authority string
	key            *ecdsa.PrivateKey
}

// serveTLS serves the files of a volume.
const serveTLS = `
import functools, http.server, ssl
files = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/served")
server = http.server.ThreadingHTTPServer(("", 8443), files)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
`

// newIssuer runs one as a pod behind a Service, by whose address it is known.
func newIssuer(ctx context.Context, namespace string) *issuer {
	GinkgoHelper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "issuer"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "issuer"}, Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt32(8443)}},
		},
	}
	Expect(api.Create(ctx, service)).To(Succeed())
	i := &issuer{url: "https://" + service.Spec.ClusterIP}
	if ip := net.ParseIP(service.Spec.ClusterIP); ip.To4() == nil {
		i.url = "https://[" + service.Spec.ClusterIP + "]"
	}
	certificate, private := i.certify(net.ParseIP(service.Spec.ClusterIP))
	documents := map[string]any{
		"configuration": map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}},
		"keys":          jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "first", Algorithm: "ES256", Use: "sig"}}},
	}
	data := map[string]string{"tls.crt": certificate, "tls.key": private}
	for name, document := range documents {
		raw, err := json.Marshal(document)
		Expect(err).NotTo(HaveOccurred())
		data[name] = string(raw)
	}
	Expect(api.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "issuer"}, StringData: data})).To(Succeed())

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "issuer", Labels: map[string]string{"app": "issuer"}},
		Spec:       *example(namespace, "echo").Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.TerminationGracePeriodSeconds = new(int64)
	container := &pod.Spec.Containers[0]
	container.Image, container.Args, container.Ports = stockImage, []string{"python", "-c", serveTLS}, nil
	container.Resources = corev1.ResourceRequirements{}
	for at, items := range map[string][]corev1.KeyToPath{
		"tls":    {{Key: "tls.crt", Path: "tls.crt"}, {Key: "tls.key", Path: "tls.key"}},
		"served": {{Key: "configuration", Path: ".well-known/openid-configuration"}, {Key: "keys", Path: "keys"}},
	} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
			Name: at, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "issuer", Items: items}},
		})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: at, MountPath: "/" + at, ReadOnly: true})
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	return i
}

// certify makes the issuer's key, which signs tokens too, a certificate for its address,
// and the authority of that.
func (i *issuer) certify(address net.IP) (certificate, private string) {
	GinkgoHelper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a private authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "an issuer"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{address}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	i.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	written := func(kind string, raw []byte, err error) string {
		GinkgoHelper()
		Expect(err).NotTo(HaveOccurred())
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
	}
	raw, err := x509.CreateCertificate(rand.Reader, authority, authority, root.Public(), root)
	i.authority = written("CERTIFICATE", raw, err)
	raw, err = x509.CreateCertificate(rand.Reader, own, authority, i.key.Public(), root)
	certificate = written("CERTIFICATE", raw, err)
	raw, err = x509.MarshalPKCS8PrivateKey(i.key)
	return certificate, written("PRIVATE KEY", raw, err)
}

func (i *issuer) token() string {
	GinkgoHelper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", "first"))
	Expect(err).NotTo(HaveOccurred())
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": i.url, "sub": "somebody", "aud": "agents", "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	Expect(err).NotTo(HaveOccurred())
	return token
}

// restartGateways has pods of the gateway in the place of those that there are.
func restartGateways(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	old := gateways(ctx)
	for n := range old {
		Expect(client.IgnoreNotFound(api.Delete(ctx, &old[n], client.GracePeriodSeconds(0)))).To(Succeed())
	}
	var pods []corev1.Pod
	Eventually(func() []corev1.Pod {
		pods = gateways(ctx)
		return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
			ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			return ready && !slices.ContainsFunc(old, func(was corev1.Pod) bool { return was.UID == pod.UID })
		})
	}).Should(BeEmpty())
	return pods
}

func logOf(ctx context.Context, pod *corev1.Pod) string {
	GinkgoHelper()
	pods, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	stream, err := pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(ctx)
	Expect(err).NotTo(HaveOccurred())
	defer stream.Close()
	raw, err := io.ReadAll(stream)
	Expect(err).NotTo(HaveOccurred())
	return string(raw)
}

var _ = Describe("An issuer of tokens with a private authority", Ordered, func() {
	BeforeAll(func(ctx context.Context) {
		runOperator(ctx)
		installGateway(ctx)
	})

	It("is trusted once the gateway is told of the authority", func(ctx context.Context) {
		namespace := newNamespace(ctx)
		who := newIssuer(ctx, namespace)
		agent := runtimeOf(ctx, namespace, "echo").DeepCopy()
		agent.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "authorized"}
		agent.Status = v1alpha1.AgentRuntimeStatus{}
		agent.Spec.AuthorizerConfiguration = &v1alpha1.AuthorizerConfiguration{CustomJWTAuthorizer: v1alpha1.CustomJWTAuthorizer{
			DiscoveryURL: who.url + "/.well-known/openid-configuration", AllowedAudience: []string{"agents"},
		}}
		create(ctx, agent)
		invoke := func(port uint16, token string) *http.Response {
			GinkgoHelper()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost,
				fmt.Sprintf("http://127.0.0.1:%d/runtimes/%s/invocations", port, url.PathEscape(agent.Status.AgentRuntimeArn)), bytes.NewReader([]byte("{}")))
			Expect(err).NotTo(HaveOccurred())
			r.Header.Set("Authorization", "Bearer "+token)
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(response.Body.Close)
			return response
		}
		pods := gateways(ctx)
		port := reach(&pods[0], 8080)
		Eventually(func() string { // as soon as the issuer serves
			Expect(invoke(port, who.token()).StatusCode).To(Equal(http.StatusUnauthorized))
			return logOf(ctx, &pods[0])
		}).WithPolling(time.Second).Should(And(ContainSubstring("failed to verify certificate"), ContainSubstring("unknown authority")))

		By("telling it")
		roots := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "agentsession-roots"},
			Data:       map[string]string{"private.crt": who.authority},
		}
		Expect(api.Create(ctx, roots)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, roots)).To(Succeed()) })
		for _, pod := range restartGateways(ctx) {
			port := reach(&pod, 8080)
			response := invoke(port, who.token())
			Expect(response.StatusCode).To(Equal(http.StatusOK), text(response))
			stranger := strings.TrimRight(who.token(), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
			Expect(invoke(port, stranger+"AAAA").StatusCode).To(Equal(http.StatusUnauthorized), "what the issuer has not signed")
		}
	})
})
