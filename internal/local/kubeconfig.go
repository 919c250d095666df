package local

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// silence is how long the API of another run has to answer.
const silence = 5 * time.Second

// gatewayExtension is the extension of a kubeconfig's cluster that says where its gateway is.
// The API in memory has neither Services nor port-forwarding to find one by.
var gatewayExtension = "gateway." + v1alpha1.GroupVersion.Group

type gatewayAt struct {
	URL string `json:"url"`
}

// withGateway adds to each cluster of a kubeconfig where its gateway is.
func withGateway(kubeconfig []byte, url string) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	raw, err := json.Marshal(gatewayAt{url})
	if err != nil {
		return nil, fmt.Errorf("write the gateway into the kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Extensions = map[string]runtime.Object{gatewayExtension: &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}}
	}
	if kubeconfig, err = clientcmd.Write(*config); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return kubeconfig, nil
}

// writeKubeconfig writes a file that only this user may read: it has the token. It goes
// when that ends.
func (p *platform) writeKubeconfig(ctx context.Context) error {
	text, err := p.api.Kubeconfig()
	if err == nil {
		text, err = withGateway(text, p.url())
	}
	if err != nil {
		return err
	}
	file, err := createKubeconfig(p.Kubeconfig)
	if errors.Is(err, fs.ErrExist) {
		if err = removeStale(ctx, p.Kubeconfig); err == nil {
			file, err = createKubeconfig(p.Kubeconfig)
		}
	}
	if err != nil {
		return fmt.Errorf("write --write-kubeconfig: %w", err)
	}
	p.wrote, err = file.Stat()
	_, failed := file.Write(text)
	if err := errors.Join(err, failed, file.Close()); err != nil {
		return fmt.Errorf("write --write-kubeconfig: %w", err)
	}
	return nil
}

func createKubeconfig(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user's own
}

// removeStale removes the file of a run that was killed, and no other.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	var config *clientcmdapi.Config
	if info.Mode().IsRegular() {
		config, err = clientcmd.LoadFromFile(path)
	}
	if err != nil || !isOurs(config) {
		return fmt.Errorf("%s is there, and it is not replaced: agentsession local has not written it", path)
	}
	if cluster := config.Clusters[kubeapi.ContextName]; mayLive(ctx, cluster) {
		return fmt.Errorf("%s is there, and it is not replaced: the agentsession local that has written it still runs at %s", path, cluster.Server)
	}
	return os.Remove(path)
}

// isOurs tells whether a kubeconfig is as a run writes it, and nobody has added to it.
func isOurs(config *clientcmdapi.Config) bool {
	if config == nil || len(config.Clusters) != 1 || len(config.Contexts) != 1 || len(config.AuthInfos) != 1 {
		return false
	}
	cluster := config.Clusters[kubeapi.ContextName]
	return cluster != nil && config.CurrentContext == kubeapi.ContextName && GatewayOf(cluster) != ""
}

// mayLive tells whether the API of a kubeconfig may still be there: something with its
// certificate listens, or takes the connection and says nothing, as a process that was stopped.
func mayLive(ctx context.Context, cluster *clientcmdapi.Cluster) bool {
	at, err := url.Parse(cluster.Server)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(cluster.CertificateAuthorityData)
	connection, err := (&tls.Dialer{Config: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}}).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return ctx.Err() != nil
	}
	_ = connection.Close() // nothing was sent
	return true
}

// removeKubeconfig leaves a file that somebody has put in its place.
func (p *platform) removeKubeconfig() error {
	if p.wrote == nil {
		return nil
	}
	if there, err := os.Stat(p.Kubeconfig); err != nil || !os.SameFile(there, p.wrote) {
		return nil //nolint:nilerr // it is not ours any more
	}
	if err := os.Remove(p.Kubeconfig); err != nil {
		return fmt.Errorf("remove --write-kubeconfig: %w", err)
	}
	return nil
}

// GatewayOf is the URL of the gateway that a kubeconfig's cluster names; empty if it names none.
func GatewayOf(cluster *clientcmdapi.Cluster) string {
	unknown, ok := cluster.Extensions[gatewayExtension].(*runtime.Unknown)
	var at gatewayAt
	if !ok || json.Unmarshal(unknown.Raw, &at) != nil {
		return ""
	}
	return at.URL
}
