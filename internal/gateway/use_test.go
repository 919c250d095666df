package gateway

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// idlesAt has the operator say when a session will idle out.
func idlesAt(at time.Time) func(*v1alpha1.AgentSession) {
	return func(s *v1alpha1.AgentSession) {
		s.Status.NextStop = &v1alpha1.NextStop{At: metav1.NewTime(at), Reason: v1alpha1.StopIdleTimeout}
	}
}

// atNoon is a gateway at noon, whose API server has a session that is as it is given.
func atNoon(t *testing.T, session *v1alpha1.AgentSession) *Gateway {
	t.Helper()
	g, scheme := NewWithT(t), runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	session.ResourceVersion = ""
	api := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(session).WithObjects(session).Build()
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(session), session)).To(Succeed())
	return New(Options{Client: api, Live: api, Clock: apiserver.NewClock(clocktesting.NewFakePassiveClock(noon), logr.Discard()), Log: logr.Discard()})
}

// What is written before a call is let through, and who is not.
func TestUse(t *testing.T) {
	quarter := 225 * time.Second // of the idle timeout
	for name, row := range map[string]struct {
		session []func(*v1alpha1.AgentSession)
		alone   bool
		busy    bool // with a call of this gateway's
		want    error
		written bool
	}{
		"far from its idle stop":          {[]func(*v1alpha1.AgentSession){idlesAt(noon.Add(quarter + time.Minute))}, false, false, nil, false},
		"near it":                         {[]func(*v1alpha1.AgentSession){idlesAt(noon.Add(quarter - time.Second))}, false, false, nil, true},
		"with none":                       {nil, false, false, nil, false},
		"in use, and not alone":           {[]func(*v1alpha1.AgentSession){leasedUntil(noon.Add(time.Minute))}, false, false, nil, false},
		"alone":                           {nil, true, false, nil, true},
		"alone, and in use":               {[]func(*v1alpha1.AgentSession){leasedUntil(noon.Add(time.Second))}, true, false, errTaken, false},
		"alone, and in use until now":     {[]func(*v1alpha1.AgentSession){leasedUntil(noon)}, true, false, nil, true},
		"alone, and this gateway uses it": {nil, true, true, errTaken, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, session := NewWithT(t), sessionNo(1, row.session...)
			one := atNoon(t, session)
			if row.busy {
				_, err := one.use(t.Context(), session, false)
				g.Expect(err).NotTo(HaveOccurred())
			}
			before, of := session.ResourceVersion, computeOf(session)
			end, err := one.use(t.Context(), session, row.alone)
			if row.want != nil {
				g.Expect(err).To(MatchError(row.want))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(one.traffic.busy(of)).To(BeTrue())
			}
			there := &v1alpha1.AgentSession{}
			g.Expect(one.Client.Get(t.Context(), client.ObjectKeyFromObject(session), there)).To(Succeed())
			wrote := there.ResourceVersion != before
			g.Expect(wrote).To(Equal(row.written))
			if row.written {
				g.Expect(there.Status.Traffic.InUseUntil.Time).To(BeTemporally("==", noon.Add(450*time.Second)))
				g.Expect(one.traffic.uses[of].Held).To(BeTemporally("==", noon.Add(450*time.Second)), "it is the gateway's own")
			}
			if row.want == nil {
				g.Expect(one.traffic.uses[of].Alone).To(Equal(row.alone))
				end() // from now on it may be told
				g.Expect(one.traffic.busy(of)).To(BeFalse())
			}
			one.traffic.flush()
		})
	}
}

// Near the idle stop whoever writes first wins: who was not is not let through, and uses
// nothing.
func TestUseIsRefusedToWhoIsLate(t *testing.T) {
	g, session := NewWithT(t), sessionNo(1, idlesAt(noon.Add(time.Minute)))
	one := atNoon(t, session)
	late := session.DeepCopy()
	session.Status.State = v1alpha1.StateStopping
	g.Expect(one.Client.Status().Update(t.Context(), session)).To(Succeed())
	_, err := one.use(t.Context(), late, false)
	g.Expect(err).To(Satisfy(apierrors.IsConflict))
	g.Expect(one.traffic.uses).To(BeEmpty())
}

// What is told of a compute is written onto what stands there, and onto no other compute.
func TestWriteTraffic(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		told   bool
	}{
		"as it was":        {func(*v1alpha1.AgentSession) {}, true},
		"changed since":    {func(s *v1alpha1.AgentSession) { s.Status.PingStatus = "HealthyBusy" }, true},
		"it is stopping":   {isStopping, false},
		"it has no pod":    {func(s *v1alpha1.AgentSession) { s.Status.Pod = nil }, false},
		"it has another":   {func(s *v1alpha1.AgentSession) { s.Status.Pod.UID = "another" }, false},
		"in use by others": {leasedUntil(noon.Add(time.Hour)), true},
	} {
		t.Run(name, func(t *testing.T) {
			g, session := NewWithT(t), sessionNo(1)
			one := atNoon(t, session)
			of := computeOf(session)
			one.roster.update(session.DeepCopy()) // as the cache shows it
			row.change(session)
			g.Expect(one.Client.Status().Update(t.Context(), session)).To(Succeed())
			seen, held, err := one.writeTraffic(of, lifecycle.Use{InFlight: 1, BeganAt: noon})
			if !row.told {
				g.Expect(err).To(Satisfy(apierrors.IsNotFound))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			lease := noon.Add(450 * time.Second)
			if name == "in use by others" {
				g.Expect(held).To(BeZero())
				lease = noon.Add(time.Hour)
			} else {
				g.Expect(held).To(Equal(lease))
			}
			g.Expect(seen.Traffic.InUseUntil).To(BeTemporally("==", lease))
		})
	}
}

func isStopping(s *v1alpha1.AgentSession) { s.Status.State = v1alpha1.StateStopping }

// That the agent has answered is noted, of a compute that is in use here.
func TestUseIsHeardOf(t *testing.T) {
	g, session := NewWithT(t), sessionNo(1)
	one := atNoon(t, session)
	of := computeOf(session)
	one.traffic.noteAnswer(of)
	g.Expect(one.traffic.uses).To(BeEmpty())
	end, err := one.use(t.Context(), session, false)
	g.Expect(err).NotTo(HaveOccurred())
	one.traffic.noteAnswer(of)
	g.Expect(one.traffic.uses[of].HeardAt).To(Equal(noon))
	end()
	one.traffic.flush()
}
