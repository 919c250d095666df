package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

const head = "apiVersion: runtime.agentsession.dev/v1alpha1\nkind: AgentRuntime\nmetadata: {name: one}\n"

func read(t *testing.T, text string, given Given) ([]Runtime, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runtime.yaml")
	NewWithT(t).Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	return ReadRuntimes(path, given)
}

// TestReadRuntimes reads what is applied to a cluster, and says what is not done here.
func TestReadRuntimes(t *testing.T) {
	g := NewWithT(t)
	runtimes, notes, err := read(t, "# only a comment\n---\n"+head+`spec:
  protocolConfiguration: {serverProtocol: MCP}
  allowedPorts: [{port: 8081}]
  template:
    spec:
      initContainers: [{name: first, image: some/image}]
      containers:
      - name: agent
        image: my/agent:1
        command: [python]
        args: [agent.py]
        workingDir: /src
        env:
        - {name: PLAIN, value: x}
        - {name: SECRET, valueFrom: {secretKeyRef: {name: a, key: b}}}
        - {name: MAYBE, valueFrom: {secretKeyRef: {name: a, key: b, optional: true}}}
        envFrom: [{secretRef: {name: many}}]
      - {name: sidecar, image: some/image}
---
apiVersion: runtime.agentsession.dev/v1alpha1
kind: AgentRuntime
metadata: {name: one, namespace: team-a, uid: of-a-cluster, resourceVersion: "7"}
spec: {template: {spec: {containers: [{name: agent, command: [sh]}]}}}
status: {agentRuntimeVersion: 7}
---
`, Given{Names: map[string]bool{"SECRET": true}, File: true})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(runtimes).To(HaveLen(2))
	g.Expect(notes).To(ConsistOf(
		HaveSuffix("document 2: spec.allowedPorts: sessions have no ports of their own here"),
		HaveSuffix("document 2: spec.template.spec.containers[0].env[2].valueFrom is optional, and nothing here: MAYBE is not set"),
		HaveSuffix("document 2: spec.template.spec.containers: only the first is run here"),
		HaveSuffix("document 2: spec.template.spec.initContainers are not run here")))
	first, second := runtimes[0], runtimes[1]
	g.Expect([]string{first.Namespace, first.Name, second.Namespace, second.Name}).To(Equal([]string{"default", "one", "team-a", "one"}))
	g.Expect([]string{string(second.UID), second.ResourceVersion}).To(Equal([]string{"", ""}))
	g.Expect(second.Status.AgentRuntimeVersion).To(BeZero())
	g.Expect(first.Spec.AllowedPorts).To(BeEmpty())
	adapt(first.AgentRuntime, []corev1.EnvVar{{Name: "PLAIN", Value: "y"}, {Name: "SECRET", Value: "z"}})
	agent := first.Spec.Template.Spec.Containers[0]
	g.Expect(agent.Env).To(ConsistOf(corev1.EnvVar{Name: "DOCKER_CONTAINER"}, corev1.EnvVar{Name: "PLAIN", Value: "y"}, corev1.EnvVar{Name: "SECRET", Value: "z"}))
	g.Expect(agent.EnvFrom).To(BeEmpty())
	g.Expect([]any{agent.Command, agent.Args, agent.WorkingDir}).To(Equal([]any{[]string{"python"}, []string{"agent.py"}, "/src"}))
	g.Expect(agent.Ports).To(HaveExactElements(HaveField("ContainerPort", BeEquivalentTo(28080)), HaveField("ContainerPort", BeEquivalentTo(8000))))
	g.Expect(first.Spec.ProtocolConfiguration.Port).To(BeEquivalentTo(28080))
}

// TestReadRuntimesThatCannotBeRun: each error names the file, the document and the field.
func TestReadRuntimesThatCannotBeRun(t *testing.T) {
	good := head + "spec: {template: {spec: {containers: [{name: agent, command: [sh]}]}}}\n"
	for says, text := range map[string]string{
		"there is no AgentRuntime in it":                                           "---\n# nothing\n",
		`document 2: unknown field "spec.template.spec.containers[0].comand"`:      good + "---\n" + head + "spec: {template: {spec: {containers: [{name: agent, comand: [sh], command: [sh]}]}}}",
		`document 1: unknown field "spec.lifecycle"`:                               head + "spec: {lifecycle: {}, template: {spec: {containers: [{name: agent, command: [sh]}]}}}",
		`document 1: unknown field "metadata.nam"`:                                 "apiVersion: runtime.agentsession.dev/v1alpha1\nkind: AgentRuntime\nmetadata: {name: one, nam: x}\nspec: {template: {spec: {containers: [{name: agent, command: [sh]}]}}}",
		`key "kind" already set in map`:                                            head + "kind: AgentRuntime\n",
		"document 1: metadata.name is missing":                                     "apiVersion: runtime.agentsession.dev/v1alpha1\nkind: AgentRuntime\nspec: {template: {spec: {containers: [{name: agent, command: [sh]}]}}}",
		`document 2: metadata.name is "one", which document 1 has already`:         good + "---\n" + good,
		`document 1: apiVersion and kind are "v1" and "Secret"`:                    "apiVersion: v1\nkind: Secret\n",
		`document 1: spec.template.spec.containers is missing`:                     head + "spec: {template: {spec: {}}}",
		`containers[0] has neither a command`:                                      head + "spec: {template: {spec: {containers: [{name: agent, args: [x]}]}}}",
		"spec.template.spec.containers[0].env[0].valueFrom: there is nothing here": head + "spec: {template: {spec: {containers: [{name: agent, command: [sh], env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}}}]}]}}}",
		"spec.template.spec.containers[0].envFrom: there are no Secrets":           head + "spec: {template: {spec: {containers: [{name: agent, command: [sh], envFrom: [{secretRef: {name: a}}]}]}}}",
		"document 1: json: cannot unmarshal":                                       head + "spec: {template: {spec: {containers: [{name: agent, command: sh}]}}}",
		"1e-999999999":                                                             head + "spec: {template: {spec: {containers: [{name: agent, command: [sh], resources: {limits: {cpu: '1e-999999999'}}}]}}}",
		"document 1: yaml: line 1":                                                 "a: [",
		"it is larger than":                                                        good + "---\n#" + strings.Repeat("x", maxFile-len(good)-9) + "\n---\n" + good,
	} {
		t.Run(says, func(t *testing.T) {
			_, _, err := read(t, text, Given{})
			NewWithT(t).Expect(err).To(MatchError(And(ContainSubstring(says), ContainSubstring("runtime.yaml"))))
		})
	}
}

// TestARuntimeThatTheSchemaRefuses is named by its file and document, too.
func TestARuntimeThatTheSchemaRefuses(t *testing.T) {
	g := NewWithT(t)
	second := strings.Replace(head, "one", "two", 1) + "spec: {lifecycleConfiguration: {idleRuntimeSessionTimeout: 5}, template: {spec: {containers: [{name: agent, command: [sh]}]}}}\n"
	runtimes, _, err := read(t, head+"spec: {template: {spec: {containers: [{name: agent, command: [sh]}]}}}\n---\n"+second, Given{})
	g.Expect(err).NotTo(HaveOccurred())
	api, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(api.Stop()).To(Succeed()) })
	p := &platform{Options: Options{Runtimes: runtimes}, api: api}
	p.client, err = client.NewWithWatch(api.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	for _, one := range runtimes {
		adapt(one.AgentRuntime, nil)
	}
	_, err = p.makeRuntimes(t.Context())
	g.Expect(err).To(MatchError(And(MatchRegexp(`runtime\.yaml, document 2: make the runtime two: `), ContainSubstring("spec.lifecycleConfiguration.idleRuntimeSessionTimeout"))))
}
