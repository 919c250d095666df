package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// TestHandover: of several operators one looks after a session that lives, and the next goes
// by what is known of the time before.
func TestHandover(t *testing.T) {
	let := created.Add(time.Minute)
	leads, ended, never := lifecycle.Leader{Leads: true}, lifecycle.Leader{SeenAt: created.Add(time.Hour)}, lifecycle.Leader{}
	predecessor := created.Add(2 * time.Hour) // of the operator that asks
	of := func(selector string) *v1alpha1.Operator { return &v1alpha1.Operator{Selector: selector} }
	letGo := &v1alpha1.Operator{Selector: "shard=a", SeenAt: new(metav1.NewTime(let))}
	for name, row := range map[string]struct {
		own    string // the selector of the operator that asks
		by     *v1alpha1.Operator
		labels map[string]string
		state  v1alpha1.SessionState
		other  lifecycle.Leader
		waited time.Duration

		others, takes bool
		seen          time.Time
	}{
		"its own":                       {own: "shard=b", by: of("shard=b"), state: v1alpha1.StateIdle, seen: predecessor},
		"its own, without a selector":   {state: v1alpha1.StateIdle, seen: predecessor},
		"a new one":                     {own: "shard=b", state: "", other: leads},
		"a stopped one":                 {own: "shard=b", by: of("shard=a"), state: v1alpha1.StateStopped, other: leads},
		"one that is stopping":          {own: "shard=b", by: of("shard=a"), state: v1alpha1.StateStopping, other: leads},
		"it was let go of":              {own: "shard=b", by: letGo, state: v1alpha1.StateIdle, other: leads, seen: let},
		"let go of, and back":           {own: "shard=a", by: letGo, state: v1alpha1.StateIdle, labels: map[string]string{"shard": "a"}, seen: let},
		"relabelled":                    {own: "shard=b", by: of("shard=a"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateIdle, other: leads, others: true},
		"relabelled, of a start":        {own: "shard=b", by: of("shard=a"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateStarting, other: leads, others: true},
		"relabelled, of one that works": {own: "shard=b", by: of("shard=a"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: lifecycle.HandoverTimeout - time.Second, others: true},
		"it does not let go":            {own: "shard=b", by: of("shard=a"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: lifecycle.HandoverTimeout, others: true, takes: true},
		"the other has ended":           {own: "shard=b", by: of("shard=a"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: ended, others: true, takes: true},
		"both are meant to":             {own: "shard=b", by: of("shard in (a,b)"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: time.Hour, others: true},
		"the first has ended":           {own: "shard=b", by: of("shard in (a,b)"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: ended, others: true, takes: true, seen: ended.SeenAt},
		"one without a selector leads":  {own: "shard=b", labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: time.Hour, others: true},
		"one without has ended":         {own: "shard=b", labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: ended, others: true, takes: true, seen: ended.SeenAt},
		"one without never led":         {own: "shard=b", labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: never, others: true, takes: true},
		"back to one without":           {by: of("shard=b"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: time.Hour, others: true},
		"somebody wrote nonsense":       {own: "shard=b", by: of("a b"), labels: map[string]string{"shard": "b"}, state: v1alpha1.StateActive, other: leads, waited: lifecycle.HandoverTimeout, others: true, takes: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Labels: row.labels}, Status: v1alpha1.AgentSessionStatus{State: row.state, Operator: row.by}}
			g.Expect(lifecycle.HeldByOther(row.own, &session.Status)).To(Equal(row.others))
			if row.others {
				g.Expect(lifecycle.TakesOver(session, row.other, row.waited)).To(Equal(row.takes))
			}
			if !row.others || row.takes {
				g.Expect(lifecycle.SeenUntil(row.own, session, predecessor, row.other)).To(BeTemporally("==", row.seen))
			}
		})
	}
}

// TestRelease: what is not known of an agent is not made up.
func TestRelease(t *testing.T) {
	now, answered := created.Add(time.Hour), created.Add(time.Minute+300*time.Millisecond)
	for name, row := range map[string]struct {
		answered time.Time
		pod      *v1alpha1.PodStatus
		seen     time.Time
	}{
		"it answered":             {answered, &v1alpha1.PodStatus{CreatedAt: metav1.NewTime(created)}, created.Add(time.Minute)},
		"it has not answered yet": {time.Time{}, &v1alpha1.PodStatus{CreatedAt: metav1.NewTime(created)}, created},
		"it has no pod":           {time.Time{}, nil, now},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status := &v1alpha1.AgentSessionStatus{Operator: &v1alpha1.Operator{Selector: "shard=a"}, Pod: row.pod}
			let := lifecycle.Release(status, row.answered, now)
			g.Expect(let.Selector).To(Equal("shard=a"))
			g.Expect(let.SeenAt.Time).To(BeTemporally("==", row.seen))
		})
	}
}
