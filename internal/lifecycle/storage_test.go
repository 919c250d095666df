package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func filesystems(storage v1alpha1.SessionStorageConfiguration) []v1alpha1.FilesystemConfiguration {
	return []v1alpha1.FilesystemConfiguration{{SessionStorage: storage}}
}

// TestWhenStorageIsDropped: 14 days after the end of the last compute, and never while there is
// one, or is to be one.
func TestWhenStorageIsDropped(t *testing.T) {
	const kept = 14 * 24 * time.Hour
	left := at(90) // the last compute was gone
	verdict := func(action lifecycle.Action, again time.Time) types.GomegaMatcher {
		return And(HaveField("State", v1alpha1.StateStopped), HaveField("Action", action), HaveField("LookAgain", again))
	}
	ttl := func(d time.Duration) func(*lifecycle.Facts) { return func(f *lifecycle.Facts) { f.Policy.TTL = d } }
	for name, row := range map[string]struct {
		now    time.Time
		change func(*lifecycle.Facts)
		want   types.GomegaMatcher
	}{
		"just stopped":                  {at(100), nil, verdict(lifecycle.ActNone, left.Add(kept))},
		"a moment before":               {left.Add(kept - 1), nil, verdict(lifecycle.ActNone, left.Add(kept))},
		"14 days later":                 {left.Add(kept), nil, verdict(lifecycle.ActDropStorage, zero)},
		"15 days later":                 {left.Add(kept + 24*time.Hour), nil, verdict(lifecycle.ActDropStorage, zero)},
		"it was dropped":                {left.Add(kept), func(f *lifecycle.Facts) { f.Stored = false }, verdict(lifecycle.ActNone, zero)},
		"the session expires before":    {at(100), ttl(time.Hour), verdict(lifecycle.ActNone, left.Add(time.Hour))},
		"the session expires later":     {at(100), ttl(2 * kept), verdict(lifecycle.ActNone, left.Add(kept))},
		"dropped, the session later":    {left.Add(kept), ttl(2 * kept), verdict(lifecycle.ActDropStorage, left.Add(2*kept))},
		"the session expires with it":   {left.Add(kept), ttl(kept), verdict(lifecycle.ActExpire, zero)},
		"the session is being deleted":  {left.Add(kept), func(f *lifecycle.Facts) { f.Deleted = true }, verdict(lifecycle.ActNone, zero)},
		"the session never had an end":  {left.Add(kept), func(f *lifecycle.Facts) { f.StoppedAt = zero }, verdict(lifecycle.ActNone, zero)},
		"a wake comes before":           {left.Add(kept), func(f *lifecycle.Facts) { f.Requested = 2 }, HaveField("Action", lifecycle.ActStart)},
		"a wake that waits comes first": {left.Add(kept), func(f *lifecycle.Facts) { f.Requested, f.Occupied = 2, "a pod" }, HaveField("Action", lifecycle.ActNone)},
	} {
		t.Run(name, func(t *testing.T) {
			f := lifecycle.Facts{
				Policy: lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, 1), State: v1alpha1.StateStopped, Activation: 1, Stored: true,
				LastStop: lifecycle.Stop{At: at(80), Reason: v1alpha1.StopIdleTimeout}, StoppedAt: left,
			}
			if row.change != nil {
				row.change(&f)
			}
			NewWithT(t).Expect(lifecycle.Decide(row.now, f)).To(row.want)
		})
	}
	living := lifecycle.Decide(at(60), living(at(60), func(f *lifecycle.Facts) { f.Stored, f.StoppedAt = true, at(50).Add(-2*kept) }))
	NewWithT(t).Expect(living.Action).To(Equal(lifecycle.ActNone), "it is in use")
}

// TestAVolumeThatDoesNotComeIsLookedFor: no event of its pod tells of it.
func TestAVolumeThatDoesNotComeIsLookedFor(t *testing.T) {
	unbound := func(f *lifecycle.Facts) { f.Compute.Unbound = true }
	pending := waiting(v1alpha1.ReasonStoragePending, "no volume")
	g := NewWithT(t)
	g.Expect(lifecycle.Decide(at(1), living(at(1), starting, begun(zero), unbound)).LookAgain).To(Equal(at(10)))
	g.Expect(lifecycle.Decide(at(11), living(at(11), starting, begun(zero), unbound, pending))).To(And(
		HaveField("LookAgain", at(600)), HaveField("Wait.Reason", v1alpha1.ReasonStoragePending), HaveField("Wait.Message", ContainSubstring("no volume"))))
	over := lifecycle.Decide(at(600), living(at(600), starting, begun(zero), unbound, pending))
	g.Expect(over.Stop).To(And(HaveField("Reason", v1alpha1.StopStartFailed), HaveField("Message", ContainSubstring("no volume"))))
}

func TestUseOfClaim(t *testing.T) {
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "u"}}
	owner := func(change func(*metav1.OwnerReference)) func(*corev1.PersistentVolumeClaim) {
		return func(c *corev1.PersistentVolumeClaim) { change(&c.OwnerReferences[0]) }
	}
	going := func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &metav1.Time{Time: at(1)} }
	for name, row := range map[string]struct {
		change  func(*corev1.PersistentVolumeClaim)
		version string
		want    lifecycle.ClaimUse
	}{
		"its own":                         {nil, "", lifecycle.ClaimMounted},
		"its own, of this version":        {func(c *corev1.PersistentVolumeClaim) { c.Labels[v1alpha1.LabelVersion] = "2" }, "2", lifecycle.ClaimMounted},
		"its own, of an earlier version":  {func(c *corev1.PersistentVolumeClaim) { c.Labels[v1alpha1.LabelVersion] = "1" }, "2", lifecycle.ClaimOutdated},
		"its own, of a later version":     {func(c *corev1.PersistentVolumeClaim) { c.Labels[v1alpha1.LabelVersion] = "3" }, "2", lifecycle.ClaimOutdated},
		"its own, that goes":              {going, "", lifecycle.ClaimAwaited},
		"of an earlier session":           {owner(func(o *metav1.OwnerReference) { o.UID = "gone" }), "", lifecycle.ClaimOutdated},
		"of an earlier session, and goes": {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences[0].UID = "gone"; going(c) }, "", lifecycle.ClaimAwaited},
		"nobody's":                        {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences = nil }, "", lifecycle.ClaimForeign},
		"nobody's, that goes":             {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences = nil; going(c) }, "", lifecycle.ClaimForeign},
		"another kind's":                  {owner(func(o *metav1.OwnerReference) { o.Kind = "StatefulSet" }), "", lifecycle.ClaimForeign},
		"another group's":                 {owner(func(o *metav1.OwnerReference) { o.APIVersion = "other/v1" }), "", lifecycle.ClaimForeign},
		"another session's":               {owner(func(o *metav1.OwnerReference) { o.Name, o.UID = "t", "v" }), "", lifecycle.ClaimForeign},
		"an owner that does not control":  {owner(func(o *metav1.OwnerReference) { o.Controller = nil }), "", lifecycle.ClaimForeign},
	} {
		t.Run(name, func(t *testing.T) {
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
				Name: "s", Labels: map[string]string{},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("AgentSession"))},
			}}
			if row.change != nil {
				row.change(claim)
			}
			NewWithT(t).Expect(lifecycle.UseOfClaim(claim, session, row.version)).To(Equal(row.want))
		})
	}
}

func TestStorageOf(t *testing.T) {
	g := NewWithT(t)
	own, theirs := v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/own"}, v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/theirs"}
	g.Expect(lifecycle.StorageOf(&v1alpha1.AgentSessionSpec{})).To(BeNil())
	g.Expect(lifecycle.StorageOf(&v1alpha1.AgentSessionSpec{FilesystemConfigurations: filesystems(own)})).To(HaveValue(Equal(own)))
	governed := func(of v1alpha1.AgentRuntimeSpec) *v1alpha1.SessionStorageConfiguration {
		spec := lifecycle.Govern(v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "a"}}, lifecycle.Capture(&of, 3))
		return lifecycle.StorageOf(&spec)
	}
	g.Expect(governed(v1alpha1.AgentRuntimeSpec{FilesystemConfigurations: filesystems(theirs)})).To(HaveValue(Equal(theirs)), "the runtime's")
	g.Expect(governed(v1alpha1.AgentRuntimeSpec{})).To(BeNil())

	size := lifecycle.StorageSize(&own)
	g.Expect(size.String()).To(Equal("1Gi"))
	own.Size = new(resource.MustParse("20Gi"))
	size = lifecycle.StorageSize(&own)
	g.Expect(size.String()).To(Equal("20Gi"))
}

// TestSessionTTLOf: storage lives as long as on AgentCore, unless the runtime says otherwise.
func TestSessionTTLOf(t *testing.T) {
	storage := filesystems(v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/a"})
	for name, row := range map[string]struct {
		of   v1alpha1.AgentRuntimeSpec
		want int32
	}{
		"nothing":               {v1alpha1.AgentRuntimeSpec{}, 86400},
		"storage":               {v1alpha1.AgentRuntimeSpec{FilesystemConfigurations: storage}, 1209600},
		"its own":               {v1alpha1.AgentRuntimeSpec{SessionTTLSecondsAfterStopped: new(int32(0))}, 0},
		"its own, with storage": {v1alpha1.AgentRuntimeSpec{SessionTTLSecondsAfterStopped: new(int32(60)), FilesystemConfigurations: storage}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(lifecycle.SessionTTLOf(&row.of)).To(Equal(row.want))
		})
	}
}

func TestStorageKeptUntil(t *testing.T) {
	g := NewWithT(t)
	session := &v1alpha1.AgentSession{Status: v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateStopped, Storage: &v1alpha1.StorageStatus{}, LastTermination: &v1alpha1.Termination{At: &metav1.Time{Time: at(0)}},
	}}
	g.Expect(lifecycle.StorageKeptUntil(session)).To(Equal(at(14 * 86400)))
	session.Status.TimeScale = 7
	g.Expect(lifecycle.StorageKeptUntil(session)).To(Equal(at(2 * 86400)))
	session.Status.State = v1alpha1.StateIdle
	g.Expect(lifecycle.StorageKeptUntil(session)).To(Equal(zero), "it is in use")
	session.Status.State, session.Status.Storage = v1alpha1.StateStopped, nil
	g.Expect(lifecycle.StorageKeptUntil(session)).To(Equal(zero), "it has none")
}
