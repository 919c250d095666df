package gateway

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// A call is cut when its compute ends, also where that was seen before the call was noted.
func TestRunIsCutWithItsCompute(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		want   bool
	}{
		"it lives":          {func(*v1alpha1.AgentSession) {}, false},
		"it is busy since":  {isBusy, false},
		"it is being taken": {isStopping, true},
		"it is gone":        {func(s *v1alpha1.AgentSession) { isStopped(s); s.Status.Pod = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g, session := NewWithT(t), sessionNo(1)
			one := atNoon(t, session)
			let := session.DeepCopy()
			row.change(session)
			session.Status.LastTermination = &v1alpha1.Termination{Reason: v1alpha1.StopMaxLifetime}
			g.Expect(one.Client.Status().Update(t.Context(), session)).To(Succeed())
			var why error
			done := one.run(t.Context(), let, func(err error) { why = err })
			g.Expect(why != nil).To(Equal(row.want))
			why = nil
			late := let.DeepCopy()
			version(1)(late)
			isStopping(late)
			one.running.update(late)
			g.Expect(why).NotTo(HaveOccurred())
			other := let.DeepCopy()
			other.UID = "another"
			one.running.delete(other)
			g.Expect(why).NotTo(HaveOccurred(), "one that has its name since")
			one.running.delete(let)
			g.Expect(why).To(HaveOccurred())
			second := one.run(t.Context(), let, func(error) {})
			done()
			g.Expect(one.running.calls).NotTo(BeEmpty(), "another call is there")
			second()
			g.Expect(one.running.calls).To(BeEmpty())
		})
	}
}
