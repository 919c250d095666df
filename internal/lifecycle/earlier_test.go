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
	on := func(node string, end *metav1.Time) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: end}, Spec: corev1.PodSpec{NodeName: node}}
	}
	end := func(after time.Duration) *metav1.Time { return new(metav1.NewTime(created.Add(after))) }
	earlier := []*corev1.Pod{
		on("not told to go", nil), on("in its grace", end(time.Second)), on("at its end", end(0)), on("past it", end(-time.Hour)), on("", end(-time.Hour)),
	}
	overdue, all := []string{"at its end", "past it"}, []string{"not told to go", "in its grace", "at its end", "past it"}
	for reason, want := range map[v1alpha1.StopReason][]string{
		"":                        overdue,
		v1alpha1.StopRequested:    overdue,
		v1alpha1.StopIdleTimeout:  overdue,
		v1alpha1.StopMaxLifetime:  overdue,
		v1alpha1.StopStuckBusy:    overdue,
		v1alpha1.StopAgentExited:  overdue,
		v1alpha1.StopStartFailed:  overdue,
		v1alpha1.StopStartTimeout: overdue,
		v1alpha1.StopUnhealthy:    all,
		v1alpha1.StopComputeLost:  all,
	} {
		NewWithT(t).Expect(lifecycle.NodesToAvoid(created, reason, earlier)).To(Equal(want), string(reason))
	}
	NewWithT(t).Expect(lifecycle.NodesToAvoid(created, v1alpha1.StopRequested, earlier[:2])).To(BeNil())
}
