package explain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// ended are the last activations, by why they ended, the newest first.
func ended(reasons ...v1alpha1.StopReason) change {
	return func(s *v1alpha1.AgentSession) {
		for i, reason := range reasons {
			s.Status.History = append(s.Status.History, v1alpha1.PastActivation{Reason: reason, Message: "exited with code 1", Activation: int32(len(reasons) - i), Until: ago(30 * time.Minute)})
		}
	}
}

// TestNeeds: what is looked at first, and what is not.
func TestNeeds(t *testing.T) {
	const exited, failed, timeout, wanted = v1alpha1.StopAgentExited, v1alpha1.StopStartFailed, v1alpha1.StopStartTimeout, v1alpha1.StopIdleTimeout
	isStuck := with(told(v1alpha1.ConditionStuck, metav1.ConditionTrue, v1alpha1.ReasonBusyTooLong, "HealthyBusy for 2h0m0s"))
	trouble := func(reason string) change { return with(ready(reason, troubles[reason].message)) }
	for name, c := range map[string]struct {
		session *v1alpha1.AgentSession
		want    string // kinds with how their texts begin
	}{
		"new":                           {session(""), ""},
		"starting":                      {session("Starting", starts(time.Second)), ""},
		"idle":                          {session("Idle", running(time.Hour), idleFor(time.Minute)), ""},
		"busy":                          {session("Active", running(time.Hour), busyFor(time.Minute)), ""},
		"stopped as it should":          {session("Stopped", running(time.Hour), stopped(wanted, stops[wanted])), ""},
		"stuck":                         {session("Active", running(time.Hour), busyFor(time.Minute), isStuck), "stuck BusyTooLong: HealthyBusy for 2h0m0s."},
		"was stuck":                     {session("Stopped", isStuck), ""},
		"breaks the contract":           {session("Idle", running(time.Hour), with(contracted(v1alpha1.ReasonPingNotOK, "503"))), "pingContract NotOK: 503."},
		"broke the contract":            {session("Stopped", with(contracted(v1alpha1.ReasonPingNotOK, "503"))), ""},
		"flaps":                         {session("Idle", running(time.Hour), trouble(v1alpha1.ReasonFlapping)), "pingContract Flapping: The agent answers"},
		"refused":                       {session("Starting", trouble(v1alpha1.ReasonPodRefused)), `startRefused PodRefused: pods "research-1" is forbidden`},
		"no image":                      {session("Starting", starts(time.Minute), trouble(v1alpha1.ReasonImagePullFailed)), "startRefused ImagePullFailed: "},
		"silent with most others":       {session("Idle", running(time.Hour), trouble(v1alpha1.ReasonMassFailure)), "unhealthy MassFailure: The agent has not answered"},
		"stopped as unhealthy":          {session("Stopped", stopped(v1alpha1.StopUnhealthy, stops[v1alpha1.StopUnhealthy])), "unhealthy At least 15 pings"},
		"runs again after that":         {session("Idle", running(time.Minute), stopped(v1alpha1.StopUnhealthy, stops[v1alpha1.StopUnhealthy])), ""},
		"crashed twice":                 {session("Stopped", ended(exited, exited, wanted)), ""},
		"crashes":                       {session("Stopped", ended(exited, failed, timeout, wanted)), "crashLoop Its last activations all failed, the last one by AgentExited: exited with code 1."},
		"crashed, and ended well":       {session("Stopped", ended(wanted, exited, exited, exited)), ""},
		"a stop that is just due":       {session("Idle", running(time.Hour), stopsNext(-time.Minute, wanted)), ""},
		"a stop that has not come":      {session("Idle", running(time.Hour), stopsNext(-61*time.Second, wanted)), "lateStop IdleTimeout was due at 02:58:59 and has not come. Look whether an operator runs."},
		"a stop that was due once":      {session("Stopped", stopsNext(-time.Hour, wanted)), ""},
		"a stuck one that is late, too": {session("Active", running(time.Hour), isStuck, stopsNext(-time.Hour, v1alpha1.StopStuckBusy)), "stuck Busy\nlateStop StuckBusy"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var got []string
			for _, need := range explain.Needs(now, c.session) {
				got = append(got, fmt.Sprint(need.Kind, " ", need.Text))
				g.Expect(explain.Needs(now.Add(time.Second), c.session)).To(ContainElement(need), "its text stays")
			}
			want := strings.FieldsFunc(c.want, func(r rune) bool { return r == '\n' })
			g.Expect(got).To(HaveLen(len(want)))
			for i := range want {
				g.Expect(got[i]).To(HavePrefix(want[i]))
			}
		})
	}
	for _, need := range explain.Needs(now, hostile().Session) {
		NewWithT(t).Expect(need.Text).NotTo(MatchRegexp(`[^ -~…]`))
		NewWithT(t).Expect(len(need.Text)).To(BeNumerically("<", 1100))
	}
}

// TestNeedsOfRuntimes are their conditions that are false.
func TestNeedsOfRuntimes(t *testing.T) {
	g := NewWithT(t)
	g.Expect(explain.RuntimeNeeds(runtime())).To(BeEmpty())
	refused := runtime(turned(v1alpha1.ConditionSessionsStart, v1alpha1.ReasonPodRefused, "exceeded quota"))
	g.Expect(explain.RuntimeNeeds(refused)).To(Equal([]explain.Need{{Kind: explain.NeedStartRefused, Text: "PodRefused: exceeded quota."}}))
}

// TestMoments of rows are those that their words are about.
func TestMoments(t *testing.T) {
	g := NewWithT(t)
	row := explain.RowOf(now, session("Idle", running(time.Hour), idleFor(5*time.Minute)))
	g.Expect(row.SinceAt).To(Equal(ago(5 * time.Minute).Time))
	g.Expect(row.NextAt).To(Equal(ago(-10 * time.Minute).Time))
	g.Expect(row.NextWhat).To(Equal("IdleTimeout"))
	gone := session("Stopped", stopped(v1alpha1.StopIdleTimeout, ""))
	g.Expect(explain.RowOf(now, gone).NextAt).To(BeZero())
	gone.Spec.TTLSecondsAfterStopped = new(int32(3600))
	g.Expect(explain.RowOf(now, gone)).To(And(HaveField("NextAt", ago(-50*time.Minute).Time), HaveField("NextWhat", "deletion")))
	for _, k := range sessions() {
		row := explain.RowOf(now, k.Session)
		named := row.NextWhat != ""
		g.Expect(named).To(Equal(row.Next != "-"))
	}
}
