package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/test/forward"
)

const (
	calledSession = "the-session-that-the-demo-calls-three-times"
	calledKey     = "AKIDEMO"
	calledSecret  = "of-the-demo"
	accessKey     = "agentsession-demo" // the name of its Secret
	gatewayName   = "agentsession-gateway"
)

// caller is the demo's second act: a client of AWS's calls a runtime.
type caller struct {
	*cluster
	out    *screen
	client string // the program
	url    string // of the gateway
	agent  v1alpha1.AgentRuntime
}

// calls plays it.
func calls(ctx context.Context, out *screen, c *cluster, scale int) error {
	out.print(nil, line{{bold, "And calls, as on AgentCore"}}, line{{dim, "AWS's SDK for Go, nothing changed but endpoint and credentials."}}, nil)
	dir, err := os.MkdirTemp("", "agentsession-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the temporary directory
	over := make(chan struct{})
	defer close(over)
	call := &caller{cluster: c, out: out, client: filepath.Join(dir, "invoke")}
	for _, s := range []struct {
		says string
		do   func(context.Context) error
	}{
		{"Applying dist/install-gateway.yaml, and an access key", call.install},
		{"Applying examples/runtime.yaml", call.applyRuntime},
		{"Building the client", func(ctx context.Context) error {
			_, err := output(ctx, filepath.Join(c.top, "test", "awsclients"), "go", "build", "-o", call.client, "./invoke")
			return err
		}},
		{"Waiting for the gateway", func(ctx context.Context) error { return call.reach(ctx, over) }},
	} {
		if err := out.doing(ctx, s.says, s.do); err != nil {
			return err
		}
	}
	out.print(nil, line{{dim, pad("TOOK", 8) + pad("ANSWER", 16) + "POD"}})
	return call.play(ctx, scale)
}

func (c *caller) install(ctx context.Context) error {
	if err := c.apply(ctx, "dist/install-gateway.yaml", func(*unstructured.Unstructured) error { return nil }); err != nil {
		return err
	}
	key := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata":   map[string]any{"name": accessKey, "namespace": operator.Namespace, "labels": map[string]any{"runtime.agentsession.dev/access-key": ""}},
		"stringData": map[string]any{"accessKeyId": calledKey, "secretAccessKey": calledSecret, "namespaces": namespace},
	}}
	return c.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(key), fieldOwner, client.ForceOwnership)
}

func (c *caller) applyRuntime(ctx context.Context) error {
	err := c.apply(ctx, "examples/runtime.yaml", func(object *unstructured.Unstructured) error {
		c.agent.Name, c.agent.Namespace = object.GetName(), namespace
		object.SetNamespace(namespace)
		return unstructured.SetNestedField(object.Object, int64(60), "spec", "lifecycleConfiguration", "idleRuntimeSessionTimeout")
	})
	if err != nil {
		return err
	}
	return eventually(ctx, func() (string, error) {
		err := c.api.Get(ctx, client.ObjectKeyFromObject(&c.agent), &c.agent)
		if err == nil && c.agent.Status.AgentRuntimeArn == "" {
			return "the runtime has no ARN", nil
		}
		return "", err
	})
}

// reach waits for a gateway, and forwards a port to it.
func (c *caller) reach(ctx context.Context, over <-chan struct{}) error {
	var ready corev1.Pod
	err := eventually(ctx, func() (string, error) {
		var pods corev1.PodList
		if err := c.api.List(ctx, &pods, client.InNamespace(operator.Namespace), client.MatchingLabels{"app.kubernetes.io/component": "gateway"}); err != nil {
			return "", err
		}
		for _, ready = range pods.Items {
			for _, condition := range ready.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					return "", nil
				}
			}
		}
		return "no pod of the gateway is ready", nil
	})
	if err != nil {
		return err
	}
	port, err := forward.To(c.config, &ready, 8080, over, io.Discard)
	c.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return err
}

// play calls twice, waits until the session has idled out, and calls again.
func (c *caller) play(ctx context.Context, scale int) error {
	first, err := c.call(ctx, "made for it")
	if err != nil {
		return err
	}
	second, err := c.call(ctx, "with its memory")
	if err != nil {
		return err
	}
	if first.Invocations != 1 || second.Invocations != 2 || second.pod != first.pod {
		return c.violated("the second call should have found the memory of the first, in the same pod")
	}
	if err := c.idleOut(ctx, scale); err != nil {
		return err
	}
	third, err := c.call(ctx, "woken, memory fresh")
	if err != nil {
		return err
	}
	if third.Invocations != 1 || third.pod == first.pod {
		return c.violated("the third call should have woken the session, with a fresh memory in a new pod")
	}
	c.out.print(line{{green, "  ✓ as on AgentCore"}}, nil)
	return nil
}

// idleOut waits until the session is stopped.
func (c *caller) idleOut(ctx context.Context, scale int) error {
	var session *v1alpha1.AgentSession
	err := eventually(ctx, func() (waitingFor string, err error) {
		if session, err = c.session(ctx); err != nil {
			return "", err
		}
		if session.Status.State != v1alpha1.StateStopped {
			return "the session " + session.Name + " is " + string(session.Status.State), nil
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	reason := session.Status.LastTermination.Reason
	c.out.print(text(fmt.Sprintf("%.3g s without a call: the session is Stopped/%s", 60/float64(scale), reason)))
	if reason != v1alpha1.StopIdleTimeout {
		return c.violated("the session should have idled out")
	}
	return nil
}

func (c *caller) violated(why string) error {
	c.out.print(line{{red, "✗ " + why}}, text("  look at:   kubectl -n "+namespace+" describe ags"))
	return errViolated
}

// echoed is what the agent of examples/runtime.yaml answers.
type echoed struct {
	Invocations int `json:"invocations"`
	pod         string
}

// call runs the client once, and shows what came of it.
func (c *caller) call(ctx context.Context, does string) (answer echoed, err error) {
	began := time.Now()
	var raw string
	err = eventually(ctx, func() (string, error) { // the gateway may see the key and the runtime a moment later
		began = time.Now()
		raw, err = c.run(ctx)
		return "", err
	})
	if err != nil {
		return answer, fmt.Errorf("call the agent: %w", err)
	}
	if err := json.Unmarshal([]byte(raw), &answer); err != nil {
		return answer, fmt.Errorf("read the agent's answer %q: %w", raw, err)
	}
	session, err := c.session(ctx)
	if err != nil {
		return answer, err
	}
	if session.Status.Pod != nil {
		answer.pod = session.Status.Pod.Name
	}
	took := fmt.Sprintf("%.2f s", time.Since(began).Seconds())
	c.out.print(line{{plain, pad(took, 8) + pad(fmt.Sprintf("invocations: %d", answer.Invocations), 16) + answer.pod}, {dim, "  " + does}})
	return answer, nil
}

func (c *caller) run(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, c.client, c.agent.Status.AgentRuntimeArn, calledSession, "{}")
	command.Env = append(os.Environ(), "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE="+c.url, "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID="+calledKey, "AWS_SECRET_ACCESS_KEY="+calledSecret, "AWS_SESSION_TOKEN=", "AWS_PROFILE=")
	said := &strings.Builder{}
	command.Stderr = said
	raw, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return string(raw), nil
}

// session is the one that is called.
func (c *caller) session(ctx context.Context) (*v1alpha1.AgentSession, error) {
	var list v1alpha1.AgentSessionList
	err := c.api.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{"spec.runtimeSessionId": calledSession})
	if err != nil {
		return nil, fmt.Errorf("find the session: %w", err)
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("there are %d sessions with the id %s, and not one", len(list.Items), calledSession)
	}
	return &list.Items[0], nil
}
