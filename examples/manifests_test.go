// Package examples_test checks the manifests against the API's types.
package examples_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestManifests(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).To(ConsistOf("echo.yaml", "forgetful.yaml", "patterns.yaml", "plain.yaml", "research.yaml", "runtime.yaml"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
			switch {
			case bytes.Contains(document, []byte("\nkind: AgentRuntime")):
				var agent v1alpha1.AgentRuntime
				NewWithT(t).Expect(yaml.UnmarshalStrict(document, &agent)).To(Succeed(), file)
				expectRestricted(NewWithT(t), agent.Spec.Template.Spec)
			case bytes.Contains(document, []byte("\nkind:")): // not the comment at the top of a file
				expectManifest(t, file, document)
			}
		}
	}
}

func expectManifest(t *testing.T, file string, document []byte) {
	t.Helper()
	var session v1alpha1.AgentSession
	NewWithT(t).Expect(yaml.UnmarshalStrict(document, &session)).To(Succeed(), file)
	t.Run(file+" "+session.Name, func(t *testing.T) {
		g := NewWithT(t)
		g.Expect(session.GroupVersionKind()).To(Equal(v1alpha1.GroupVersion.WithKind("AgentSession")))
		if file != "patterns.yaml" {
			g.Expect(session.Name).To(Equal(strings.TrimSuffix(file, ".yaml")))
		}
		if id := session.Spec.RuntimeSessionID; id != "" {
			g.Expect(len(id)).To(BeNumerically(">=", 33))
		}

		pod := session.Spec.Template.Spec
		g.Expect(pod.Containers).To(HaveLen(1))
		g.Expect(pod.Containers[0].Args[0]).To(Equal(session.Name))
		expectRestricted(g, pod)
	})
}

// expectRestricted checks what Pod Security "restricted" asks of a pod.
func expectRestricted(g *WithT, pod corev1.PodSpec) {
	g.Expect(pod.SecurityContext.RunAsNonRoot).To(Equal(new(true)))
	g.Expect(pod.SecurityContext.SeccompProfile.Type).To(Equal(corev1.SeccompProfileTypeRuntimeDefault))
	agent := pod.Containers[0].SecurityContext
	g.Expect(agent.AllowPrivilegeEscalation).To(Equal(new(false)))
	g.Expect(agent.Capabilities.Drop).To(ConsistOf(corev1.Capability("ALL")))
	g.Expect(agent.Capabilities.Add).To(BeEmpty())
}
