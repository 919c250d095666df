package lifecycle

import (
	"fmt"
	"net/netip"
	"slices"
)

// metadata are addresses of clouds' metadata and of hosts' agents that are not link-local.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
}

// nat64 holds addresses of IPv4, in their last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// CheckDialed tells why an address, which a tenant may have chosen, is not connected to:
// it is of the gateway's own machine, or where clouds have their metadata.
func CheckDialed(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("") // which is no part of an address that is not link-local
	if nat64.Contains(ip) {
		whole := ip.As16()
		ip = netip.AddrFrom4([4]byte(whole[12:]))
	}
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("%s is loopback, link-local, multicast or unspecified: it is not called", ip)
	}
	if slices.Contains(metadata, ip) {
		return fmt.Errorf("%s is where a cloud has its metadata: it is not called", ip)
	}
	return nil
}

// CheckDialedPort is CheckDialed of an address with its port.
func CheckDialedPort(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse the address: %w", err)
	}
	return CheckDialed(to.Addr())
}
