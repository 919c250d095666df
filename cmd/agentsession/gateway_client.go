package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// platformNamespace is where a gateway is looked for, and nowhere else: it gets the user's
// token, and in another namespace anybody may have named a pod so.
const platformNamespace = "agentsession-system"

// gatewayLabels are those of the gateway's pods (config/gateway).
var gatewayLabels = client.MatchingLabels{"app.kubernetes.io/name": "agentsession", "app.kubernetes.io/component": "gateway"}

// gatewayPort is the name of the port of its container.
const gatewayPort = "http"

// gatewayClient is a gateway that is reached.
type gatewayClient struct {
	url string
	// transport has the user's credentials.
	transport http.RoundTripper
	// laptop tells that it is that of agentsession local, which knows nobody by a token.
	laptop bool
	// key is the access key of the environment.
	key aws.Credentials
	// known tells whether the last request had credentials, and signed whether they were a
	// signature by that key.
	known, signed bool
}

// open reaches the cluster's gateway: the one that is given, the one that the kubeconfig
// names, or one of its pods.
func (c *cluster) open(ctx context.Context, given string) (*gatewayClient, error) {
	d := &gatewayClient{url: cmp.Or(given, c.gateway), key: accessKey()}
	d.laptop = c.tools.Laptop && d.url == c.gateway
	if user := c.unwrapped.Impersonate.UserName; user != "" {
		return nil, fmt.Errorf("--as is %q: a gateway knows its callers by their own tokens; give that of the user by --token", user)
	}
	if d.url == "" {
		at, err := c.findGateway(ctx)
		if err != nil {
			return nil, err
		}
		d.url = "http://" + at.String()
	}
	if err := lifecycle.CheckGatewayURL(d.url); err != nil {
		return nil, fmt.Errorf("the gateway's URL is %q: %w", d.url, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented
	transport.DisableCompression = true                          // which would hold back what comes in pieces
	bare := roundTripper(func(r *http.Request) (*http.Response, error) {
		r, err := d.identify(r)
		if err != nil {
			return nil, err
		}
		return transport.RoundTrip(r)
	})
	var err error
	if d.transport, err = rest.HTTPWrappersForConfig(c.unwrapped, bare); err != nil {
		return nil, fmt.Errorf("take your credentials from the kubeconfig: %w", err)
	}
	return d, nil
}

// identify has a request say who calls: by the token that it has, or by a signature with the
// access key. The key goes before the token where it is meant for this gateway.
func (d *gatewayClient) identify(r *http.Request) (*http.Request, error) {
	d.known = r.Header.Get("Authorization") != ""
	d.signed = missingKey(d.key) == "" && (!d.known || d.laptop || d.url == os.Getenv(envEndpoint))
	what := "token"
	if d.signed {
		d.known, what = true, "signature"
	}
	if d.known && !private(r.URL) {
		return nil, fmt.Errorf("your %s would go to %s unencrypted: give --gateway a URL with https, or leave it out to go through the API server", what, r.URL.Host)
	}
	if d.signed {
		return signed(r, d.key)
	}
	return r, nil
}

// notLetIn says what to do of a call that the gateway did not let in; empty if nobody knows.
func (d *gatewayClient) notLetIn() string {
	lacks := missingKey(d.key)
	switch {
	case d.signed:
		text := fmt.Sprintf("The call was signed with the access key %s of %s", d.key.AccessKeyID, envKeyID)
		if d.laptop {
			text += fmt.Sprintf(": each run of `%s local --auth %s` has another, which it prints at its start", program, authSigV4)
		}
		return text
	case d.laptop:
		return fmt.Sprintf("The call was not signed, for want of %s: `%s local --auth %s` prints at its start what to export", lacks, program, authSigV4)
	case !d.known:
		return fmt.Sprintf("Your kubeconfig has no token by which the gateway could know you: give one, as by --token \"$(kubectl create token SERVICEACCOUNT)\", "+
			"or an access key of the gateway by %s and %s", envKeyID, envSecret)
	}
	return ""
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// private tells whether nobody between here and a URL's host can read what is sent.
func private(to *url.URL) bool {
	ip, err := netip.ParseAddr(to.Hostname())
	return to.Scheme == "https" || to.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// findGateway forwards a port to a pod of the gateway that is ready.
func (c *cluster) findGateway(ctx context.Context) (netip.AddrPort, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(platformNamespace), gatewayLabels); err != nil {
		return netip.AddrPort{}, fmt.Errorf("look for a gateway in namespace %s, unless --gateway says where it is: %w", platformNamespace, c.inWords(err))
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name == gatewayPort {
					return c.reach(ctx, pod, port.ContainerPort)
				}
			}
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no gateway is ready in namespace %s of the cluster at %s: install it with `kubectl apply -f dist/install-gateway.yaml`, or say with --gateway where it is", platformNamespace, c.host)
}

// inWords says of an error on the way to the gateway what to do.
func (d *gatewayClient) inWords(err error) error {
	if dial, is := errors.AsType[*net.OpError](err); is && dial.Op == "dial" {
		return fmt.Errorf("the gateway at %s cannot be reached: see whether it runs (%w)", d.url, dial)
	}
	return err
}
