package dashboard

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	// publicPath is a path of which no proxy and no browser makes another.
	publicPath = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)*$`)
	hostName   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
)

// check is an error about the first option that breaks a rule.
func (o *Options) check() error {
	if !publicPath.MatchString(o.PublicPath) || strings.Contains(o.PublicPath, "/./") || strings.Contains(o.PublicPath, "/../") {
		return fmt.Errorf("--public-path is %q: it must begin and end with a slash, as /sessions/, have letters, digits, -, ., _ and ~ between slashes, and no part between them may be . or .. alone", o.PublicPath)
	}
	for _, host := range o.Hosts {
		if !isHost(host) {
			return fmt.Errorf("--allow-host is %q: it must be one name or IP address, with a port or without, as agents.example or agents.example:8443; there are no wildcards", host)
		}
	}
	return nil
}

func isHost(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && hostName.MatchString(host)
}
