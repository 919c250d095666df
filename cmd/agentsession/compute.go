package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// podOf is the pod of a session's compute; nil if there is none.
func (c *cluster) podOf(ctx context.Context, f found) (*corev1.Pod, error) {
	if f.Status.Pod == nil {
		return nil, nil
	}
	pod := &corev1.Pod{}
	err := c.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: f.Status.Pod.Name}, pod)
	switch {
	case apierrors.IsNotFound(err) || err == nil && pod.UID != f.Status.Pod.UID:
		return nil, nil
	case err != nil:
		return nil, c.inWords(err)
	}
	return pod, nil
}

// answering is the pod of a session whose agent has answered.
func (c *cluster) answering(ctx context.Context, f found) (*corev1.Pod, error) {
	pod, err := c.podOf(ctx, f)
	switch {
	case err != nil:
		return nil, err
	case pod == nil:
		return nil, fmt.Errorf("AgentSession %q has no compute: `%s wake %s -n %s` starts it", f.Name, c.tools.Self, f.Name, f.Namespace)
	case f.Status.State == v1alpha1.StateStarting:
		return nil, fmt.Errorf("AgentSession %q is Starting: `%s watch %s -n %s` shows when its agent answers", f.Name, c.tools.Self, f.Name, f.Namespace)
	}
	return pod, nil
}

// reach returns where a port of a pod is reached from this machine, until ctx ends: on the
// platform on a laptop, of which the kubeconfig tells, at its own address.
func (c *cluster) reach(ctx context.Context, pod *corev1.Pod, port int32) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil && ip.IsLoopback() && c.tools.Laptop {
		return netip.AddrPortFrom(ip, uint16(port)), nil //nolint:gosec // the schema bounds it
	}
	at, err := c.forward(ctx, pod, uint16(port)) //nolint:gosec // as above
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("forward a port to pod %s/%s: %w", pod.Namespace, pod.Name, c.inWords(err))
	}
	return at, nil
}

// onThisMachine tells whether the API server is, as that of the platform on a laptop.
func (c *cluster) onThisMachine() bool {
	at, err := url.Parse(c.host)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(at.Hostname())
	return err == nil && ip.IsLoopback()
}
