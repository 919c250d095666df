package agentsessiontest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// world is a platform, and a session whose history is played there.
type world struct {
	*agentsessiontest.Platform
	session *v1alpha1.AgentSession
}

// step is something that happens to a session, and what it is to come to.
type step struct {
	name string
	// from are the states in which it can happen.
	from  []v1alpha1.SessionState
	do    func(context.Context, world) error
	state v1alpha1.SessionState
	// ends is why it ends the activation; empty if it does not.
	ends v1alpha1.StopReason
}

var (
	runs    = []v1alpha1.SessionState{v1alpha1.StateActive, v1alpha1.StateIdle}
	isIdle  = []v1alpha1.SessionState{v1alpha1.StateIdle}
	isBusy  = []v1alpha1.SessionState{v1alpha1.StateActive}
	stopped = []v1alpha1.SessionState{v1alpha1.StateStopped}
)

var everyStep = []step{
	{"becomes busy", isIdle, says(contract.HealthyBusy), v1alpha1.StateActive, ""},
	{"becomes idle", isBusy, says(contract.Healthy), v1alpha1.StateIdle, ""},
	{"is idle for too long", isIdle, lives(15 * time.Minute), v1alpha1.StateStopped, v1alpha1.StopIdleTimeout},
	{"is busy for a while", isBusy, lives(15 * time.Minute), v1alpha1.StateActive, ""},
	{"lives for too long", isBusy, lives(8 * time.Hour), v1alpha1.StateStopped, v1alpha1.StopMaxLifetime},
	{"hangs", runs, func(_ context.Context, w world) error {
		w.Agent(w.session).Hang()
		return nil
	}, v1alpha1.StateStopped, v1alpha1.StopUnhealthy},
	{"is to stop", runs, specs(func(s *v1alpha1.AgentSessionSpec) { s.DesiredState = v1alpha1.DesiredStopped }), v1alpha1.StateStopped, v1alpha1.StopRequested},
	{"loses its pod", runs, func(ctx context.Context, w world) error {
		return w.API.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: w.session.Status.Pod.Name, Namespace: w.session.Namespace}})
	}, v1alpha1.StateStopped, v1alpha1.StopComputeLost},
	{"is woken", stopped, func(ctx context.Context, w world) error {
		next := w.session.Status.Activation + 1
		return specs(func(s *v1alpha1.AgentSessionSpec) { s.DesiredState, s.Activation = v1alpha1.DesiredRunning, next })(ctx, w)
	}, v1alpha1.StateIdle, ""},
}

func says(status contract.Status) func(context.Context, world) error {
	return func(_ context.Context, w world) error {
		w.Agent(w.session).Say(status)
		return nil
	}
}

// lives lets time go by: as much as the rules of this platform divide.
func lives(by time.Duration) func(context.Context, world) error {
	return func(ctx context.Context, w world) error { return w.Move(ctx, by/scale) }
}

func specs(change func(*v1alpha1.AgentSessionSpec)) func(context.Context, world) error {
	return func(ctx context.Context, w world) error {
		patch := client.MergeFrom(w.session.DeepCopy())
		change(&w.session.Spec)
		return w.API.Patch(ctx, w.session, patch)
	}
}

// scale divides the durations of the rules, so that what hangs is found in a second and a half.
const scale = 20

// TestTheSameHistoriesOnALaptop: whatever happens to a session, it comes to the same on a
// real API server and on the API that `agentsession local` keeps in memory.
func TestTheSameHistoriesOnALaptop(t *testing.T) {
	api, err := kubeapi.Start(t.Context())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(api.Stop()).To(Succeed()) })
	cluster := startOn(t, config, agentsessiontest.Options{TimeScale: scale})
	laptop := startOn(t, api.Config(), agentsessiontest.Options{TimeScale: scale})
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("history ", seed), func(t *testing.T) {
			play(t, rand.New(rand.NewPCG(seed, 0)), cluster, laptop)
		})
	}
}

// play has the same happen to a session on each platform, and holds what is told of them
// beside each other.
func play(t *testing.T, random *rand.Rand, platforms ...*agentsessiontest.Platform) {
	t.Helper()
	g, ctx := NewWithT(t), t.Context()
	worlds := make([]world, len(platforms))
	for i, platform := range platforms {
		worlds[i] = world{platform, newSession(newNamespace(t, platform), "history")}
		g.Expect(platform.API.Create(ctx, worlds[i].session)).To(Succeed())
		reaches(ctx, g, platform, worlds[i].session, v1alpha1.StateIdle)
	}
	state, ends := v1alpha1.StateIdle, 0
	for range 10 {
		possible := slices.DeleteFunc(slices.Clone(everyStep), func(s step) bool { return !slices.Contains(s.from, state) })
		next := possible[random.IntN(len(possible))]
		t.Log("the agent's session", next.name)
		if state = next.state; next.ends != "" {
			ends++
		}
		told := make([]outcome, len(worlds))
		for i, w := range worlds {
			g.Expect(next.do(ctx, w)).To(Succeed())
			g.Eventually(func(g Gomega) {
				told[i] = w.told(ctx, g)
				g.Expect(told[i].State).To(Equal(state))
				g.Expect(told[i].Ends).To(HaveLen(ends))
				if next.ends != "" {
					g.Expect(told[i].Ends[0]).To(ContainSubstring(string(next.ends)))
				}
				g.Expect(told[i].Pods).To(Equal(map[bool]int{true: 0, false: 1}[state == v1alpha1.StateStopped]))
			}).WithTimeout(patience).WithPolling(20*time.Millisecond).Should(Succeed(), "%s", next.name)
		}
		g.Expect(told[1]).To(Equal(told[0]), "%s", next.name)
	}
	g.Eventually(func() []string { return worlds[1].events(ctx, g) }).WithTimeout(patience).
		Should(ConsistOf(worlds[0].events(ctx, g)))
}

// outcome is what is told of a session, without what differs from run to run: times and names.
type outcome struct {
	State      v1alpha1.SessionState
	Ping       string
	Activation int32
	Ends       []string
	Conditions []string
	Pods       int
}

func (w world) told(ctx context.Context, g Gomega) outcome {
	g.Expect(w.API.Get(ctx, client.ObjectKeyFromObject(w.session), w.session)).To(Succeed())
	status := w.session.Status
	o := outcome{State: status.State, Ping: status.PingStatus, Activation: status.Activation}
	for _, end := range status.History {
		o.Ends = append(o.Ends, fmt.Sprint(end.Activation, " ", end.Reason))
	}
	for _, c := range status.Conditions {
		o.Conditions = append(o.Conditions, fmt.Sprint(c.Type, "=", c.Status, " ", c.Reason))
	}
	slices.Sort(o.Conditions)
	var pods corev1.PodList
	g.Expect(w.API.List(ctx, &pods, client.InNamespace(w.session.Namespace))).To(Succeed())
	o.Pods = len(pods.Items)
	return o
}

// events are the reasons of all Events, each once. A pod that was lost may be gone before
// anybody sees it go, and then the session is Stopped without a word on the way.
func (w world) events(ctx context.Context, g Gomega) (all []string) {
	var list eventsv1.EventList
	g.Expect(w.API.List(ctx, &list, client.InNamespace(w.session.Namespace))).To(Succeed())
	for _, e := range list.Items {
		if e.Reason != string(v1alpha1.StopComputeLost) {
			all = append(all, e.Reason)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
