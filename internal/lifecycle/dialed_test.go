package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestCheckDialed(t *testing.T) {
	for address, says := range map[string]string{
		"10.0.0.1:443":                "",
		"[2001:db8::1]:443":           "",
		"[fd00::1]:443":               "", // a cluster's own
		"127.0.0.1:443":               "127.0.0.1 is loopback",
		"127.255.0.1:443":             "127.255.0.1 is loopback",
		"[::1]:443":                   "::1 is loopback",
		"[::ffff:127.0.0.1]:443":      "127.0.0.1 is loopback",
		"169.254.169.254:80":          "169.254.169.254 is loopback, link-local",
		"[::ffff:169.254.169.254]:80": "169.254.169.254 is",
		"[fe80::1%eth0]:80":           "fe80::1%eth0 is",
		"0.0.0.0:80":                  "0.0.0.0 is",
		"[::]:80":                     ":: is",
		"224.0.0.1:80":                "224.0.0.1 is",
		"somewhere.example:443":       "parse the address",
		"10.0.0.1":                    "parse the address",
	} {
		t.Run(address, func(t *testing.T) {
			g := NewWithT(t)
			err := lifecycle.CheckDialed(address)
			if says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(says)))
		})
	}
}
