// Package forward reaches a port of a pod through the API server.
package forward

import (
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// To returns a local port that leads to a pod's until stop is closed. What goes
// wrong later is written to trouble.
func To(config *rest.Config, pod *corev1.Pod, port int, stop <-chan struct{}, trouble io.Writer) (uint16, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return 0, fmt.Errorf("make a transport: %w", err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	target := clients.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	ready := make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, trouble)
	if err != nil {
		return 0, fmt.Errorf("forward to the pod %s: %w", pod.Name, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return 0, fmt.Errorf("forward to the pod %s: %w", pod.Name, err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return 0, fmt.Errorf("forward to the pod %s: %w", pod.Name, err)
	}
	return ports[0].Local, nil
}
