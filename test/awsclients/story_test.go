package awsclients

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/test/echo"
)

// operations are those of the control plane that are served.
var operations = []string{
	"CreateAgentRuntime", "CreateAgentRuntimeEndpoint", "DeleteAgentRuntime", "DeleteAgentRuntimeEndpoint", "GetAgentRuntime", "GetAgentRuntimeEndpoint",
	"ListAgentRuntimeEndpoints", "ListAgentRuntimeVersions", "ListAgentRuntimes", "ListTagsForResource", "TagResource", "UntagResource",
	"UpdateAgentRuntime", "UpdateAgentRuntimeEndpoint",
}

// members are those of an operation, by their names in the model.
type members = map[string]any

// plainRuntime is what the control plane tells of a runtime, an endpoint, or a list of them.
type plainRuntime struct {
	AgentRuntimeArn, AgentRuntimeID, AgentRuntimeVersion, AgentRuntimeName, AgentRuntimeEndpointArn string
	Status, Name, EndpointName, LiveVersion, TargetVersion, Description, RoleArn                    string

	EnvironmentVariables, Tags map[string]string
	AgentRuntimes              []plainRuntime
	RuntimeEndpoints           []plainRuntime
}

// teller has a client do things to runtimes, in a namespace.
type teller struct {
	*subject
	namespace string
}

// asks has the client do an operation, which must be done.
func (s *teller) asks(operation string, given members) (answer plainRuntime) {
	s.t.Helper()
	out := s.do(invocation{Op: "control", Operation: operation, Members: given})
	s.Expect(out.Error).To(BeEmpty(), "%s: %s", operation, out.Message)
	s.Expect(json.Unmarshal(out.Answer, &answer)).To(Succeed(), "%s", out.Answer)
	return answer
}

func (s *teller) refused(kind, operation string, given members) {
	s.t.Helper()
	s.failing(invocation{Op: "control", Operation: operation, Members: given}, kind)
}

// ready waits until a runtime, or an endpoint of it, is.
func (s *teller) ready(operation string, given members) (answer plainRuntime) {
	s.t.Helper()
	s.Eventually(func() string {
		answer = s.asks(operation, given)
		return answer.Status
	}).WithTimeout(patience).Should(Equal("READY"))
	return answer
}

// calls calls a session until its agent answers: the gateway's cache may be behind.
func (s *teller) calls(in invocation) (told echo.Told) {
	s.t.Helper()
	in.Op, in.Payload = "invoke", "{}"
	var out outcome
	s.Eventually(func() string {
		out = s.do(in)
		return out.Error
	}).WithTimeout(patience).Should(BeEmpty())
	s.Expect(json.Unmarshal([]byte(out.Body), &told)).To(Succeed())
	return told
}

// agentIn is the container in which the agent runs that has answered.
func (s *teller) agentIn(told echo.Told) corev1.Container {
	s.t.Helper()
	var pod corev1.Pod
	s.Expect(s.place.api.Get(s.t.Context(), kube.ObjectKey{Namespace: s.namespace, Name: told.Pod}, &pod)).To(Succeed())
	return pod.Spec.Containers[0]
}

// TestRuntimeStory has AWS's clients make a runtime, whose agent answers; change it, which the
// sessions that are there do not feel; pin the old version; and delete it.
func TestRuntimeStory(t *testing.T) {
	t.Parallel()
	for _, name := range withoutJava {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here := newMaker(t, allowedImage)
			all, _ := clients(t, here.place, name)
			tell(&teller{&subject{NewWithT(t), t, here.place, all[name], name, ""}, here.namespace})
			seen := here.recorder.judged(t)
			NewWithT(t).Expect(slices.Sorted(maps.Keys(seen))).To(Equal(operations), "all were asked for")
		})
	}
}

func tell(s *teller) {
	image := func(tag string) members {
		return members{"containerConfiguration": members{"containerUri": allowedImage + tag}}
	}
	asked := members{
		"agentRuntimeName": "by_" + s.name, "agentRuntimeArtifact": image("1"), "roleArn": "arn:aws:iam::123456789012:role/agent", "description": "It echoes.",
		"protocolConfiguration": members{"serverProtocol": "HTTP", "port": s.place.port}, "environmentVariables": members{"STAGE": "one"}, "tags": members{"team": "a"},
	}
	made := s.asks("CreateAgentRuntime", asked)
	s.Expect(made.AgentRuntimeVersion).To(Equal("1"))
	its := func(others members) members {
		all := members{"agentRuntimeId": made.AgentRuntimeID}
		maps.Copy(all, others)
		return all
	}
	seen := s.ready("GetAgentRuntime", its(nil))
	s.Expect([]any{seen.AgentRuntimeName, seen.Description, seen.RoleArn, seen.EnvironmentVariables}).To(
		Equal([]any{asked["agentRuntimeName"], asked["description"], asked["roleArn"], map[string]string{"STAGE": "one"}}))
	s.Expect(s.asks("ListAgentRuntimes", members{}).AgentRuntimes).To(ContainElement(HaveField("AgentRuntimeArn", made.AgentRuntimeArn)))
	s.refused("ConflictException", "CreateAgentRuntime", asked)

	old := invocation{Runtime: made.AgentRuntimeArn, Session: newID()}
	first := s.calls(old)
	s.Expect(s.agentIn(first).Image).To(Equal(allowedImage + "1"))
	s.Expect(s.agentIn(first).Env).To(ContainElement(corev1.EnvVar{Name: "STAGE", Value: "one"}))

	// An update is version 2, which only new sessions get.
	s.asks("UpdateAgentRuntime", its(members{"agentRuntimeArtifact": image("2"), "roleArn": asked["roleArn"], "protocolConfiguration": asked["protocolConfiguration"]}))
	seen = s.ready("GetAgentRuntime", its(nil))
	s.Expect([]any{seen.AgentRuntimeVersion, seen.Description, seen.EnvironmentVariables}).To(Equal([]any{"2", "", map[string]string(nil)}))
	s.Expect(s.asks("GetAgentRuntime", its(members{"agentRuntimeVersion": "1"})).Description).To(Equal("It echoes."))
	s.Expect(s.asks("ListAgentRuntimeVersions", its(nil)).AgentRuntimes).To(HaveExactElements(HaveField("AgentRuntimeVersion", "2"), HaveField("AgentRuntimeVersion", "1")))
	again := s.calls(old)
	s.Expect([]any{again.Pod, again.Calls}).To(Equal([]any{first.Pod, first.Calls + 1}), "the session has its compute and its memory")
	s.Expect(s.agentIn(s.calls(invocation{Runtime: made.AgentRuntimeArn, Session: newID()})).Image).To(Equal(allowedImage + "2"))

	// An endpoint pins version 1.
	pin := members{"name": "prod", "agentRuntimeVersion": "1", "description": "stays", "tags": members{"stage": "p"}}
	s.Expect(s.asks("CreateAgentRuntimeEndpoint", its(pin)).TargetVersion).To(Equal("1"))
	s.refused("ConflictException", "CreateAgentRuntimeEndpoint", its(pin))
	named := its(members{"endpointName": "prod"})
	endpoint := s.ready("GetAgentRuntimeEndpoint", named)
	s.Expect([]any{endpoint.LiveVersion, endpoint.Description}).To(Equal([]any{"1", "stays"}))
	pinned := invocation{Runtime: made.AgentRuntimeArn, Session: newID(), Qualifier: "prod"}
	s.Expect(s.agentIn(s.calls(pinned)).Image).To(Equal(allowedImage + "1"))
	s.asks("UpdateAgentRuntimeEndpoint", its(members{"endpointName": "prod", "agentRuntimeVersion": "2"}))
	s.Expect(s.ready("GetAgentRuntimeEndpoint", named).LiveVersion).To(Equal("2"))
	s.Expect(s.agentIn(s.calls(pinned)).Image).To(Equal(allowedImage+"1"), "it has its compute")
	s.Expect(s.asks("ListAgentRuntimeEndpoints", its(nil)).RuntimeEndpoints).To(HaveExactElements(HaveField("Name", "DEFAULT"), HaveField("Name", "prod")))

	for arn, tags := range map[string]map[string]string{made.AgentRuntimeArn: {"team": "a"}, endpoint.AgentRuntimeEndpointArn: {"stage": "p"}} {
		s.asks("TagResource", members{"resourceArn": arn, "tags": members{"more": "x"}})
		s.asks("UntagResource", members{"resourceArn": arn, "tagKeys": slices.Collect(maps.Keys(tags))})
		s.Expect(s.asks("ListTagsForResource", members{"resourceArn": arn}).Tags).To(Equal(map[string]string{"more": "x"}))
	}

	s.asks("DeleteAgentRuntimeEndpoint", named)
	s.refused("ResourceNotFoundException", "GetAgentRuntimeEndpoint", named)
	s.asks("DeleteAgentRuntime", its(nil))
	s.Eventually(func() string {
		return s.do(invocation{Op: "control", Operation: "GetAgentRuntime", Members: its(nil)}).Error
	}).
		WithTimeout(patience).Should(Equal("ResourceNotFoundException"))
	s.Eventually(func() string {
		return s.do(invocation{Op: "invoke", Runtime: made.AgentRuntimeArn, Session: old.Session}).Error
	}).
		WithTimeout(patience).Should(Equal("ResourceNotFoundException"))
	s.Eventually(func() error { // its sessions go with it
		return s.place.api.Get(context.Background(), kube.ObjectKey{Namespace: s.namespace, Name: first.Pod}, &corev1.Pod{})
	}).WithTimeout(patience).Should(MatchError(ContainSubstring("not found")))
}
