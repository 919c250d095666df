package browser

import (
	"crypto/sha512"
	"encoding/base64"
	"os"
	"testing"

	. "github.com/onsi/gomega"
)

// TestVendored holds the library of the page to the digest that stands with its licence.
func TestVendored(t *testing.T) {
	g := NewWithT(t)
	code, err := os.ReadFile("../../internal/dashboard/page/htm-preact.js")
	g.Expect(err).NotTo(HaveOccurred())
	licence, err := os.ReadFile("../../internal/dashboard/page/htm-preact.LICENSE.txt")
	g.Expect(err).NotTo(HaveOccurred())
	sum := sha512.Sum512(code)
	g.Expect(string(licence)).To(ContainSubstring("sha512-" + base64.StdEncoding.EncodeToString(sum[:])))
}
