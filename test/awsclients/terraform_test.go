package awsclients

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

// provider does what Terraform's provider for AWS does with its resources
// aws_bedrockagentcore_agent_runtime and aws_bedrockagentcore_agent_runtime_endpoint, call by
// call, by the client that it uses. It reads what it has got as it came over the wire.
type provider struct {
	*teller
	recorder *recorder
	tokens   int
}

// Of a runtime and an endpoint the provider has these members in its schema, and takes none of
// them for computed: one that is told and not configured is a difference for ever.
var (
	configurable = []string{
		"agentRuntimeName", "agentRuntimeArtifact", "authorizerConfiguration", "description", "environmentVariables", "filesystemConfigurations",
		"networkConfiguration", "protocolConfiguration", "requestHeaderConfiguration", "roleArn",
	}
	configurableEndpoint = []string{"name", "description"}
)

// token is one as the provider makes them.
func (p *provider) token() string {
	p.tokens++
	return fmt.Sprintf("terraform-20261129201100123400%08x", p.tokens)
}

// told is the last answer of an operation, as it came over the wire.
func (p *provider) told(operation string, given members) (answer members) {
	p.t.Helper()
	p.asks(operation, given)
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	p.Expect(json.Unmarshal([]byte(p.recorder.exchanges[len(p.recorder.exchanges)-1].Answer), &answer)).To(Succeed())
	return answer
}

// settles waits as the provider does: until something is READY twice in a row. Any state but the
// one that is waited through ends it.
func (p *provider) settles(operation string, id members, through string) {
	p.t.Helper()
	for in := 0; in < 2; {
		p.Eventually(func() any {
			status := p.told(operation, id)["status"]
			p.Expect(status).To(BeElementOf("READY", through))
			return status
		}).WithTimeout(patience).Should(Equal("READY"))
		in++
		if p.told(operation, id)["status"] != "READY" {
			in = 0
		}
	}
}

// goes waits until something is not there. Any state but these two ends it.
func (p *provider) goes(operation string, id members) {
	p.t.Helper()
	p.Eventually(func() string {
		out := p.do(invocation{Op: "control", Operation: operation, Members: id})
		if out.Error == "" {
			p.Expect(out.Answer).To(Or(ContainSubstring(`"DELETING"`), ContainSubstring(`"READY"`)))
		}
		return out.Error
	}).WithTimeout(patience).Should(Equal("ResourceNotFoundException"))
}

// plans is a second plan, which finds no difference between what is there and a configuration.
func (p *provider) plans(operation string, id members, schema []string, configured members, arn string) (seen members) {
	p.t.Helper()
	seen = p.told(operation, id)
	for _, name := range schema {
		want, has := configured[name]
		if !has {
			p.Expect(seen).NotTo(HaveKey(name), "it was not configured")
			continue
		}
		raw, err := json.Marshal(want)
		p.Expect(err).NotTo(HaveOccurred())
		got, err := json.Marshal(seen[name])
		p.Expect(err).NotTo(HaveOccurred())
		p.Expect(got).To(MatchJSON(raw), name)
	}
	tags, has := configured["tags"]
	if !has {
		tags = members{}
	}
	p.Expect(p.told("ListTagsForResource", members{"resourceArn": arn})["tags"]).To(BeEquivalentTo(tags))
	return seen
}

// with is a copy of members with others in it.
func with(some, others members) members {
	all := maps.Clone(some)
	maps.Copy(all, others)
	return all
}

func TestTerraform(t *testing.T) {
	t.Parallel()
	here := newMaker(t, allowedImage)
	p := &provider{teller: &teller{&subject{NewWithT(t), t, here.place, goClient{here.door}, "Go", ""}, here.namespace}, recorder: here.recorder}
	plain := members{
		"agentRuntimeName": "from_terraform", "roleArn": "arn:aws:iam::123456789012:role/agent", "networkConfiguration": members{"networkMode": "PUBLIC"},
		"agentRuntimeArtifact": members{"containerConfiguration": members{"containerUri": allowedImage + "1"}},
	}
	full := with(plain, members{
		"agentRuntimeArtifact": members{"containerConfiguration": members{"containerUri": allowedImage + "2"}}, "description": "All of it.",
		"environmentVariables": members{"A": "1", "B": ""}, "protocolConfiguration": members{"serverProtocol": "HTTP"},
		"networkConfiguration":   members{"networkMode": "VPC", "networkModeConfig": members{"securityGroups": []any{"sg-12345678"}, "subnets": []any{"subnet-12345678", "subnet-87654321"}}},
		"lifecycleConfiguration": members{"idleRuntimeSessionTimeout": 600, "maxLifetime": 7200}, "tags": members{"team": "a", "stage": "p"},
	})
	for name, steps := range map[string][]members{
		"grows and shrinks": {plain, full, plain},
		"is whole at first": {full, with(full, members{"description": "Another.", "environmentVariables": members{"A": "2"}})},
		"tags alone":        {full, with(full, members{"tags": members{"team": "b", "more": "x"}}), with(plain, members{"agentRuntimeArtifact": full["agentRuntimeArtifact"], "tags": members{}})},
	} {
		t.Run(name, func(t *testing.T) {
			q := *p
			q.teller = &teller{&subject{NewWithT(t), t, here.place, p.client, "Go", ""}, here.namespace}
			q.applies(steps)
			q.recorder.judged(t)
		})
	}
}

// applies makes a runtime of the first configuration and an endpoint of it, brings the runtime to
// each of the others, and destroys both.
func (p *provider) applies(steps []members) {
	made := p.told("CreateAgentRuntime", with(steps[0], members{"clientToken": p.token()}))
	id, arn := members{"agentRuntimeId": made["agentRuntimeId"]}, made["agentRuntimeArn"].(string)
	p.settles("GetAgentRuntime", id, "CREATING")
	first := p.plans("GetAgentRuntime", id, configurable, steps[0], arn)
	p.Expect(first).To(And(HaveKey("lifecycleConfiguration"), HaveKey("workloadIdentityDetails")), "which are computed")

	endpoint := members{"name": "prod", "description": "Of Terraform.", "tags": members{"x": "y"}}
	pinned := p.told("CreateAgentRuntimeEndpoint", with(with(endpoint, id), members{"clientToken": p.token()}))
	named, endpointARN := with(id, members{"endpointName": "prod"}), pinned["agentRuntimeEndpointArn"].(string)
	p.Expect(endpointARN).To(Equal(arn + "/runtime-endpoint/prod"))
	p.settles("GetAgentRuntimeEndpoint", named, "CREATING")
	p.Expect(p.plans("GetAgentRuntimeEndpoint", named, configurableEndpoint, endpoint, endpointARN)["liveVersion"]).To(Equal(pinned["targetVersion"]))

	for i, next := range steps[1:] {
		before := steps[i]
		if p.differ(before, next) {
			update := with(next, id)
			delete(update, "agentRuntimeName")
			delete(update, "tags")
			version := p.told("UpdateAgentRuntime", with(update, members{"clientToken": p.token()}))["agentRuntimeVersion"]
			p.settles("GetAgentRuntime", id, "UPDATING")
			p.Expect(p.told("GetAgentRuntime", id)["agentRuntimeVersion"]).To(Equal(version), "what the update has said")
		}
		p.retags(arn, before, next)
		p.Expect(p.plans("GetAgentRuntime", id, configurable, next, arn)["agentRuntimeArn"]).To(Equal(arn))
		p.plans("GetAgentRuntimeEndpoint", named, configurableEndpoint, endpoint, endpointARN)
	}
	moved := with(named, members{"description": "Moved.", "agentRuntimeVersion": p.told("GetAgentRuntime", id)["agentRuntimeVersion"]})
	p.told("UpdateAgentRuntimeEndpoint", with(moved, members{"clientToken": p.token()}))
	p.settles("GetAgentRuntimeEndpoint", named, "UPDATING")
	p.Expect(p.plans("GetAgentRuntimeEndpoint", named, configurableEndpoint, with(endpoint, members{"description": "Moved."}), endpointARN)["liveVersion"]).
		To(Equal(moved["agentRuntimeVersion"]))

	p.asks("DeleteAgentRuntimeEndpoint", with(named, members{"clientToken": p.token()}))
	p.goes("GetAgentRuntimeEndpoint", named)
	p.asks("DeleteAgentRuntime", id)
	p.goes("GetAgentRuntime", id)
}

// differ tells whether more than tags does.
func (p *provider) differ(before, next members) bool {
	without := func(m members) string {
		m = maps.Clone(m)
		delete(m, "tags")
		raw, err := json.Marshal(m)
		p.Expect(err).NotTo(HaveOccurred())
		return string(raw)
	}
	return without(before) != without(next)
}

// retags takes away the tags that go, and puts those that come or change.
func (p *provider) retags(arn string, before, next members) {
	old, _ := before["tags"].(members)
	tags, _ := next["tags"].(members)
	gone := slices.DeleteFunc(slices.Sorted(maps.Keys(old)), func(key string) bool { _, stays := tags[key]; return stays })
	if len(gone) > 0 {
		p.asks("UntagResource", members{"resourceArn": arn, "tagKeys": gone})
	}
	changed := maps.Clone(tags)
	maps.DeleteFunc(changed, func(key string, value any) bool { return old[key] == value })
	if len(changed) > 0 {
		p.asks("TagResource", members{"resourceArn": arn, "tags": changed})
	}
}
