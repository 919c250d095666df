package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
)

const (
	// MaxBody is how long a request's body may be, in bytes.
	MaxBody = 1 << 20
	// namingPatience is how long a runtime that was made may take to get its ARN.
	namingPatience = 10 * time.Second
	namingPoll     = 20 * time.Millisecond
)

// Options are what a control plane needs.
type Options struct {
	// Client reads from a cache and writes.
	Client client.Client
	// Live reads past the cache, whose templates may be missing.
	Live client.Reader
	// Namespaces are those that are served. Empty: all.
	Namespaces []string
	// AllowedImages are the prefixes of images that runtimes may be made of. Empty: none may
	// be made. One that is "*" allows all.
	AllowedImages []string
	// MaxMemoryMiB is the most that runtimes may ask for as minimumMemoryInMiB. 0: no bound.
	MaxMemoryMiB int64
	// Validate has each version that is made be tried before it is ready.
	Validate bool
	// CheckImage is an error if an image cannot be run. Nil: that is seen when its pods start.
	CheckImage func(ctx context.Context, image string) error
}

// Plane serves calls.
type Plane struct{ Options }

// New makes a control plane.
func New(o Options) *Plane { return &Plane{o} }

// Serve serves a call. The answer is nil if it has no body.
func (p *Plane) Serve(ctx context.Context, c *Call) (code int, answer any, err error) {
	answer, err = c.serve(p, ctx, c)
	return c.code, answer, refused(err)
}

// may is an error if the caller may not do something with a runtime. One of which he may
// not even see anything is not there for him.
func may(ctx context.Context, c *Call, agent *v1alpha1.AgentRuntime, verb string) error {
	for _, v := range []string{verb, authn.VerbGet} {
		allowed, err := c.Caller.May(ctx, agent, authn.ToControl(v))
		switch {
		case err != nil:
			return fmt.Errorf("find out whether %s may %s %s: %w", c.Caller.Name, v, agent.Name, err)
		case allowed && v == verb:
			return nil
		case allowed:
			return awswire.Denied("The caller lacks the right to " + verb + " agentruntimes/control in the namespace " + agent.Namespace)
		}
	}
	return unknown()
}

func unknown() error {
	return awswire.NotFound("There is no agent runtime with the id or ARN that was given")
}

// runtime is the one that the call is about, as it is now.
func (p *Plane) runtime(ctx context.Context, c *Call, verb string) (*v1alpha1.AgentRuntime, error) {
	err := unknown()
	for i := range c.Found {
		if err = may(ctx, c, &c.Found[i], verb); err == nil {
			return p.live(ctx, &c.Found[i])
		}
	}
	return nil, err
}

// live reads a runtime past the cache.
func (p *Plane) live(ctx context.Context, found *v1alpha1.AgentRuntime) (*v1alpha1.AgentRuntime, error) {
	agent := &v1alpha1.AgentRuntime{}
	switch err := client.IgnoreNotFound(p.Live.Get(ctx, client.ObjectKeyFromObject(found), agent)); {
	case err != nil:
		return nil, fmt.Errorf("get AgentRuntime %s: %w", found.Name, err)
	case agent.UID != found.UID:
		return nil, unknown()
	case agent.Unreadable != "":
		return nil, conflict("The AgentRuntime was stored by another version and cannot be read as a whole; change it with kubectl: " + agent.Unreadable)
	}
	return agent, nil
}

// home is the namespace of what the caller makes.
func (p *Plane) home(c *Call) (string, error) {
	namespace := c.Caller.Namespace
	if c.Namespace != "" {
		namespace = c.Namespace
	}
	switch {
	case namespace == "":
		return "", awswire.Denied("The caller's credentials name no namespace: put one first into the access key's namespaces, or send the header " + HeaderNamespace)
	case len(validation.IsDNS1123Label(namespace)) > 0:
		return "", awswire.Invalid(HeaderNamespace, fmt.Sprintf("Value %.63q at '%s' failed to satisfy constraint: Member must be the name of a namespace", namespace, HeaderNamespace))
	case len(p.Namespaces) > 0 && !slices.Contains(p.Namespaces, namespace):
		return "", awswire.Denied("The gateway does not serve the namespace " + namespace + " (--watch-namespaces)")
	}
	return namespace, nil
}

// HeaderNamespace names the namespace of what a caller makes, in the place of the one of his
// credentials. It is not AgentCore's.
const HeaderNamespace = "X-Agentsession-Namespace"

// allows is an error if no runtime may be made of what a request asks for.
func (p *Plane) allows(ctx context.Context, m members) error {
	for _, r := range m.resources {
		if p.MaxMemoryMiB > 0 && r.MinimumMemoryInMiB > p.MaxMemoryMiB {
			return awswire.Invalid("resourceConfigurations", fmt.Sprintf("Value %d at 'minimumMemoryInMiB' failed to satisfy constraint: Member must have value less than or equal to %d, which is --max-memory of the gateway", r.MinimumMemoryInMiB, p.MaxMemoryMiB))
		}
	}
	if m.hooks != nil && !p.Validate {
		return awswire.Invalid("hooksConfiguration", "Value at 'hooksConfiguration' is not supported: the hook is sent when a version is tried, and this gateway has none be tried (--validate-versions=false); leave it out")
	}
	return p.allowsImage(ctx, m.artifact.Container.URI)
}

func (p *Plane) allowsImage(ctx context.Context, image string) error {
	for _, prefix := range p.AllowedImages {
		rest, has := strings.CutPrefix(image, prefix)
		if prefix == "*" || has && prefix != "" && goesOn(prefix[len(prefix)-1:], rest) {
			return p.runs(ctx, image)
		}
	}
	return awswire.Denied(fmt.Sprintf("The image %.200q is none of those that runtimes may be made of by this API (--allowed-images of the gateway: %q)", image, strings.Join(p.AllowedImages, ",")))
}

// runs is an error if an image cannot be run.
func (p *Plane) runs(ctx context.Context, image string) error {
	if p.CheckImage == nil {
		return nil
	}
	if err := p.CheckImage(ctx, image); err != nil {
		return awswire.Invalid("agentRuntimeArtifact.containerConfiguration.containerUri", err.Error())
	}
	return nil
}

// goesOn tells whether rest belongs to the name that a prefix is, which ends with last.
func goesOn(last, rest string) bool {
	switch {
	case rest == "" || last == "/" || last == "@":
		return true
	case last == ":" || rest[0] == ':': // a tag; before a slash it is the port of another registry
		return !strings.Contains(rest, "/")
	}
	return rest[0] == '/' || rest[0] == '@'
}

// awaitARN waits until the operator has given a runtime its ARN. The cache may still have the one
// that had its name before.
func (p *Plane) awaitARN(ctx context.Context, made *v1alpha1.AgentRuntime) (*v1alpha1.AgentRuntime, error) {
	key := client.ObjectKeyFromObject(made)
	ctx, cancel := context.WithTimeout(ctx, namingPatience)
	defer cancel()
	tick := time.NewTicker(namingPoll)
	defer tick.Stop()
	for {
		agent := &v1alpha1.AgentRuntime{}
		if err := client.IgnoreNotFound(p.Client.Get(ctx, key, agent)); err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("get AgentRuntime %s: %w", key, err)
		}
		if agent.UID == made.UID && agent.Status.AgentRuntimeArn != "" {
			return agent, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, awswire.Away("The runtime was made, and the operator has not given it an ARN within " + namingPatience.String() + "; please retry with the same clientToken")
		}
	}
}

// conflict is AgentCore's answer where the state of something forbids a change.
func conflict(message string) *awswire.Failure {
	return &awswire.Failure{Code: http.StatusConflict, Type: "ConflictException", Message: message}
}

// otherMembers is the answer to a clientToken that came before with another request.
func otherMembers() *awswire.Failure {
	failure := awswire.Invalid("clientToken", "Value at 'clientToken' failed to satisfy constraint: it came before, with other members; another request needs another clientToken")
	failure.Reason = "IdempotentParameterMismatchException"
	return failure
}

// readyOf is the condition Ready, as far as it is about the spec that is there.
func readyOf(agent *v1alpha1.AgentRuntime) (ready bool, reason, message string) {
	c := meta.FindStatusCondition(agent.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.ObservedGeneration != agent.Generation {
		return true, "", ""
	}
	return c.Status != metav1.ConditionFalse, c.Reason, c.Message
}
