package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestRetries: whatever fails again and again is tried ever more slowly, and within
// seconds, or minutes where somebody has to change something first.
func TestRetries(t *testing.T) {
	sessions := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "agentsessions"}
	conflict := fmt.Errorf("patch status: %w", apierrors.NewConflict(sessions, "a", nil))
	refusal := fmt.Errorf("create pod: %w", &refused{v1alpha1.ReasonPodRefused, "a quota"})
	usual, away := ctrl.Result{RequeueAfter: time.Hour}, errors.New("connection refused")
	a, b := ctrl.Request{NamespacedName: types.NamespacedName{Name: "a"}}, ctrl.Request{NamespacedName: types.NamespacedName{Name: "b"}}
	for name, row := range map[string]struct {
		err, startErr error
		first, last   time.Duration
	}{
		"conflicts":            {conflict, nil, conflictRetry, conflictMost},
		"conflicts of a start": {conflict, refusal, conflictRetry, conflictMost},
		"refusals":             {nil, refusal, refusedRetry, refusedMost},
		"starts that failed":   {nil, away, errorRetry, errorMost},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := newRetries()
			var before time.Duration
			for i := range 30 {
				result, err := r.result(a, usual, row.err, row.startErr)
				g.Expect(err).NotTo(HaveOccurred(), "it is in status, and no error of ours")
				if i == 0 {
					g.Expect(result.RequeueAfter).To(Equal(row.first))
				}
				g.Expect(result.RequeueAfter).To(And(BeNumerically(">=", before), BeNumerically("<=", row.last)))
				before = result.RequeueAfter
			}
			g.Expect(before).To(Equal(row.last))
			g.Expect(r.result(b, usual, row.err, row.startErr)).To(HaveField("RequeueAfter", row.first), "another session")
			g.Expect(r.result(a, usual, nil, nil)).To(Equal(usual))
			g.Expect(r.result(a, usual, row.err, row.startErr)).To(HaveField("RequeueAfter", row.first), "after it was done")
			_, _ = r.result(a, usual, row.err, row.startErr)
			r.forget(a)
			g.Expect(r.result(a, usual, row.err, row.startErr)).To(HaveField("RequeueAfter", row.first), "of one that was deleted")
		})
	}
	g := NewWithT(t)
	r, soon := newRetries(), ctrl.Result{RequeueAfter: time.Millisecond}
	g.Expect(r.result(a, soon, nil, refusal)).To(Equal(soon), "what is due comes first")
	_, err := r.result(a, usual, away, nil)
	g.Expect(err).To(MatchError(away))
	g.Expect(r.result(a, soon, nil, away)).To(Equal(soon))
	for range 30 { // by turns, each at its own pace
		_, _ = r.result(a, usual, nil, refusal)
		_, _ = r.result(a, usual, nil, away)
	}
	g.Expect(r.result(a, usual, nil, refusal)).To(HaveField("RequeueAfter", refusedMost))
	g.Expect(r.result(a, usual, apierrors.NewNotFound(sessions, "a"), nil)).To(Equal(ctrl.Result{}), "deleted meanwhile")
}
