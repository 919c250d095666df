package controllers

import (
	"flag"
	"os"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

// TestBuildPod compares with golden files: go test ./controllers -run BuildPod -update.
func TestBuildPod(t *testing.T) {
	minimal := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent:1"}}}}
	for name, row := range map[string]struct {
		template corev1.PodTemplateSpec
		change   func(*v1alpha1.AgentSessionSpec)
	}{
		"minimal": {template: minimal, change: func(*v1alpha1.AgentSessionSpec) {}},
		"full": {
			template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      map[string]string{"team": "a", v1alpha1.LabelSession: "somebody-elses", v1alpha1.LabelActivation: "99"},
					Annotations: map[string]string{"note": "kept"},
				},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64(3)),
					AutomountServiceAccountToken:  new(true),
					ServiceAccountName:            "agent",
					Containers: []corev1.Container{
						{Name: "agent", Image: "agent:1", Env: []corev1.EnvVar{
							{Name: "AGENTSESSION_ACTIVATION", Value: "99"},
							{Name: "AGENTSESSION_TOKEN", Value: "the template's"},
							{Name: "DOCKER_CONTAINER", Value: "no"},
							{Name: "LOG", Value: "/log/$(AGENTSESSION_RUNTIME_SESSION_ID)"},
						}},
						{Name: "sidecar", Image: "sidecar:1"},
					},
				},
			},
			change: func(s *v1alpha1.AgentSessionSpec) {
				s.RuntimeSessionID = "the-session-of-somebody-in-particular"
				s.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{MaxLifetime: 600}
			},
		},
		"hooks": {
			template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "fetch"}},
				Containers: []corev1.Container{
					{Name: "agent", Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 25}}}},
					{Name: "sidecar", TerminationMessagePolicy: corev1.TerminationMessageReadFile},
				},
			}},
			change: func(*v1alpha1.AgentSessionSpec) {},
		},
		"storage": {
			template: minimal,
			change: func(s *v1alpha1.AgentSessionSpec) {
				s.FilesystemConfigurations = []v1alpha1.FilesystemConfiguration{{SessionStorage: v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/data/"}}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			session := &v1alpha1.AgentSession{
				ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "research", UID: "6b1a4f0e-0000-4000-8000-000000000001"},
				Spec:       v1alpha1.AgentSessionSpec{Template: row.template},
			}
			row.change(&session.Spec)
			before := session.DeepCopy()
			pod, err := yaml.Marshal(buildPod(session, 2, nil, "TOKEN"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(session).To(Equal(before), "the session in the cache is not touched")

			golden := "testdata/pod-" + name + ".yaml"
			if *update {
				g.Expect(os.WriteFile(golden, pod, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(pod)).To(Equal(string(want)))
		})
	}
}

// A template that was stored before the schema bounded its grace gives its pod no more.
func TestTheGraceIsBounded(t *testing.T) {
	for grace, want := range map[int64]int64{0: 0, 15: 15, 3600: 3600, 3601: 3600, 31_536_000: 3600} {
		g := NewWithT(t)
		session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "u"}}
		session.Spec.Template.Spec = corev1.PodSpec{TerminationGracePeriodSeconds: new(grace), Containers: []corev1.Container{{Name: "agent"}}}
		pod := buildPod(session, 1, nil, "TOKEN")
		g.Expect(pod.Spec.TerminationGracePeriodSeconds).To(HaveValue(Equal(want)))
		g.Expect(pod.Spec.Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: contract.EnvGracePeriod, Value: strconv.FormatInt(want, 10)}), "which the agent is told")
		g.Expect(session.Spec.Template.Spec.TerminationGracePeriodSeconds).To(HaveValue(Equal(grace)), "the session in the cache is not touched")
	}
}

func TestPodsOfTwoSessionsNeverShareAName(t *testing.T) {
	g := NewWithT(t)
	session := func(name string) *v1alpha1.AgentSession {
		return &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	g.Expect(podName(session("a"), 11)).NotTo(Equal(podName(session("a-1"), 1)))
	g.Expect(podName(session("a-1"), 1)).NotTo(Equal(podName(session("a"), 1)))
}
