// Package roots are the authorities that operator and gateway trust when they call others
// over TLS: collectors of traces, and issuers of tokens.
package roots

import (
	"crypto/x509"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Trust has every TLS client of the process trust Mozilla's authorities beside
// those of the system and of $SSL_CERT_DIR: the image has none, and Go would drop the
// former as soon as there is one of the latter. $SSL_CERT_FILE replaces Mozilla's, as it
// replaces the system's. It takes effect by the directive
// x509usefallbackroots in the program.
func Trust() error {
	roots, err := all()
	if err != nil {
		return err
	}
	x509.SetFallbackRoots(roots)
	return nil
}

func all() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the authorities of the system, of $SSL_CERT_FILE and $SSL_CERT_DIR: %w", err)
	}
	if os.Getenv("SSL_CERT_FILE") != "" {
		return roots, nil
	}
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read Mozilla's authorities: %w", err)
		}
		if root.Constraint == nil {
			roots.AddCert(certificate)
		} else {
			roots.AddCertWithConstraint(certificate, root.Constraint)
		}
	}
	return roots, nil
}
