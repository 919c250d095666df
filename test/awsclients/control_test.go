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

// allowedImage is what the images begin with that runtimes may be made of, up to their tags.
const allowedImage = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/echo:"

// maker is where runtimes are made, with an access key for those of a namespace.
type maker struct {
	*place
	recorder  *recorder
	trying    string // the URL of a gateway that has versions be tried
	trier     *recorder
	namespace string
	kubectls  *v1alpha1.AgentRuntime // which kubectl has made there
}

// newMaker lets runtimes be made of images that begin so.
func newMaker(t *testing.T, images string) *maker {
	t.Helper()
	g := NewWithT(t)
	plane, err := front.Start("../../config/crd/bases", logr.Discard())
	t.Cleanup(func() { _ = plane.Stop() })
	g.Expect(err).NotTo(HaveOccurred())
	open := func(validate bool) string {
		url, shut, err := plane.Door(front.Authenticated, func(o *gateway.Options) {
			o.Control = controlplane.New(controlplane.Options{
				Client: o.Client, Live: o.Live, AllowedImages: []string{images}, Validate: validate,
			})
		})
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = shut() })
		return url
	}
	url, trying := open(false), open(true)

	m := &maker{place: &place{api: plane.API, port: plane.Port}, namespace: "agents"}
	m.recorder, url = record(t, url)
	m.trier, m.trying = record(t, trying)
	m.door = door{url, "AKIDMAKER", "secret"}
	ctx := t.Context()
	g.Expect(plane.API.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.namespace}})).To(Succeed())
	g.Expect(plane.API.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "maker", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": m.accessKey, "secretAccessKey": m.secretKey, "namespaces": m.namespace, "rights": "invocations,control"},
	})).To(Succeed())
	m.kubectls = &v1alpha1.AgentRuntime{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: "by-kubectl"},
		Spec: v1alpha1.AgentRuntimeSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			ServiceAccountName: "mighty", Containers: []corev1.Container{{Name: "agent", Image: "echo"}},
		}}},
	}
	g.Expect(plane.Runtime(ctx, m.kubectls)).To(Succeed())
	others := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "others"}, Spec: *m.kubectls.Spec.DeepCopy()}
	g.Expect(plane.Runtime(ctx, others)).To(Succeed())
	for _, one := range []string{m.url, m.trying} { // until the gateways know the key
		g.Eventually(func() error {
			return (&place{door: door{one, m.accessKey, m.secretKey}, api: m.api}).knows(ctx, m.kubectls)
		}).WithTimeout(patience).Should(MatchError(ContainSubstring("403")), "it has no right to sessions")
	}
	return m
}

// python is one that has boto3.
func python(t *testing.T) string {
	t.Helper()
	name := os.Getenv("AGENTSESSION_PYTHON")
	NewWithT(t).Expect(name).NotTo(BeEmpty(), "AGENTSESSION_PYTHON must be a Python with boto3: run make conformance")
	return name
}

// TestControlPlane has boto3 see what is said of members, versions and refusals.
func TestControlPlane(t *testing.T) {
	t.Parallel()
	g, m := NewWithT(t), newMaker(t, allowedImage)
	out, err := exec.CommandContext(t.Context(), python(t), "control.py", m.url, m.trying, region, m.accessKey, m.secretKey,
		strconv.Itoa(int(m.port)), m.kubectls.Status.AgentRuntimeArn).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	m.recorder.judged(t)
	m.trier.judged(t)

	var made v1alpha1.AgentRuntimeList
	g.Expect(m.api.List(t.Context(), &made, kube.InNamespace(m.namespace))).To(Succeed())
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
