package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	strictjson "sigs.k8s.io/json"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/awswire"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// members are those of CreateAgentRuntime and UpdateAgentRuntime.
type members struct {
	name        string
	artifact    artifact
	role        string
	network     *v1alpha1.NetworkConfiguration
	token       string
	description string
	authorizer  *v1alpha1.AuthorizerConfiguration
	headers     *v1alpha1.RequestHeaderConfiguration
	protocol    *v1alpha1.ProtocolConfiguration
	lifecycle   *v1alpha1.LifecycleConfiguration
	environment map[string]string
	tags        map[string]string
	platform    string
	metadata    *metadata
	resources   []resources
	filesystems []filesystem
	ports       []v1alpha1.AllowedPort
	hooks       *v1alpha1.HooksConfiguration
	given       []string
}

// artifact is a union, of which one is served.
type artifact struct {
	Container *container      `json:"containerConfiguration,omitempty"`
	Code      json.RawMessage `json:"codeConfiguration,omitempty"`
}

type container struct {
	URI string `json:"containerUri"`
}

type metadata struct {
	RequireMMDSV2 bool `json:"requireMMDSV2"`
}

type resources struct {
	MinimumMemoryInMiB int64 `json:"minimumMemoryInMiB"`
}

// The patterns of AgentCore's model.
var (
	isName    = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)
	isVersion = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	isRole    = regexp.MustCompile(`^arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+$`)
	isToken   = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9])*$`)
	isTag     = regexp.MustCompile(`^[a-zA-Z0-9\s._:/=+@-]*$`)
	isImage   = regexp.MustCompile(`^[!-~]+$`)
	isEnvName = regexp.MustCompile(`^[ -<>-~]+$`) // as Kubernetes has it
)

// refusals are members that are not served, with why.
var refusals = map[string]string{
	"capacityProviderConfiguration": "pods run on the cluster's nodes; leave it out",
}

const (
	maxMemoryMiB = 1 << 20
	// maxWhy is how much of it, in bytes, is told why a member cannot be used: the names in it
	// are the caller's.
	maxWhy = 500
)

func broken(name, value, rule string) *awswire.Failure {
	return awswire.Invalid(name, fmt.Sprintf("Value %.100q at '%s' failed to satisfy constraint: %s", value, name, rule))
}

func missing(name string) *awswire.Failure {
	return awswire.Invalid(name, "Value at '"+name+"' failed to satisfy constraint: Member must not be null")
}

// readObject reads a body into its members, each by its name. Null is as good as nothing.
func readObject(body []byte, into map[string]any) (given []string, err error) {
	raw := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &raw); err != nil {
			return nil, awswire.Unparsable("The request's body must be a JSON object: " + err.Error())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		value := raw[name]
		if string(value) == "null" || string(value) == "[]" && refusals[name] != "" {
			continue
		}
		target, known := into[name]
		if why := refusals[name]; !known && why != "" {
			return nil, awswire.Invalid(name, "Value at '"+name+"' is not supported: "+why)
		}
		if !known {
			return nil, awswire.Invalid(name, fmt.Sprintf("%.100q is no member of this operation, or none that is supported", name))
		}
		wrong, err := strictjson.UnmarshalStrict(value, target)
		if err = errors.Join(append(wrong, err)...); err != nil {
			why := strings.ReplaceAll(err.Error(), "unknown field", "it has a member that is not supported here,")
			return nil, awswire.Invalid(name, fmt.Sprintf("Value at '%s' cannot be used: %s", name, lifecycle.Cut(why, maxWhy)))
		}
		given = append(given, name)
	}
	return given, nil
}

// texts is a map without nulls.
type texts map[string]string

// UnmarshalJSON refuses null in the place of a text.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var values map[string]*string
	if err := json.Unmarshal(raw, &values); err != nil {
		return fmt.Errorf("read a map of texts: %w", err)
	}
	*t = texts{}
	for key, value := range values {
		if value == nil {
			return fmt.Errorf("the value of %.100q is null", key)
		}
		(*t)[key] = *value
	}
	return nil
}

// membersOf reads a request. creates tells whether it is of a new runtime.
func membersOf(body []byte, creates bool) (m members, err error) {
	into := map[string]any{
		"agentRuntimeArtifact": &m.artifact, "roleArn": &m.role, "networkConfiguration": &m.network, "clientToken": &m.token,
		"description": &m.description, "authorizerConfiguration": &m.authorizer, "requestHeaderConfiguration": &m.headers,
		"protocolConfiguration": &m.protocol, "lifecycleConfiguration": &m.lifecycle, "environmentVariables": (*texts)(&m.environment),
		"platformVersion": &m.platform, "resourceConfigurations": &m.resources,
		"filesystemConfigurations": &m.filesystems, "allowedPorts": &m.ports, "hooksConfiguration": &m.hooks,
	}
	if creates {
		into["agentRuntimeName"], into["tags"] = &m.name, (*texts)(&m.tags)
	} else {
		into["metadataConfiguration"] = &m.metadata
	}
	if m.given, err = readObject(body, into); err != nil {
		return m, err
	}
	if creates && !isName.MatchString(m.name) {
		return m, broken("agentRuntimeName", m.name, "Member must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}")
	}
	for _, check := range []func(members) error{checkArtifact, checkKept, checkProtocol, checkEnvironment, checkResources, checkFilesystems} {
		if err := check(m); err != nil {
			return m, err
		}
	}
	return m, checkTags(m.tags)
}

func checkArtifact(m members) error {
	switch {
	case len(m.artifact.Code) > 0:
		return awswire.Invalid("agentRuntimeArtifact.codeConfiguration", "Value at 'agentRuntimeArtifact.codeConfiguration' is not supported: runtimes are made of images here; build one, and give it as containerConfiguration.containerUri")
	case m.artifact.Container == nil:
		return missing("agentRuntimeArtifact")
	}
	if uri := m.artifact.Container.URI; len(uri) > 1024 || !isImage.MatchString(uri) {
		return broken("agentRuntimeArtifact.containerConfiguration.containerUri", uri, "Member must have 1 to 1024 printable characters without spaces")
	}
	return nil
}

// checkKept looks at what has no effect.
func checkKept(m members) error {
	length := utf8.RuneCountInString(m.description)
	switch {
	case m.role == "":
		return missing("roleArn")
	case len(m.role) > 2048 || !isRole.MatchString(m.role):
		return broken("roleArn", m.role, "Member must satisfy regular expression pattern: arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
	case length > 4096 || length == 0 && slices.Contains(m.given, "description"):
		return awswire.Invalid("description", "Value at 'description' failed to satisfy constraint: Member must have length from 1 to 4096")
	case len(m.platform) > 128 || strings.ContainsAny(m.platform, " \t\r\n"):
		return broken("platformVersion", m.platform, "Member must have 1 to 128 characters without spaces")
	}
	return checkToken(m.token)
}

func checkProtocol(m members) error {
	if m.protocol != nil && m.protocol.ServerProtocol == "" {
		return missing("protocolConfiguration.serverProtocol")
	}
	return nil
}

func checkToken(token string) error {
	if token != "" && (len(token) < 33 || len(token) > 256 || !isToken.MatchString(token)) {
		return broken("clientToken", token, "Member must have length from 33 to 256, and satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}")
	}
	return nil
}

func checkEnvironment(m members) error {
	const name = "environmentVariables"
	if len(m.environment) > 50 {
		return awswire.Invalid(name, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to 50, and has %d", name, len(m.environment)))
	}
	for key, value := range m.environment {
		switch {
		case len(key) > 100 || !isEnvName.MatchString(key):
			return broken(name, key, "Map keys must have 1 to 100 printable ASCII characters other than =")
		case utf8.RuneCountInString(value) > 5000 || strings.Contains(value, "\x00"):
			return awswire.Invalid(name, fmt.Sprintf("Value of %q at '%s' failed to satisfy constraint: Member must have length less than or equal to 5000, without NUL", key, name))
		}
	}
	return nil
}

func checkResources(m members) error {
	const name = "resourceConfigurations"
	if len(m.resources) > 1 {
		return awswire.Invalid(name, "Value at '"+name+"' failed to satisfy constraint: Member must have length less than or equal to 1")
	}
	for _, r := range m.resources {
		if r.MinimumMemoryInMiB < 1 || r.MinimumMemoryInMiB > maxMemoryMiB {
			return awswire.Invalid(name, fmt.Sprintf("Value %d at 'minimumMemoryInMiB' failed to satisfy constraint: Member must be from 1 to %d", r.MinimumMemoryInMiB, maxMemoryMiB))
		}
	}
	return nil
}
