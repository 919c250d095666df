package v1alpha1_test

import (
	"maps"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// developers may make sessions, runtimes and pods, and use one service account.
const developers = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: developers}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create]}
- {apiGroups: [""], resources: [serviceaccounts], resourceNames: [theirs], verbs: [use]}
- {apiGroups: [runtime.agentsession.dev], resources: [agentsessions, agentruntimes], verbs: [create, get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: developers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: developers}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: developers}]
`

// TestPolicyOfTemplates is the table of what somebody may write into a template who
// may create pods: what he could do with a pod of his own, less what would be done
// with another's rights, as the operator is not him.
func TestPolicyOfTemplates(t *testing.T) {
	applyPolicy(t)
	use := ContainSubstring("verb use")
	for template, refused := range map[string]gomegatypes.GomegaMatcher{
		"spec: {serviceAccountName: powerful}":                                                   use,
		"spec: {serviceAccount: powerful}":                                                       use,
		"spec: {serviceAccountName: theirs, serviceAccount: powerful}":                           use,
		"spec: {serviceAccountName: default, serviceAccount: powerful}":                          use,
		"spec: {nodeName: node}":                                                                 ContainSubstring("nodeName must not be set"),
		"spec: {ephemeralContainers: [{name: e, image: e}]}":                                     ContainSubstring("ephemeralContainers must not be set"),
		"metadata: {annotations: {kubernetes.io/config.mirror: x}}":                              ContainSubstring("config.mirror"),
		"spec: {hostNetwork: true}":                                                              ContainSubstring("hostNetwork"),
		"spec: {hostPID: true}":                                                                  ContainSubstring("hostPID"),
		"spec: {hostIPC: true}":                                                                  ContainSubstring("hostIPC"),
		"{}":                                                                                     nil,
		"spec: {serviceAccountName: theirs, serviceAccount: theirs}":                             nil,
		"spec: {serviceAccountName: default}":                                                    nil,
		"spec: {serviceAccountName: ''}":                                                         nil,
		"spec: {initContainers: [{name: i, image: i}]}":                                          nil,
		"spec: {shareProcessNamespace: true}":                                                    nil,
		"spec: {hostUsers: false}":                                                               nil,
		"spec: {schedulingGates: [{name: example.com/gate}]}":                                    nil,
		"spec: {runtimeClassName: gvisor}":                                                       nil,
		"spec: {priorityClassName: high}":                                                        nil,
		"spec: {resourceClaims: [{name: gpu, resourceClaimName: gpu}]}":                          nil,
		"spec: {tolerations: [{operator: Exists}], nodeSelector: {pool: agents}}":                nil,
		"spec: {volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}": nil,
		"spec: {volumes: [{name: e, emptyDir: {}}], imagePullSecrets: [{name: registry}]}":       nil,
	} {
		t.Run(template, func(t *testing.T) {
			for _, kind := range []string{"AgentSession", "AgentRuntime"} {
				g := NewWithT(t)
				out, err := asDeveloper(t, kind, template)
				if refused == nil {
					g.Expect(err).NotTo(HaveOccurred(), "%s: %s", kind, out)
					continue
				}
				g.Expect(err).To(HaveOccurred(), kind)
				g.Expect(out).To(refused, kind)
			}
		})
	}
}

// TestPodSecurityOfTemplates is the table of what the policy leaves to the Pod Security level of
// the namespace: the least level that refuses it, and how. What no level refuses, whoever may
// create pods there may have in a pod of his own.
func TestPodSecurityOfTemplates(t *testing.T) {
	applyPolicy(t)
	for _, level := range []string{baseline, restricted} {
		namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		namespace.SetName(level) // it stays: nothing finalizes namespaces here
		namespace.SetLabels(map[string]string{"pod-security.kubernetes.io/enforce": level})
		NewWithT(t).Expect(client.IgnoreAlreadyExists(api.Create(t.Context(), namespace))).To(Succeed())
	}
	for template, refused := range map[string]struct{ by, as string }{
		"spec: {volumes: [{name: v, hostPath: {path: /}}]}":                                                       {baseline, "hostPath volumes"},
		"spec: {volumes: [{name: v, nfs: {server: nfs.example.com, path: /}}]}":                                   {restricted, "restricted volume types"},
		"spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: other}}]}":                                 {},
		"spec: {volumes: [{name: v, csi: {driver: csi.example.com}}]}":                                            {},
		"spec: {volumes: [{name: v, secret: {secretName: other}}]}":                                               {},
		"spec: {hostAliases: [{ip: 192.0.2.1, hostnames: [api.example.com]}]}":                                    {},
		"spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: '65536'}]}}":                             {baseline, "forbidden sysctls"},
		"container: {ports: [{containerPort: 8080, hostPort: 8080}]}":                                             {baseline, "hostPort"},
		"container: {livenessProbe: {httpGet: {host: 169.254.169.254, port: 80}}}":                                {baseline, "probe"},
		"container: {securityContext: {privileged: true}}":                                                        {baseline, "privileged"},
		"container: {securityContext: {capabilities: {add: [SYS_ADMIN]}}}":                                        {baseline, "non-default capabilities"},
		"container: {securityContext: {seccompProfile: {type: Unconfined}}}":                                      {baseline, "seccompProfile"},
		"container: {securityContext: {appArmorProfile: {type: Unconfined}}}":                                     {baseline, "forbidden AppArmor profile"},
		"container: {securityContext: {seLinuxOptions: {type: spc_t}}}":                                           {baseline, "seLinuxOptions"},
		"container: {securityContext: {allowPrivilegeEscalation: true}}":                                          {restricted, "allowPrivilegeEscalation != false"},
		"container: {securityContext: {runAsUser: 0}}":                                                            {restricted, "runAsUser=0"},
		"metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/agent: unconfined}}":             {baseline, "forbidden AppArmor profile"},
		"metadata: {annotations: {sidecar.istio.io/inject: 'false'}}":                                             {}, // leaves the mesh, and its policies
		"metadata: {annotations: {vault.hashicorp.com/agent-inject: 'true'}}":                                     {}, // gets what Vault gives the account
		"metadata: {annotations: {iam.amazonaws.com/role: other}}":                                                {}, // is given an AWS role by kube2iam
		"metadata: {annotations: {k8s.v1.cni.cncf.io/networks: other}}":                                           {}, // has another network as well (Multus)
		"metadata: {annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: 'false'}}":                      {}, // keeps its node
		"metadata: {annotations: {karpenter.sh/do-not-disrupt: 'true'}}":                                          {}, // so does this
		"metadata: {labels: {app: other, azure.workload.identity/use: 'true', sidecar.istio.io/inject: 'false'}}": {}, // a Service may select it
	} {
		t.Run(template, func(t *testing.T) {
			g := NewWithT(t)
			out, err := asDeveloper(t, "AgentSession", template)
			g.Expect(err).NotTo(HaveOccurred(), out)
			for _, level := range []string{baseline, restricted} {
				err := podAt(t, level, template)
				switch refused.by {
				case level:
					g.Expect(err).To(MatchError(And(ContainSubstring(`violates PodSecurity "`+level), ContainSubstring(refused.as))))
				case baseline: // which the stricter level has in it, in other words at times
					g.Expect(err).To(MatchError(ContainSubstring(`violates PodSecurity "` + level)))
				default:
					g.Expect(err).NotTo(HaveOccurred(), level)
				}
			}
		})
	}
}

// The levels of Pod Security, and the namespaces that have them.
const baseline, restricted = "baseline", "restricted"

// podAt tries to make a pod of a template in a namespace with a level. But for what the
// template asks for, it keeps the strictest.
func podAt(t *testing.T, level, template string) error {
	t.Helper()
	pod := &unstructured.Unstructured{}
	NewWithT(t).Expect(yaml.Unmarshal([]byte(`
apiVersion: v1
kind: Pod
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: agent, image: agent, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
`), &pod.Object)).To(Succeed())
	fill(t, pod.Object, template)
	pod.SetNamespace(level)
	pod.SetName("agent")
	return api.Create(t.Context(), pod, client.DryRunAll)
}

// fill writes into a template what is given of one, with that of its container.
func fill(t *testing.T, template map[string]any, given string) {
	t.Helper()
	var parts struct {
		Metadata, Spec, Container map[string]any
	}
	NewWithT(t).Expect(yaml.Unmarshal([]byte(given), &parts)).To(Succeed())
	if parts.Metadata != nil {
		template["metadata"] = parts.Metadata
	}
	spec := template["spec"].(map[string]any)
	maps.Copy(spec, parts.Spec)
	maps.Copy(spec["containers"].([]any)[0].(map[string]any), parts.Container)
}

// asDeveloper tries to make an object with a template, as one of the developers.
func asDeveloper(t *testing.T, kind, template string) (out string, err error) {
	t.Helper()
	g := NewWithT(t)
	object := manifest(t, "")
	object.SetKind(kind)
	fill(t, object.Object["spec"].(map[string]any)["template"].(map[string]any), template)
	raw, err := object.MarshalJSON()
	g.Expect(err).NotTo(HaveOccurred())
	return kubectlReading(string(raw), "create", "--dry-run=server", "-f", "-", "--as=dev", "--as-group=developers")
}

// applyPolicy has the policy hold, for developers too, until the test ends.
func applyPolicy(t *testing.T) {
	t.Helper()
	policy, err := os.ReadFile("../../config/policy/pods_by_proxy.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	apply(t, string(policy))
	apply(t, developers)
	NewWithT(t).Eventually(func() string { // the API server takes a policy up in a while
		out, _ := asDeveloper(t, "AgentSession", "spec: {nodeName: node}")
		return out
	}).WithTimeout(time.Minute).Should(ContainSubstring("nodeName must not be set"))
}

// apply applies a manifest until the test ends.
func apply(t *testing.T, manifest string) {
	t.Helper()
	out, err := kubectlReading(manifest, "apply", "-f", "-")
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() {
		out, err := kubectlReading(manifest, "delete", "--ignore-not-found", "-f", "-")
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	})
}
