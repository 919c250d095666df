package v1alpha1_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

var (
	api        client.Client
	kubeconfig string
)

// TestMain runs the tests against a real API server.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		environment := &envtest.Environment{}
		config, err := environment.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start an API server (KUBEBUILDER_ASSETS must be set: run make test):", err)
			return 1
		}
		defer environment.Stop()
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			panic(err)
		}
		if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
			panic(err)
		}
		admin, err := environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
		if err != nil {
			panic(err)
		}
		raw, err := admin.KubeConfig()
		if err != nil {
			panic(err)
		}
		dir, err := os.MkdirTemp("", "agentsession-api-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		kubeconfig = filepath.Join(dir, "kubeconfig")
		if err := os.WriteFile(kubeconfig, raw, 0o600); err != nil {
			panic(err)
		}
		// As a user does it: a plain, client-side apply, which keeps the whole
		// CRD in an annotation. Twice: the second goes by that annotation.
		for range 2 {
			if out, err := kubectl("apply", "-f", "../../config/crd/bases"); err != nil {
				fmt.Fprintln(os.Stderr, "kubectl apply of the CRD:", err, out)
				return 1
			}
		}
		if out, err := kubectl("wait", "--for=condition=Established", "crd/agentsessions.runtime.agentsession.dev"); err != nil {
			fmt.Fprintln(os.Stderr, out)
			return 1
		}
		return m.Run()
	}())
}

// kubectl runs the kubectl of KUBEBUILDER_ASSETS.
func kubectl(args ...string) (string, error) {
	command := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+filepath.Dir(kubeconfig))
	out, err := command.CombinedOutput()
	return string(out), err
}

const minimal = `
apiVersion: runtime.agentsession.dev/v1alpha1
kind: AgentSession
metadata: {generateName: test-, namespace: default}
spec:
  template: {spec: {containers: [{name: agent, image: agent}]}}
`

// manifest is the smallest session with the given part of a spec merged into it.
func manifest(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	NewWithT(t).Expect(yaml.Unmarshal([]byte(minimal), &object.Object)).To(Succeed())
	change(t, object, spec)
	return object
}

func change(t *testing.T, object *unstructured.Unstructured, spec string) {
	t.Helper()
	var changes map[string]any
	NewWithT(t).Expect(yaml.Unmarshal([]byte(spec), &changes)).To(Succeed())
	for name, value := range changes {
		if value == "REMOVE" {
			delete(object.Object["spec"].(map[string]any), name)
			continue
		}
		object.Object["spec"].(map[string]any)[name] = value
	}
}

func TestBadInputIsRefusedWithASentence(t *testing.T) {
	id := strings.Repeat("i", 33)
	for name, row := range map[string]struct {
		spec string
		says []string // the field, and the rule
	}{
		"idle too short":                {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 59}`, []string{"spec.lifecycleConfiguration.idleRuntimeSessionTimeout", "59", "greater than or equal to 60"}},
		"idle too long":                 {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 28801}`, []string{"spec.lifecycleConfiguration.idleRuntimeSessionTimeout", "28801", "less than or equal to 28800"}},
		"max too short":                 {`lifecycleConfiguration: {maxLifetime: 59}`, []string{"spec.lifecycleConfiguration.maxLifetime", "59", "greater than or equal to 60"}},
		"max too long":                  {`lifecycleConfiguration: {maxLifetime: 28801}`, []string{"spec.lifecycleConfiguration.maxLifetime", "28801", "less than or equal to 28800"}},
		"idle > max":                    {`lifecycleConfiguration: {idleRuntimeSessionTimeout: 601, maxLifetime: 600}`, []string{"spec.lifecycleConfiguration", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime"}},
		"threshold too small":           {`ping: {failureThreshold: 3}`, []string{"spec.ping.failureThreshold", "3", "greater than or equal to 4"}},
		"threshold too large":           {`ping: {failureThreshold: 1801}`, []string{"spec.ping.failureThreshold", "less than or equal to 1800"}},
		"port 0":                        {`ping: {port: 0}`, []string{"spec.ping.port", "greater than or equal to 1"}},
		"port too large":                {`ping: {port: 65536}`, []string{"spec.ping.port", "less than or equal to 65535"}},
		"unknown clock":                 {`ping: {idleClock: Sundial}`, []string{"spec.ping.idleClock", "Sundial", `"AgentCore", "AgentCoreStrict", "Observed"`}},
		"stuck too early":               {`stuckDetection: {afterSeconds: 59}`, []string{"spec.stuckDetection.afterSeconds", "greater than or equal to 60"}},
		"stuck too late":                {`stuckDetection: {afterSeconds: 28801}`, []string{"spec.stuckDetection.afterSeconds", "less than or equal to 28800"}},
		"stuck without a time":          {`stuckDetection: {action: Stop}`, []string{"spec.stuckDetection.afterSeconds", "Required"}},
		"unknown action":                {`stuckDetection: {afterSeconds: 60, action: Kill}`, []string{"spec.stuckDetection.action", "Kill", `"Report", "Stop"`}},
		"unknown wish":                  {`desiredState: Paused`, []string{"spec.desiredState", "Paused", `"Running", "Stopped"`}},
		"activation 0":                  {`activation: 0`, []string{"spec.activation", "greater than or equal to 1"}},
		"ttl below 0":                   {`ttlSecondsAfterStopped: -1`, []string{"spec.ttlSecondsAfterStopped", "greater than or equal to 0"}},
		"ttl over a year":               {`ttlSecondsAfterStopped: 31536001`, []string{"spec.ttlSecondsAfterStopped", "less than or equal to 31536000"}},
		"id too short":                  {`runtimeSessionId: ` + id[:32], []string{"spec.runtimeSessionId", "33"}},
		"id too long":                   {`runtimeSessionId: ` + strings.Repeat("i", 257), []string{"spec.runtimeSessionId", "256"}},
		"no template":                   {`template: REMOVE`, []string{"spec.template", "Required"}},
		"a template without spec":       {`template: {metadata: {labels: {a: b}}}`, []string{"spec.template", "must name at least one container"}},
		"a template without containers": {`template: {spec: {containers: []}}`, []string{"spec.template", "must name at least one container"}},
		"host network":                  {`template: {spec: {hostNetwork: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostNetwork must not be true"}},
		"host PIDs":                     {`template: {spec: {hostPID: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostPID must not be true"}},
		"host IPC":                      {`template: {spec: {hostIPC: true, containers: [{name: a, image: a}]}}`, []string{"template.spec.hostIPC must not be true"}},
		"restarts":                      {`template: {spec: {restartPolicy: Always, containers: [{name: a, image: a}]}}`, []string{"template.spec.restartPolicy must be Never or absent"}},
		"a misspelt field":              {`idleTimeout: 60`, []string{`unknown field "spec.idleTimeout"`}},
		"a misspelt pod field":          {`template: {spec: {container: []}}`, []string{`unknown field "spec.template.spec.container"`}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := api.Create(t.Context(), manifest(t, row.spec), client.FieldValidation(metav1.FieldValidationStrict))
			g.Expect(err).To(HaveOccurred())
			for _, words := range row.says {
				g.Expect(err.Error()).To(ContainSubstring(words))
			}
		})
	}

	t.Run("a name that no pod can have", func(t *testing.T) {
		object := manifest(t, "{}")
		object.SetGenerateName("")
		object.SetName(strings.Repeat("n", 53))
		err := api.Create(t.Context(), object)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("metadata.name must have 52 characters at most")))
	})
}

func TestChangesThatAreRefused(t *testing.T) {
	id := strings.Repeat("i", 33)
	for name, row := range map[string]struct{ before, after, says string }{
		"another id":         {"runtimeSessionId: " + id, "runtimeSessionId: j" + id, "runtimeSessionId is immutable"},
		"an id added":        {"{}", "runtimeSessionId: " + id, "runtimeSessionId is immutable: it can be neither added nor removed"},
		"an id removed":      {"runtimeSessionId: " + id, "runtimeSessionId: REMOVE", "runtimeSessionId is immutable: it can be neither added nor removed"},
		"host network later": {"{}", "template: {spec: {hostNetwork: true, containers: [{name: agent, image: agent}]}}", "template.spec.hostNetwork must not be true"},
		"another port":       {"ping: {port: 8080}", "ping: {port: 8081}", "ping.port is immutable"},
		"a lower activation": {"activation: 3", "activation: 2", "activation can only grow"},
		"no activation":      {"activation: 3", "activation: REMOVE", "activation can only grow"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := manifest(t, row.before)
			g.Expect(api.Create(t.Context(), object)).To(Succeed())
			change(t, object, row.after)
			g.Expect(api.Update(t.Context(), object)).To(MatchError(And(ContainSubstring("spec"), ContainSubstring(row.says))))
		})
	}
}

func TestGoodInputIsTaken(t *testing.T) {
	for _, spec := range []string{
		"{}",
		"lifecycleConfiguration: null",
		"lifecycleConfiguration: {maxLifetime: 600}",
		"lifecycleConfiguration: {idleRuntimeSessionTimeout: 60, maxLifetime: 60}",
		"lifecycleConfiguration: {idleRuntimeSessionTimeout: 28800, maxLifetime: 28800}",
		"ping: {port: 1, failureThreshold: 4, idleClock: Observed}",
		"ping: {port: 65535, failureThreshold: 1800, idleClock: AgentCoreStrict}",
		"stuckDetection: {afterSeconds: 60}",
		"ttlSecondsAfterStopped: 0",
		"runtimeSessionId: " + strings.Repeat("i", 256),
		"template: {spec: {restartPolicy: Never, hostNetwork: false, containers: [{name: a, image: a}]}}",
	} {
		t.Run(spec, func(t *testing.T) {
			NewWithT(t).Expect(api.Create(t.Context(), manifest(t, spec), client.FieldValidation(metav1.FieldValidationStrict))).To(Succeed())
		})
	}
}

func TestDefaultsAndWhatMayChange(t *testing.T) {
	g := NewWithT(t)
	object := manifest(t, "template: {metadata: {labels: {team: a}, annotations: {note: b}}, spec: {containers: [{name: agent, image: agent}]}}")
	g.Expect(api.Create(t.Context(), object)).To(Succeed())
	session := &v1alpha1.AgentSession{}
	read := func() {
		g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(object), session)).To(Succeed())
	}
	read()
	g.Expect(session.Spec.Ping).To(Equal(v1alpha1.PingSpec{Port: 8080, IdleClock: v1alpha1.IdleClockAgentCore, FailureThreshold: 15}))
	g.Expect(session.Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))
	g.Expect(session.Spec.LifecycleConfiguration).To(BeNil(), "AWS's table is resolved by the operator")
	g.Expect(session.Spec.Template.Labels).To(HaveKeyWithValue("team", "a"))
	g.Expect(session.Spec.Template.Annotations).To(HaveKeyWithValue("note", "b"))

	ttl := int32(60)
	session.Spec.LifecycleConfiguration = &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60}
	session.Spec.Template.Spec.Containers[0].Image = "agent:2"
	session.Spec.Ping.IdleClock, session.Spec.Ping.FailureThreshold = v1alpha1.IdleClockObserved, 30
	session.Spec.DesiredState, session.Spec.Activation = v1alpha1.DesiredStopped, 2
	session.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 60, Action: v1alpha1.StuckStop}
	session.Spec.TTLSecondsAfterStopped = &ttl
	g.Expect(api.Update(t.Context(), session)).To(Succeed())
	session.Spec.Activation = 3
	session.Spec.LifecycleConfiguration, session.Spec.StuckDetection, session.Spec.TTLSecondsAfterStopped = nil, nil, nil
	g.Expect(api.Update(t.Context(), session)).To(Succeed())
}

func TestSessionsAreFoundByTheirID(t *testing.T) {
	g := NewWithT(t)
	id := "the-session-that-is-looked-for-by-id"
	g.Expect(api.Create(t.Context(), manifest(t, "runtimeSessionId: "+id))).To(Succeed())
	var list v1alpha1.AgentSessionList
	g.Expect(api.List(t.Context(), &list, client.MatchingFields{"spec.runtimeSessionId": id})).To(Succeed())
	g.Expect(list.Items).To(HaveLen(1))
}

func TestWhatKubectlShows(t *testing.T) {
	g := NewWithT(t)
	out, err := kubectl("explain", "agentsession.spec.lifecycleConfiguration")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(And(ContainSubstring("idleRuntimeSessionTimeout"), ContainSubstring("in seconds"), ContainSubstring("60 to 28800")))

	object := manifest(t, "{}")
	object.SetGenerateName("")
	object.SetName("shown")
	g.Expect(api.Create(t.Context(), object)).To(Succeed())
	session := &v1alpha1.AgentSession{}
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(object), session)).To(Succeed())
	due := metav1.Unix(1795423194, 0)
	session.Status = v1alpha1.AgentSessionStatus{
		State: v1alpha1.StateIdle, PingStatus: "Healthy", Activation: 2,
		NextStop:        &v1alpha1.NextStop{At: due, Reason: v1alpha1.StopIdleTimeout},
		LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopRequested, Activation: 1},
	}
	g.Expect(api.Status().Update(t.Context(), session)).To(Succeed())
	for _, kind := range []string{"ags", "agents"} {
		out, err = kubectl("get", kind, "-n", "default", "shown")
		if kind == "agents" { // a category takes no name
			out, err = kubectl("get", kind, "-n", "default")
		}
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(MatchRegexp(`NAME +STATE +PING +ACTIVATION +NEXT STOP +NEXT REASON +LAST STOP +AGE`))
		g.Expect(out).To(MatchRegexp(`shown +Idle +Healthy +2 +%s +IdleTimeout +StopRequested +\d+s`, due.UTC().Format("2006-01-02T15:04:05Z")))
	}
}

func TestManifestsOfThisRepositoryAreTaken(t *testing.T) {
	examples, err := filepath.Glob("../../examples/*.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(examples).NotTo(BeEmpty())
	for _, file := range append(examples, "../../config/samples/runtime_v1alpha1_agentsession.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g := NewWithT(t)
			raw, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			object := &unstructured.Unstructured{}
			g.Expect(yaml.Unmarshal(bytes.TrimSpace(raw), &object.Object)).To(Succeed())
			object.SetNamespace("default")
			err = api.Create(context.WithoutCancel(t.Context()), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
			g.Expect(apierrors.IsAlreadyExists(err) || err == nil).To(BeTrue(), "%v", err)
		})
	}
}
