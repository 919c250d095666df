package controllers

import (
	"maps"
	"path"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// How long a pod has to end whose template does not say. A preStop hook was written
// for Kubernetes' own default, and may last longer than AgentCore's.
const (
	graceSeconds     = 15 // AgentCore's
	hookGraceSeconds = 30 // Kubernetes'
)

// maxGraceSeconds is the longest that a template may say. The schema holds it, but not for
// what was stored before it did.
const maxGraceSeconds = 3600

// podName is the name of the pod of an activation. Two sessions never share
// one: what follows the last dash is the number.
func podName(session *v1alpha1.AgentSession, activation int32) string {
	return session.Name + "-" + strconv.Itoa(int(activation))
}

// spareName is its name where an earlier session's pod has that one, and is still
// ending. No session's name and number are that.
func spareName(session *v1alpha1.AgentSession, activation int32) string {
	return podName(session, activation) + "-x" + string(session.UID)[:min(len(session.UID), 5)]
}

// buildPod makes the pod of an activation from the session's template, with
// what the contract needs and nothing else. With the token the operator asks the
// agent what the pings do not tell.
func buildPod(session *v1alpha1.AgentSession, activation int32, started *v1alpha1.ActivationRuntime, token string) *corev1.Pod {
	template := session.Spec.Template.DeepCopy()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        podName(session, activation),
			Namespace:   session.Namespace,
			Labels:      template.Labels,
			Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("AgentSession")),
			},
		},
		Spec: template.Spec,
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	maps.Copy(pod.Labels, map[string]string{
		v1alpha1.LabelSession:    session.Name,
		v1alpha1.LabelActivation: strconv.Itoa(int(activation)),
	})
	delete(pod.Labels, v1alpha1.LabelRuntime)
	delete(pod.Labels, v1alpha1.LabelVersion)
	if started != nil {
		pod.Labels[v1alpha1.LabelRuntime] = session.Spec.RuntimeRef.Name
		pod.Labels[v1alpha1.LabelVersion] = lifecycle.VersionLabel(started)
	}
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		pod.Spec.TerminationGracePeriodSeconds = new(defaultGrace(&pod.Spec))
	}
	*pod.Spec.TerminationGracePeriodSeconds = min(*pod.Spec.TerminationGracePeriodSeconds, maxGraceSeconds)
	if pod.Spec.AutomountServiceAccountToken == nil {
		pod.Spec.AutomountServiceAccountToken = new(false)
	}
	for i := range pod.Spec.InitContainers {
		keepLastWords(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		keepLastWords(c)
		c.Env = slices.DeleteFunc(c.Env, named(contract.EnvToken)) // it tells the agent from the others
	}
	agent := &pod.Spec.Containers[0]
	if storage := lifecycle.StorageOf(&session.Spec); storage != nil {
		mount(&pod.Spec, agent, session, storage)
	}
	agent.Env = environment(agent, session, activation, token, *pod.Spec.TerminationGracePeriodSeconds)
	return pod
}

// avoid has a pod prefer other nodes than some. It may run there all the same, where
// there is no other.
func avoid(pod *corev1.Pod, nodes []string) {
	if len(nodes) == 0 {
		return
	}
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	if pod.Spec.Affinity.NodeAffinity == nil {
		pod.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	var elsewhere []corev1.NodeSelectorRequirement
	for _, node := range nodes { // the API takes one value for each
		elsewhere = append(elsewhere, corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}})
	}
	affinity := pod.Spec.Affinity.NodeAffinity
	affinity.PreferredDuringSchedulingIgnoredDuringExecution = append(affinity.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.PreferredSchedulingTerm{Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: elsewhere}})
}

// defaultGrace is how long a pod has to end whose template does not say.
func defaultGrace(spec *corev1.PodSpec) int64 {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			if hooks := containers[i].Lifecycle; hooks != nil && hooks.PreStop != nil {
				return hookGraceSeconds
			}
		}
	}
	return graceSeconds
}

// keepLastWords has the end of a container's log stand in its pod's status when it
// fails: the pod goes, and its log with it.
func keepLastWords(c *corev1.Container) {
	if c.TerminationMessagePolicy == "" {
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}
}

// environment adds the session to the agent's variables. Ours win over a
// template's of the same name, except DOCKER_CONTAINER: without it the Python
// SDK listens on loopback in a container that is not Docker's, where no ping
// reaches it. What a preStop hook leaves of the grace nobody knows.
func environment(agent *corev1.Container, session *v1alpha1.AgentSession, activation int32, token string, grace int64) []corev1.EnvVar {
	given := agent.Env
	limits := lifecycle.LimitsOf(session.Spec.LifecycleConfiguration)
	ours := []corev1.EnvVar{
		{Name: contract.EnvToken, Value: token},
		{Name: contract.EnvRuntimeSessionID, Value: runtimeSessionID(session)},
		{Name: contract.EnvActivation, Value: strconv.Itoa(int(activation))},
		{Name: contract.EnvIdleTimeout, Value: strconv.Itoa(int(limits.Idle.Seconds()))},
		{Name: contract.EnvMaxLifetime, Value: strconv.Itoa(int(limits.Max.Seconds()))},
	}
	if agent.Lifecycle == nil || agent.Lifecycle.PreStop == nil {
		ours = append(ours, corev1.EnvVar{Name: contract.EnvGracePeriod, Value: strconv.FormatInt(grace, 10)})
	}
	if storage := lifecycle.StorageOf(&session.Spec); storage != nil {
		ours = append(ours, corev1.EnvVar{Name: contract.EnvStorage, Value: path.Clean(storage.MountPath)})
	}
	for _, v := range ours {
		given = slices.DeleteFunc(given, named(v.Name))
	}
	if !slices.ContainsFunc(given, named("DOCKER_CONTAINER")) {
		ours = append(ours, corev1.EnvVar{Name: "DOCKER_CONTAINER", Value: "true"})
	}
	return append(ours, given...) // first, so that a template can use $(AGENTSESSION_...)
}

func named(name string) func(corev1.EnvVar) bool {
	return func(v corev1.EnvVar) bool { return v.Name == name }
}

// runtimeSessionID is the session's name by AgentCore's rules: the object's
// UID has 36 characters, as the ids that AWS's clients make up.
func runtimeSessionID(session *v1alpha1.AgentSession) string {
	if session.Spec.RuntimeSessionID != "" {
		return session.Spec.RuntimeSessionID
	}
	return string(session.UID)
}
