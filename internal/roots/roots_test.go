package roots

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The system's are read once in a process, so this test reads them for all cases.
func TestPrivateAuthoritiesStandBesideMozillas(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	private, directory := server.Certificate(), t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(directory, "private.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: private.Raw}), 0o600)).To(Succeed())
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", directory)
	trusts := func(certificate *x509.Certificate) error {
		pool, err := all()
		g.Expect(err).NotTo(HaveOccurred())
		_, err = certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: certificate.NotBefore.AddDate(0, 0, 1)})
		return err
	}
	var public *x509.Certificate
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			var err error
			public, err = x509.ParseCertificate(root.Certificate)
			g.Expect(err).NotTo(HaveOccurred())
		}
	}
	g.Expect(trusts(private)).To(Succeed())
	g.Expect(trusts(public)).To(Succeed())
	t.Setenv("SSL_CERT_FILE", filepath.Join(directory, "private.crt"))
	pool, err := all()
	g.Expect(err).NotTo(HaveOccurred())
	system, err := x509.SystemCertPool()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pool.Equal(system)).To(BeTrue(), "it replaces Mozilla's")
}
