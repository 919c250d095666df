package main

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// metricsAPI is where a cluster tells what pods consume: metrics-server, or what is in its place.
const metricsAPI = "/apis/metrics.k8s.io/v1beta1"

// usage is what pods consume now.
type usage map[client.ObjectKey]consumed

// consumed is what a pod consumes, or several do.
type consumed struct {
	MilliCPU  int64 `json:"milliCPU"`
	MemoryMiB int64 `json:"memoryMiB"`
}

// podMetrics is what of a PodMetricsList is read.
type podMetrics struct {
	Items []struct {
		Metadata   metav1.ObjectMeta `json:"metadata"`
		Containers []struct {
			Usage corev1.ResourceList `json:"usage"`
		} `json:"containers"`
	} `json:"items"`
}

// usage reads what the pods of sessions consume, or says why that is not known.
func (c *cluster) usage(ctx context.Context, s *selection) (usage, string) {
	raw, err := c.metrics(ctx, s)
	var list podMetrics
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, "the cluster at " + c.host + " has no metrics API (metrics.k8s.io); metrics-server is one that can be installed"
	case apierrors.IsForbidden(err):
		return nil, fmt.Sprintf("you may not read the pods of metrics.k8s.io: ask who runs the cluster for that right (%v)", err)
	case apierrors.IsServiceUnavailable(err):
		return nil, fmt.Sprintf("the metrics API of the cluster at %s cannot answer: %v", c.host, err)
	case err != nil:
		return nil, fmt.Sprintf("the metrics API (metrics.k8s.io) of the cluster at %s: %v", c.host, err)
	}
	const mebibyte = 1 << 20
	known := usage{}
	for _, pod := range list.Items {
		var sum consumed
		for _, container := range pod.Containers {
			sum.MilliCPU += container.Usage.Cpu().MilliValue()
			sum.MemoryMiB += container.Usage.Memory().Value() / mebibyte
		}
		known[client.ObjectKey{Namespace: pod.Metadata.Namespace, Name: pod.Metadata.Name}] = sum
	}
	return known, ""
}

// metrics asks for those of all pods of sessions that may be meant.
func (c *cluster) metrics(ctx context.Context, s *selection) ([]byte, error) {
	known, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	path := []string{metricsAPI, "namespaces", c.namespace, "pods"}
	if s.all {
		path = []string{metricsAPI, "pods"}
	}
	return known.RESTClient().Get().AbsPath(path...).Param("labelSelector", v1alpha1.LabelSession).DoRaw(ctx) //nolint:wrapcheck // the caller's words
}

// of is what a session's compute consumes; nil if it has none, or that is not known.
func (u usage) of(session *v1alpha1.AgentSession) *consumed {
	if session.Status.Pod == nil {
		return nil
	}
	if c, known := u[client.ObjectKey{Namespace: session.Namespace, Name: session.Status.Pod.Name}]; known {
		return &c
	}
	return nil
}
