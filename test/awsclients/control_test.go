package awsclients

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/controlplane"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/front"
)

// TestControlPlane has boto3 make, change and delete runtimes, whose agents answer.
func TestControlPlane(t *testing.T) {
	python := os.Getenv("AGENTSESSION_PYTHON")
	if python == "" {
		t.Fatal("AGENTSESSION_PYTHON must be a Python with boto3: run make conformance")
	}
	g := NewWithT(t)
	plane, err := front.Start("../../config/crd/bases", logr.Discard())
	t.Cleanup(func() { _ = plane.Stop() })
	g.Expect(err).NotTo(HaveOccurred())
	open := func(validate bool) string {
		url, shut, err := plane.Door(front.Authenticated, func(o *gateway.Options) {
			o.Control = controlplane.New(controlplane.Options{
				Client: o.Client, Live: o.Live, AllowedImages: []string{"123456789012.dkr.ecr.eu-west-1.amazonaws.com/"}, Validate: validate,
			})
		})
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = shut() })
		return url
	}
	url, trying := open(false), open(true)

	const namespace = "agents"
	ctx := t.Context()
	g.Expect(plane.API.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	g.Expect(plane.API.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "maker", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": "AKIDMAKER", "secretAccessKey": "secret", "namespaces": namespace, "rights": "invocations,control"},
	})).To(Succeed())
	kubectls := &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-kubectl"},
		Spec: v1alpha1.AgentRuntimeSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			ServiceAccountName: "mighty", Containers: []corev1.Container{{Name: "agent", Image: "echo"}},
		}}},
	}
	g.Expect(plane.Runtime(ctx, kubectls)).To(Succeed())
	others := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "others"}, Spec: *kubectls.Spec.DeepCopy()}
	g.Expect(plane.Runtime(ctx, others)).To(Succeed())
	for _, one := range []string{url, trying} { // until the gateways know the key
		g.Eventually(func() error {
			return (&place{door: door{one, "AKIDMAKER", "secret"}, api: plane.API}).knows(ctx, kubectls)
		}).WithTimeout(patience).Should(MatchError(ContainSubstring("403")), "it has no right to sessions")
	}

	out, err := exec.CommandContext(ctx, python, "control.py", url, trying, region, "AKIDMAKER", "secret", strconv.Itoa(int(plane.Port)), kubectls.Status.AgentRuntimeArn).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)

	var made v1alpha1.AgentRuntimeList
	g.Expect(plane.API.List(ctx, &made, kube.InNamespace(namespace))).To(Succeed())
	id := strings.TrimSpace(string(out))
	for i := range made.Items {
		if agent := &made.Items[i]; agent.Status.AgentRuntimeID == id {
			g.Expect(agent.Name).To(MatchRegexp(`^echo-agent-[0-9a-f]{6}$`))
			g.Expect(agent.Spec.Template.Spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
			g.Expect(agent.Spec.Template.Spec.Containers[0].Env).To(ConsistOf(corev1.EnvVar{Name: "A", Value: "1$$(B)"}, corev1.EnvVar{Name: "B", Value: "$$$$"}))
			return
		}
	}
	t.Fatalf("kubectl does not see the runtime %s: %v", id, made.Items)
}
