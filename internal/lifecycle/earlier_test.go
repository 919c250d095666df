package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestTerminating(t *testing.T) {
	for name, row := range map[string]struct {
		end  *metav1.Time // of its grace
		want bool
	}{
		"nobody has told it to go": {nil, true},
		"within its grace":         {new(metav1.NewTime(created.Add(time.Second))), true},
		"9 s after its grace":      {new(metav1.NewTime(created.Add(-9 * time.Second))), true},
		"10 s after its grace":     {new(metav1.NewTime(created.Add(-10 * time.Second))), false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: row.end}}
			NewWithT(t).Expect(lifecycle.Terminating(created, pod)).To(Equal(row.want))
		})
	}
}

func TestNodesToAvoid(t *testing.T) {
	earlier := []*corev1.Pod{{Spec: corev1.PodSpec{NodeName: "a"}}, {}, {Spec: corev1.PodSpec{NodeName: "b"}}}
	for reason, want := range map[v1alpha1.StopReason][]string{
		"":                        nil,
		v1alpha1.StopRequested:    nil,
		v1alpha1.StopIdleTimeout:  nil,
		v1alpha1.StopMaxLifetime:  nil,
		v1alpha1.StopStuckBusy:    nil,
		v1alpha1.StopAgentExited:  nil,
		v1alpha1.StopStartFailed:  nil,
		v1alpha1.StopStartTimeout: nil,
		v1alpha1.StopUnhealthy:    {"a", "b"},
		v1alpha1.StopComputeLost:  {"a", "b"},
	} {
		NewWithT(t).Expect(lifecycle.NodesToAvoid(reason, earlier)).To(Equal(want), string(reason))
	}
}
