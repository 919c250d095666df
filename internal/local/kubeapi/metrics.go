package kubeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// metricsVersion is that in which it is told what pods consume.
const metricsVersion = "metrics.k8s.io/v1beta1"

// Usage is what a pod consumes.
type Usage struct {
	Pod *corev1.Pod
	// CPU is in thousandths of one, and Memory in bytes.
	MilliCPU, Memory int64
}

// podMetrics is a pod's, as metrics-server tells them.
type podMetrics struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta  `json:"metadata"`
	Timestamp       metav1.Time        `json:"timestamp"`
	Window          metav1.Duration    `json:"window"`
	Containers      []containerMetrics `json:"containers"`
}

type containerMetrics struct {
	Name  string              `json:"name"`
	Usage corev1.ResourceList `json:"usage"`
}

type podMetricsList struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ListMeta `json:"metadata"`
	Items           []podMetrics    `json:"items"`
}

// ServeMetrics has the API list what pods consume, as seen for a while. An error says why that
// is not known. The types of k8s.io/metrics would be one module more, for two lists.
func (s *Server) ServeMetrics(window time.Duration, read func(context.Context) ([]Usage, error)) {
	list := func(w http.ResponseWriter, r *http.Request) {
		selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
		if err != nil {
			refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
			return
		}
		all, err := read(r.Context())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error())
			return
		}
		answer := podMetricsList{TypeMeta: metav1.TypeMeta{APIVersion: metricsVersion, Kind: "PodMetricsList"}, Items: []podMetrics{}}
		for _, u := range all {
			if in := r.PathValue("namespace"); (in == "" || in == u.Pod.Namespace) && selector.Matches(labels.Set(u.Pod.Labels)) {
				answer.Items = append(answer.Items, metricsOf(u, window))
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the client may have gone
	}
	s.mux.HandleFunc("GET /apis/"+metricsVersion+"/pods", list)
	s.mux.HandleFunc("GET /apis/"+metricsVersion+"/namespaces/{namespace}/pods", list)
}

func metricsOf(u Usage, window time.Duration) podMetrics {
	return podMetrics{
		TypeMeta:  metav1.TypeMeta{APIVersion: metricsVersion, Kind: "PodMetrics"},
		Metadata:  metav1.ObjectMeta{Namespace: u.Pod.Namespace, Name: u.Pod.Name, Labels: u.Pod.Labels},
		Timestamp: metav1.Now(), Window: metav1.Duration{Duration: window},
		Containers: []containerMetrics{{Name: u.Pod.Spec.Containers[0].Name, Usage: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(u.MilliCPU, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(u.Memory, resource.BinarySI),
		}}},
	}
}
