package awsclients

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// control calls an operation of the control plane, whose members have their names in JSON.
func (c goClient) control(ctx context.Context, in invocation) (outcome, error) {
	sdk := bedrockagentcorecontrol.New(bedrockagentcorecontrol.Options{
		BaseEndpoint: aws.String(c.url), Region: region, Credentials: credentials.NewStaticCredentialsProvider(c.accessKey, c.secretKey, ""),
	})
	operation, known := map[string]func(context.Context, map[string]any) (any, error){
		"CreateAgentRuntime":         operationOf(sdk.CreateAgentRuntime),
		"GetAgentRuntime":            operationOf(sdk.GetAgentRuntime),
		"ListAgentRuntimes":          operationOf(sdk.ListAgentRuntimes),
		"ListAgentRuntimeVersions":   operationOf(sdk.ListAgentRuntimeVersions),
		"UpdateAgentRuntime":         operationOf(sdk.UpdateAgentRuntime),
		"DeleteAgentRuntime":         operationOf(sdk.DeleteAgentRuntime),
		"CreateAgentRuntimeEndpoint": operationOf(sdk.CreateAgentRuntimeEndpoint),
		"GetAgentRuntimeEndpoint":    operationOf(sdk.GetAgentRuntimeEndpoint),
		"ListAgentRuntimeEndpoints":  operationOf(sdk.ListAgentRuntimeEndpoints),
		"UpdateAgentRuntimeEndpoint": operationOf(sdk.UpdateAgentRuntimeEndpoint),
		"DeleteAgentRuntimeEndpoint": operationOf(sdk.DeleteAgentRuntimeEndpoint),
		"TagResource":                operationOf(sdk.TagResource),
		"UntagResource":              operationOf(sdk.UntagResource),
		"ListTagsForResource":        operationOf(sdk.ListTagsForResource),
	}[in.Operation]
	if !known {
		return outcome{}, fmt.Errorf("no operation %q", in.Operation)
	}
	answer, err := operation(ctx, in.Members)
	if err != nil {
		return outcome{}, err
	}
	raw, err := json.Marshal(answer)
	return outcome{Answer: raw}, err
}

// operationOf has a method of the client take members by their names.
func operationOf[I, O any](call func(context.Context, *I, ...func(*bedrockagentcorecontrol.Options)) (*O, error)) func(context.Context, map[string]any) (any, error) {
	return func(ctx context.Context, members map[string]any) (any, error) {
		var given struct {
			Artifact *struct {
				Container types.ContainerConfiguration `json:"containerConfiguration"`
			} `json:"agentRuntimeArtifact"`
		}
		in := new(I)
		raw, err := json.Marshal(members)
		if err == nil {
			err = json.Unmarshal(raw, &given)
		}
		if err == nil && given.Artifact != nil { // a union, which JSON does not read
			reflect.ValueOf(in).Elem().FieldByName("AgentRuntimeArtifact").Set(reflect.ValueOf(&types.AgentRuntimeArtifactMemberContainerConfiguration{Value: given.Artifact.Container}))
			var others map[string]any
			if err = json.Unmarshal(raw, &others); err == nil {
				delete(others, "agentRuntimeArtifact")
				raw, err = json.Marshal(others)
			}
		}
		if err == nil {
			err = json.Unmarshal(raw, in)
		}
		if err != nil {
			return nil, fmt.Errorf("give the members to the client: %w", err)
		}
		return call(ctx, in)
	}
}
