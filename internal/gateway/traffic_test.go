package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestASessionIsReturningUntilThatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		written := make(chan struct{})
		one := &traffic{write: func(_ compute, u lifecycle.Use) (lifecycle.Seen, time.Time, error) {
			<-written
			return lifecycle.Seen{Idle: time.Hour, Traffic: lifecycle.Traffic{EndedAt: u.EndedAt}}, time.Time{}, nil
		}}
		for namespace, alone := range map[string]bool{"alone": true, "shared": false} {
			of := compute{types.NamespacedName{Namespace: namespace, Name: "a"}, "uid"}
			end := one.begin(of, lifecycle.Seen{Idle: time.Hour}, time.Now(), alone)
			g.Expect(one.returning(namespace)).To(BeFalse(), "it is in flight")
			end()
			g.Expect(one.returning(namespace)).To(Equal(alone))
		}
		g.Expect(one.returning("another")).To(BeFalse())
		close(written)
		synctest.Wait()
		g.Expect(one.returning("alone")).To(BeFalse())
		one.flush()
	})
}
