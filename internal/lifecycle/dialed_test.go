package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestCheckDialed(t *testing.T) {
	for address, says := range map[string]string{
		"10.0.0.1:443":                 "",
		"[2001:db8::1]:443":            "",
		"[fd00::1]:443":                "", // a cluster's own
		"127.0.0.1:443":                "127.0.0.1 is loopback",
		"127.255.0.1:443":              "127.255.0.1 is loopback",
		"[::1]:443":                    "::1 is loopback",
		"[::ffff:127.0.0.1]:443":       "127.0.0.1 is loopback",
		"169.254.169.254:80":           "169.254.169.254 is loopback, link-local",
		"[::ffff:169.254.169.254]:80":  "169.254.169.254 is",
		"[fe80::1%eth0]:80":            "fe80::1 is",
		"0.0.0.0:80":                   "0.0.0.0 is",
		"[::]:80":                      ":: is",
		"224.0.0.1:80":                 "224.0.0.1 is",
		"[64:ff9b::a9fe:a9fe]:80":      "169.254.169.254 is",
		"[64:ff9b::7f00:1]:80":         "127.0.0.1 is loopback",
		"[64:ff9b::808:808]:80":        "",
		"[fd00:ec2::254]:80":           "fd00:ec2::254 is where a cloud",
		"[fd00:ec2::254%eth0]:80":      "fd00:ec2::254 is where a cloud",
		"[64:ff9b::a9fe:a9fe%eth0]:80": "169.254.169.254 is",
		"100.100.100.200:80":           "100.100.100.200 is where a cloud",
		"100.100.100.201:80":           "",
		"somewhere.example:443":        "parse the address",
		"10.0.0.1":                     "parse the address",
	} {
		t.Run(address, func(t *testing.T) {
			g := NewWithT(t)
			err := lifecycle.CheckDialedPort(address)
			if says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(says)))
		})
	}
}
