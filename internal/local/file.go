package local

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// maxFile is how large a file of runtimes may be: what an API server takes in a request.
const maxFile = 3 << 20

// ReadRuntimes reads the AgentRuntimes of a file, as they are applied to a cluster. given
// tells which names of an agent's environment somebody else gives, and whether all may be.
// What is not done here is told in notes.
func ReadRuntimes(path string, given Given) (runtimes []Runtime, notes []string, err error) {
	file, err := os.Open(path) //nolint:gosec // the user's own
	if err != nil {
		return nil, nil, fmt.Errorf("read --file: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was read
	limited := &io.LimitedReader{R: file, N: maxFile + 1}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(limited))
	known := map[string]int{}
	for n := 1; ; n++ {
		text, err := documents.Read()
		switch {
		case limited.N == 0:
			return nil, nil, fmt.Errorf("--file is %s: it is larger than %d bytes", path, maxFile)
		case errors.Is(err, io.EOF) && len(runtimes) == 0:
			return nil, nil, fmt.Errorf("--file is %s: there is no AgentRuntime in it", path)
		case errors.Is(err, io.EOF):
			return runtimes, notes, nil
		case err != nil:
			return nil, nil, fmt.Errorf("read --file %s, document %d: %w", path, n, err)
		}
		from := fmt.Sprintf("%s, document %d", path, n)
		agent, said, err := readRuntime(text, given)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", from, err)
		}
		if agent == nil {
			continue
		}
		key := agent.Namespace + "/" + agent.Name
		if first, is := known[key]; is {
			return nil, nil, fmt.Errorf("%s: metadata.name is %q, which document %d has already", from, agent.Name, first)
		}
		known[key] = n
		runtimes = append(runtimes, Runtime{agent, from})
		for _, note := range said {
			notes = append(notes, from+": "+note)
		}
	}
}

// Given are the names of an agent's environment that a user gives.
type Given struct {
	Names map[string]bool
	// File tells that there is a file of them, in which may be what envFrom would bring.
	File bool
}

// document is an AgentRuntime whose fields are all looked at: those of the type itself are
// read by functions, which know no strictness.
type document struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta           `json:"metadata"`
	Spec            plainSpec                   `json:"spec"`
	Status          v1alpha1.AgentRuntimeStatus `json:"status"`
}

type plainSpec v1alpha1.AgentRuntimeSpec

// readRuntime reads a document; nil if there is nothing in it.
func readRuntime(text []byte, given Given) (*v1alpha1.AgentRuntime, []string, error) {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, nil, err
	}
	if string(raw) == "null" {
		return nil, nil, nil
	}
	var kind metav1.TypeMeta
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, nil, err
	}
	if want := v1alpha1.GroupVersion.String(); kind.APIVersion != want || kind.Kind != "AgentRuntime" {
		return nil, nil, fmt.Errorf("apiVersion and kind are %q and %q: they must be %q and %q, since nothing else is run here", kind.APIVersion, kind.Kind, want, "AgentRuntime")
	}
	var agent v1alpha1.AgentRuntime
	if err := json.Unmarshal(raw, &agent); err != nil {
		return nil, nil, err
	}
	if agent.Unreadable != "" {
		return nil, nil, errors.New(agent.Unreadable)
	}
	wrong, err := strictjson.UnmarshalStrict(raw, &document{})
	if err = errors.Join(append(wrong, err)...); err != nil {
		return nil, nil, err
	}
	if agent.Name == "" {
		return nil, nil, errors.New("metadata.name is missing")
	}
	agent.Namespace = cmp.Or(agent.Namespace, kubeapi.Namespace)
	agent.Status, agent.ResourceVersion, agent.UID = v1alpha1.AgentRuntimeStatus{}, "", "" // of a cluster that it was read from
	notes, err := runnable(&agent.Spec.Template.Spec, given)
	if len(agent.Spec.AllowedPorts) > 0 {
		agent.Spec.AllowedPorts = nil // they are the machine's, which all sessions share
		notes = append(notes, "spec.allowedPorts: sessions have no ports of their own here")
	}
	return &agent, notes, err
}

const containers = "spec.template.spec.containers"

// runnable is an error if a pod's agent can be neither a program of this machine nor what an
// image runs. What else of the pod is not done here is told.
func runnable(pod *corev1.PodSpec, given Given) (notes []string, err error) {
	if len(pod.Containers) == 0 {
		return nil, errors.New(containers + " is missing: its first is the agent")
	}
	agent := &pod.Containers[0]
	if len(agent.Command) == 0 && agent.Image == "" {
		return nil, errors.New(containers + "[0] has neither a command, which is a program of this machine, nor an image, which Docker or Podman runs")
	}
	if notes, err = fillEnv(agent, given); err != nil {
		return nil, err
	}
	for note, is := range map[string]bool{
		containers + ": only the first is run here":                                       len(pod.Containers) > 1,
		containers + "[0].lifecycle: hooks are not run here":                              agent.Lifecycle != nil,
		containers + "[0].volumeMounts: nothing is mounted for a program of this machine": len(agent.Command) > 0 && len(agent.VolumeMounts) > 0,
		"spec.template.spec.volumes: only hostPath and emptyDir are mounted here":         len(agent.Command) == 0 && slices.ContainsFunc(pod.Volumes, isElsewhere),
		"spec.template.spec.initContainers are not run here":                              len(pod.InitContainers) > 0,
	} {
		if is {
			notes = append(notes, note)
		}
	}
	slices.Sort(notes)
	return notes, nil
}

// isElsewhere tells whether what a volume holds is not on this machine.
func isElsewhere(v corev1.Volume) bool { return v.HostPath == nil && v.EmptyDir == nil }

// fillEnv takes away what comes from elsewhere in an agent's environment. It is an error if
// nobody gives that.
func fillEnv(agent *corev1.Container, given Given) (notes []string, err error) {
	var env []corev1.EnvVar
	for i, v := range agent.Env {
		switch {
		case v.ValueFrom == nil:
			env = append(env, v)
		case given.Names[v.Name]:
		case isOptional(v.ValueFrom):
			notes = append(notes, fmt.Sprintf("%s[0].env[%d].valueFrom is optional, and nothing here: %s is not set", containers, i, v.Name))
		default:
			return nil, fmt.Errorf("%s[0].env[%d].valueFrom: there is nothing here that it could come from. Give it by --env %s=VALUE or --env-file", containers, i, v.Name)
		}
	}
	if len(agent.EnvFrom) > 0 && !given.File {
		return nil, fmt.Errorf("%s[0].envFrom: there are no Secrets and ConfigMaps here. Give what they hold by --env-file", containers)
	}
	agent.Env, agent.EnvFrom = env, nil
	return notes, nil
}

func isOptional(from *corev1.EnvVarSource) bool {
	return from.SecretKeyRef != nil && from.SecretKeyRef.Optional != nil && *from.SecretKeyRef.Optional ||
		from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Optional != nil && *from.ConfigMapKeyRef.Optional
}
