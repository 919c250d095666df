package lifecycle

import (
	"fmt"
	"net/netip"
)

// CheckDialed tells why an address with its port, which a tenant may have chosen, is not
// connected to: it is of the gateway's own machine, or of its link, where clouds have
// their metadata.
func CheckDialed(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse the address: %w", err)
	}
	if ip := to.Addr().Unmap(); ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("%s is loopback, link-local, multicast or unspecified: it is not called", ip)
	}
	return nil
}
