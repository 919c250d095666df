package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// maxCard is how long a card may be to be mended. A longer one goes on as it is.
const maxCard = 1 << 20

// mendCard has the card of an A2A agent name the gateway where it names the agent's
// own machine, as cards do that were written before anybody knew where they would be
// served: whoever follows the card finds nothing there. A card that is signed goes on
// as it is, since nobody could verify it otherwise.
func mendCard(answer *http.Response, pod *v1alpha1.PodStatus, to string) error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxCard+1))
	if err != nil {
		return err
	}
	rest := answer.Body
	if len(raw) <= maxCard {
		raw = withGatewayURL(raw, pod, to)
		answer.ContentLength = int64(len(raw))
		answer.Header.Set("Content-Length", strconv.Itoa(len(raw)))
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(raw), rest), rest}
	return nil
}

func withGatewayURL(raw []byte, pod *v1alpha1.PodStatus, to string) []byte {
	var card map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&card) != nil || decoder.More() {
		return raw
	}
	if signatures, _ := card["signatures"].([]any); len(signatures) > 0 {
		return raw
	}
	changed := false
	mend := func(in map[string]any, transport string) {
		// The gateway speaks JSON-RPC, which is what a card means that says nothing.
		if said, _ := in[transport].(string); said != "" && !strings.EqualFold(said, "JSONRPC") {
			return
		}
		if at, _ := in["url"].(string); isAgents(at, pod) {
			in["url"], changed = to, true
		}
	}
	mend(card, "preferredTransport")
	for list, transport := range map[string]string{"additionalInterfaces": "transport", "supportedInterfaces": "protocolBinding"} { // of A2A 0.3, and of 1.0
		interfaces, _ := card[list].([]any)
		for _, one := range interfaces {
			if in, ok := one.(map[string]any); ok {
				mend(in, transport)
			}
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if !changed || encoder.Encode(card) != nil {
		return raw
	}
	return out.Bytes()
}

// isAgents tells whether a URL is on the agent's own machine.
func isAgents(at string, pod *v1alpha1.PodStatus) bool {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsUnspecified() || ip.String() == pod.IP
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == pod.Name
}
