package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// pods is the client of pods' subresources.
func (c *cluster) pods() (rest.Interface, error) {
	http, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	pods, err := apiutil.RESTClientForGVK(corev1.SchemeGroupVersion.WithKind("Pod"), false, false, c.config, scheme.Codecs, http)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return pods, nil
}

// forward returns an address of this machine that leads to a port of a pod, until ctx ends.
// A connection that the pod refuses ends it too: what comes after is refused here.
func (c *cluster) forward(ctx context.Context, pod *corev1.Pod, port uint16) (netip.AddrPort, error) {
	dialer, err := c.podDialer(pod)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ready := make(chan struct{})
	quiet := klog.NewContext(ctx, logr.Discard())
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(quiet, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("forward a port: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }() // of SPDY it may wait for ever
	select {
	case <-ready:
	case <-ctx.Done():
		return netip.AddrPort{}, context.Cause(ctx) //nolint:wrapcheck // the caller's own end
	case <-c.late():
		return netip.AddrPort{}, &unanswered{"portforward to pod " + pod.Name, c.limit}
	case err := <-ended:
		if err == nil {
			err = errors.New("it ended before it began")
		}
		return netip.AddrPort{}, err
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("forward a port: %w", err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ports[0].Local), nil
}

// podDialer goes over a WebSocket, and over SPDY where there is none, as kubectl does.
func (c *cluster) podDialer(pod *corev1.Pod) (httpstream.Dialer, error) {
	pods, err := c.pods()
	if err != nil {
		return nil, err
	}
	to := pods.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, fmt.Errorf("make a transport: %w", err)
	}
	overSPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	overWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, c.config)
	if err != nil {
		return nil, fmt.Errorf("make a transport: %w", err)
	}
	return portforward.NewFallbackDialerForStreaming(overWebSocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
