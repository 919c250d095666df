package kubeapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Bounds, each as a Kubernetes API server has by default.
const (
	maxBody    = 3 << 20
	minWatch   = 30 * time.Minute // how long a watch lasts at least whose client does not say
	maxPending = 600              // requests at a time, watches included
)

// Namespace is there from the beginning.
const Namespace = metav1.NamespaceDefault

// ContextName is the context, and all else, of a kubeconfig for it.
const ContextName = "agentsession-local"

// Server is an API that listens on loopback.
type Server struct {
	config *restclient.Config
	http   *http.Server
	mux    *http.ServeMux
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Start serves an API on a free port of 127.0.0.1 until Stop.
func Start(ctx context.Context) (*Server, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	m := &memory{codecs: serializer.NewCodecFactory(scheme), tables: map[schema.GroupResource]*table{}, collector: newCollector()}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	s, err := newServer(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	mux, namespaces, err := newHandler(m, scheme, listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.mux = mux
	s.http.Handler = s.authenticate(filters.WithWarningRecorder(mux))
	_, err = namespaces.Create(request.WithNamespace(ctx, metav1.NamespaceNone), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the namespace: %w", err), listener.Close())
	}
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the garbage collector's client: %w", err), listener.Close())
	}
	collecting, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.http.BaseContext = func(net.Listener) context.Context { return collecting }
	s.ended.Go(func() { m.collector.run(collecting, client) })
	s.ended.Go(func() { _ = s.http.ServeTLS(listener, "", "") }) // it ends by Stop
	return s, nil
}

// newServer makes a server with a certificate and a token of its own.
func newServer(address string) (*Server, error) {
	certificate, authority, err := selfSigned()
	if err != nil {
		return nil, err
	}
	return &Server{
		config: &restclient.Config{
			Host: "https://" + address, BearerToken: rand.Text(), QPS: -1,
			TLSClientConfig: restclient.TLSClientConfig{CAData: authority},
		},
		http: &http.Server{
			ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 20,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		},
	}, nil
}

// Stop ends the server, its watches too.
func (s *Server) Stop() error {
	s.stop()
	err := s.http.Close()
	s.ended.Wait()
	return err
}

// Config is how client-go reaches the API.
func (s *Server) Config() *restclient.Config { return restclient.CopyConfig(s.config) }

// Kubeconfig is how kubectl reaches it.
func (s *Server) Kubeconfig() ([]byte, error) {
	const name = ContextName
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: s.config.Host, CertificateAuthorityData: s.config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: s.config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name, Namespace: Namespace}},
		CurrentContext: name,
	})
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return text, nil
}

// authenticate lets in who has the token, and not too many at a time.
func (s *Server) authenticate(next http.Handler) http.Handler {
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	owner := &user.DefaultInfo{Name: "local", Groups: []string{user.SystemPrivilegedGroup}}
	slots := make(chan struct{}, maxPending)
	want := []byte(s.config.BearerToken)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(token), want) != 1 {
			refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized: the token of this process is needed")
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, fmt.Sprintf("%d requests are under way, and no more are served", maxPending))
			return
		}
		info, err := infos.NewRequestInfo(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
			return
		}
		ctx := audit.WithAuditContext(request.WithUser(request.WithRequestInfo(r.Context(), info), owner)) // the handlers want one
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{ // the client may have gone
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message, //nolint:gosec // a status of HTTP
	})
}

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.0-agentsession-local"}) // the client may have gone
}

// selfSigned makes a certificate for 127.0.0.1 that lasts longer than the process, and
// the authority that clients trust: itself.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "agentsession local"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make a certificate: %w", err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, authority, nil
}
