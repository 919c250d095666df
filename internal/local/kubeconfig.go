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

	"golang.org/x/sys/unix"
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
	for errors.Is(err, fs.ErrExist) {
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

// createKubeconfig makes a file where none is, and holds it until it is closed.
func createKubeconfig(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user's own
	if err != nil {
		return nil, err
	}
	if err := hold(file); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return file, nil
}

// hold waits until no other run holds a file.
func hold(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		}
	}
}

// removeIf removes a file if it is what it must be. It is held meanwhile: of two runs that find
// the same file, the second sees what the first has put in its place.
func removeIf(path string, must func(os.FileInfo) error) error {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) //nolint:gosec // the user's own
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	held, err := file.Stat()
	if err != nil {
		return err
	}
	if held.Mode().IsRegular() {
		if err := hold(file); err != nil {
			return err
		}
	}
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(held, there):
		return nil // another run was faster
	case err != nil:
		return err
	}
	if err := must(held); err != nil {
		return err
	}
	return os.Remove(path)
}

// removeStale removes the file of a run that was killed, and no other.
func removeStale(ctx context.Context, path string) error {
	anothers := fmt.Errorf("%s is there, and it is not replaced: agentsession local has not written it. Name another file, or delete it if nobody needs it", path)
	err := removeIf(path, func(held os.FileInfo) error {
		if !held.Mode().IsRegular() {
			return anothers
		}
		config, err := clientcmd.LoadFromFile(path)
		if err != nil || !isOurs(config) {
			return anothers
		}
		if cluster := config.Clusters[kubeapi.ContextName]; mayLive(ctx, cluster) {
			return fmt.Errorf("%s is there, and it is not replaced: the agentsession local that has written it still runs at %s. End that one, or name another file", path, cluster.Server)
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // it has gone meanwhile
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link, a socket
		return anothers
	}
	return err
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
	errAnothers := errors.New("it is not ours any more")
	err := removeIf(p.Kubeconfig, func(held os.FileInfo) error {
		if !os.SameFile(held, p.wrote) {
			return errAnothers
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errAnothers) {
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
