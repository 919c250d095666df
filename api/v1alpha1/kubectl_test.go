package v1alpha1_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestKubectlExplain(t *testing.T) {
	// The API server publishes a kind's documentation a while after it serves it.
	NewWithT(t).Eventually(func() error {
		_, err := kubectl("explain", "ags")
		return err
	}).WithTimeout(30 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
	for path, says := range map[string][]string{
		"agentsession.spec.lifecycleConfiguration.idleRuntimeSessionTimeout": {"<integer>", "in seconds", "60 to 28800", "smaller of 900 and maxLifetime if absent"},
		"agentsession.spec.lifecycleConfiguration.maxLifetime":               {"<integer>", "in seconds", "60 to 28800", "28800 (8 hours) if absent"},
		"ags.spec.ping.failureThreshold":                                     {"4 to 1800", "every 2 seconds"},
		"ags.spec.stuckDetection.afterSeconds":                               {"Seconds", "60 to 28800"},
		"ags.spec.ttlSecondsAfterStopped":                                    {"seconds", "0 to 31,536,000"},
		"ags.spec.activation":                                                {"status.activation + 1"},
		"ags.spec.desiredState":                                              {"ENUM: Running Stopped"},
		"ags.status.nextStop":                                                {"when and why", "at", "reason"},
		// Without the descriptions of pods: with them the CRD cannot be applied.
		"ags.spec.template.spec.containers.image": {"<string>"},
	} {
		t.Run(path, func(t *testing.T) {
			g := NewWithT(t)
			out, err := kubectl("explain", path)
			g.Expect(err).NotTo(HaveOccurred(), out)
			for _, words := range says {
				g.Expect(strings.Join(strings.Fields(out), " ")).To(ContainSubstring(words))
			}
		})
	}
}

func TestKubectlGet(t *testing.T) {
	g := NewWithT(t)
	object := manifest(t, "{}")
	object.SetGenerateName("")
	object.SetName("shown")
	g.Expect(api.Create(t.Context(), object)).To(Succeed())
	t.Cleanup(func() { _ = api.Delete(context.Background(), object) })
	session := &v1alpha1.AgentSession{}
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(object), session)).To(Succeed())
	due := metav1.Unix(1795423194, 0)
	session.Status = v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, PingStatus: "Healthy", Activation: 2,
		NextStop:        &v1alpha1.NextStop{At: due, Reason: v1alpha1.StopIdleTimeout},
		LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopRequested, Activation: 1},
	}
	g.Expect(api.Status().Update(t.Context(), session)).To(Succeed())
	for _, kind := range []string{"ags", "agents"} {
		out, err := kubectl("get", kind, "-n", "default", "shown")
		if kind == "agents" { // a category takes no name
			out, err = kubectl("get", kind, "-n", "default")
		}
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(MatchRegexp(`NAME +STATE +PING +ACTIVATION +NEXT STOP +NEXT REASON +LAST STOP +AGE`))
		g.Expect(out).To(MatchRegexp(`shown +Idle +Healthy +2 +%s +IdleTimeout +StopRequested +\d+s`, due.UTC().Format("2006-01-02T15:04:05Z")))
	}
}

// Every manifest of this repository is one that a user may apply.
func TestKubectlApplyTakesOurManifests(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).NotTo(BeEmpty())
	what := [][]string{{"-k", "../../config/samples"}}
	for _, file := range files {
		what = append(what, []string{"-f", file})
	}
	for _, args := range what {
		t.Run(filepath.Base(args[1]), func(t *testing.T) {
			out, err := kubectl(append([]string{"apply", "-n", "default", "--dry-run=server", "--validate=strict"}, args...)...)
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
			NewWithT(t).Expect(out).To(ContainSubstring("created (server dry run)"))
		})
	}
}
