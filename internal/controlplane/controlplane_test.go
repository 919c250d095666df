package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/awswire"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

func TestRoute(t *testing.T) {
	const arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fa-abcdefghij"
	for asked, want := range map[string]string{
		"PUT /runtimes/":                                "CreateAgentRuntime",
		"POST /runtimes/":                               "ListAgentRuntimes",
		"GET /runtimes/a-abcdefghij/":                   "GetAgentRuntime a-abcdefghij",
		"GET /runtimes/a-abcdefghij":                    "GetAgentRuntime a-abcdefghij",
		"POST /runtimes/a-abcdefghij/versions/":         "ListAgentRuntimeVersions a-abcdefghij",
		"DELETE /runtimes/a/runtime-endpoints/b/":       "DeleteAgentRuntimeEndpoint a",
		"GET /tags/" + arn + "%2Fruntime-endpoint%2Fx":  "ListTagsForResource arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-abcdefghij/runtime-endpoint/x",
		"POST /runtimes/" + arn + "/invocations":        "",
		"GET /runtimes/" + arn + "/ws":                  "",
		"POST /runtimes/" + arn + "/stopruntimesession": "",
		"GET /sessions/a/b":                             "",
		"GET /runtimes//":                               "",
		"GET /runtimes/%zz/":                            "",
		"GET /":                                         "",
	} {
		method, path, _ := strings.Cut(asked, " ")
		got := ""
		if c := Route(method, path); c != nil {
			got = strings.TrimSpace(c.Operation + " " + c.Resource)
		}
		NewWithT(t).Expect(got).To(Equal(want), asked)
	}
	NewWithT(t).Expect((&Call{Resource: "arn:x:runtime/a/runtime-endpoint/b"}).Runtime()).To(Equal("arn:x:runtime/a"))
}

func TestObjectName(t *testing.T) {
	g, seen := NewWithT(t), map[string]bool{}
	for _, name := range []string{"a", "my_agent", "My_agent", "my_Agent", "my_agent_", "my_agent__", strings.Repeat("a", 48), strings.Repeat("A", 48)} {
		made := objectName(name)
		g.Expect(made).To(MatchRegexp(`^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$`), name)
		g.Expect(seen[made]).To(BeFalse(), "%s is taken", made)
		seen[made] = true
	}
	g.Expect(objectName("my_agent")).To(Equal("my-agent"))
}

func TestAllowedImages(t *testing.T) {
	for _, row := range []struct {
		allowed, image string
		may            bool
	}{
		{"", "a", false},
		{"*", "a", true},
		{"registry.example/team", "registry.example/team/a:1", true},
		{"registry.example/team", "registry.example/team:1", true},
		{"registry.example/team", "registry.example/team@sha256:1", true},
		{"registry.example/team", "registry.example/team", true},
		{"registry.example/team", "registry.example/team-of-others/a", false},
		{"registry.example", "registry.example.org/a", false},
		{"registry.example", "registry.example:5000/a", false},
		{"registry.example/a:", "registry.example/a:1", true},
		{"team:", "team:5000/a", false},
		{"registry.example/team@", "registry.example/team@sha256:1", true},
		{"registry.example/team/", "registry.example/team/a", true},
		{"registry.example/team/", "mirror/registry.example/team/a", false},
	} {
		err := (&Plane{Options{AllowedImages: []string{row.allowed}}}).allowsImage(t.Context(), row.image)
		NewWithT(t).Expect(err == nil).To(Equal(row.may), "%+v", row)
	}
}

func TestMaxMemory(t *testing.T) {
	for _, row := range []struct {
		most, asked int64
		may         bool
	}{{0, 1 << 20, true}, {1024, 1024, true}, {1024, 1025, false}, {1024, 0, true}} {
		m := members{artifact: artifact{Container: &container{URI: "a"}}}
		if row.asked > 0 {
			m.resources = []resources{{row.asked}}
		}
		err := (&Plane{Options{AllowedImages: []string{"*"}, MaxMemoryMiB: row.most}}).allows(t.Context(), m)
		NewWithT(t).Expect(err == nil).To(Equal(row.may), "%+v: %v", row, err)
	}
}

// TestExpresses: only what this API makes is changed by it.
func TestExpresses(t *testing.T) {
	g := NewWithT(t)
	made := func() corev1.PodTemplateSpec {
		return templateOf("a", map[string]string{"A": "$(B)", "C": "$$"}, []resources{{512}}, forStorage())
	}
	whole := made()
	g.Expect(expresses(&whole)).To(BeTrue())
	raw, err := json.Marshal(whole)
	g.Expect(err).NotTo(HaveOccurred())
	var read corev1.PodTemplateSpec
	g.Expect(json.Unmarshal(raw, &read)).To(Succeed())
	g.Expect(expresses(&read)).To(BeTrue(), "as the API server has it")
	g.Expect(environmentIn(&read.Spec.Containers[0])).To(Equal(map[string]string{"A": "$(B)", "C": "$$"}))
	read.Spec.SecurityContext = nil
	g.Expect(expresses(&read)).To(BeTrue(), "without storage")
	for what, change := range map[string]func(*corev1.PodTemplateSpec){
		"another group":     func(t *corev1.PodTemplateSpec) { t.Spec.SecurityContext.FSGroup = new(int64(0)) },
		"a user":            func(t *corev1.PodTemplateSpec) { t.Spec.SecurityContext.RunAsUser = new(int64(0)) },
		"a service account": func(t *corev1.PodTemplateSpec) { t.Spec.ServiceAccountName = "x" },
		"its token":         func(t *corev1.PodTemplateSpec) { t.Spec.AutomountServiceAccountToken = nil },
		"a volume":          func(t *corev1.PodTemplateSpec) { t.Spec.Volumes = []corev1.Volume{{Name: "x"}} },
		"a second container": func(t *corev1.PodTemplateSpec) {
			t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: "x"})
		},
		"a Secret": func(t *corev1.PodTemplateSpec) {
			t.Spec.Containers[0].Env[0].ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "x"}}
		},
		"all of a Secret": func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{}} },
		"a command":       func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Command = []string{"x"} },
		"an annotation":   func(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{"a": "b"} },
	} {
		changed := made()
		change(&changed)
		g.Expect(expresses(&changed)).To(BeFalse(), what)
	}
}

// TestStorage: what an update cannot say of a storage stays, and what it leaves out is gone.
func TestStorage(t *testing.T) {
	g := NewWithT(t)
	asked := func(body string) members {
		m, err := membersOf([]byte(`{"roleArn":"arn:aws:iam::123456789012:role/x","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"a"}}`+body+`}`), false)
		g.Expect(err).NotTo(HaveOccurred())
		return m
	}
	size := resource.MustParse("5Gi")
	spec := v1alpha1.AgentRuntimeSpec{FilesystemConfigurations: []v1alpha1.FilesystemConfiguration{
		{SessionStorage: v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/old", Size: &size, StorageClassName: "fast"}},
	}}
	asked(`,"filesystemConfigurations":[{"sessionStorage":{"mountPath":"/mnt/new"}}]`).applyTo(&spec)
	g.Expect(spec.FilesystemConfigurations).To(ConsistOf(v1alpha1.FilesystemConfiguration{
		SessionStorage: v1alpha1.SessionStorageConfiguration{MountPath: "/mnt/new", Size: &size, StorageClassName: "fast"},
	}))
	g.Expect(spec.Template.Spec.SecurityContext.FSGroup).To(HaveValue(BeEquivalentTo(1000)))
	for _, none := range []string{``, `,"filesystemConfigurations":[]`} {
		without := spec.DeepCopy()
		asked(none).applyTo(without)
		g.Expect(without.FilesystemConfigurations).To(BeEmpty())
		g.Expect(without.Template.Spec.SecurityContext).To(BeNil())
	}
	for _, bad := range []string{
		`[null]`, `[{}]`, `{}`, `[{"efsAccessPoint":{"accessPointArn":"x","mountPath":"/mnt/x"}}]`, `[{"sessionStorage":{"mountPath":"/mnt/x","storageClassName":"fast"}}]`,
	} {
		_, err := membersOf([]byte(`{"roleArn":"arn:aws:iam::123456789012:role/x","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"a"}},"filesystemConfigurations":`+bad+`}`), false)
		g.Expect(err).To(MatchError(ContainSubstring("filesystemConfigurations")), bad)
	}
}

// Names are those of the model, in their case, and once; and what is in a map is there.
func TestMembersAreExact(t *testing.T) {
	for member, value := range map[string]string{
		"protocolConfiguration": `{"serverProtocol":"HTTP","PORT":8080}`, "networkConfiguration": `{"networkMode":"PUBLIC","networkMode":"VPC"}`,
		"environmentVariables": `{"A":null}`, "tags": `{"a":null}`,
	} {
		_, err := membersOf([]byte(`{"agentRuntimeName":"a","roleArn":"arn:aws:iam::123456789012:role/x","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"a"}},"`+member+`":`+value+`}`), true)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("Value at '"+member+"' cannot be used")), value)
	}
	_, err := readObject([]byte(`{"a":{"`+strings.Repeat("x", 100_000)+`":1}}`), map[string]any{"a": &struct{}{}})
	NewWithT(t).Expect(len(err.Error())).To(BeNumerically("<", 1000), "a name is told as far as it has to")
}

// An image that cannot be run is refused by the member's name.
func TestAnImageThatCannotBeRun(t *testing.T) {
	p := &Plane{Options{AllowedImages: []string{"*"}, CheckImage: func(context.Context, string) error { return errors.New("it is not here") }}}
	f, is := errors.AsType[*awswire.Failure](p.allowsImage(t.Context(), "a"))
	NewWithT(t).Expect(is).To(BeTrue())
	NewWithT(t).Expect(f.FieldList).To(ConsistOf(awswire.Field{Name: "agentRuntimeArtifact.containerConfiguration.containerUri", Message: "it is not here"}))
}

// What the API server says of a request as a whole is no member's.
func TestCausesWithoutAField(t *testing.T) {
	err := apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("AgentRuntime").GroupKind(), "a", field.ErrorList{
		field.Invalid(field.NewPath("spec", "agentCore", "roleArn"), "x", "too long"), field.Invalid(nil, nil, "some validation rules were not checked"),
	})
	f, is := errors.AsType[*awswire.Failure](refused(err))
	NewWithT(t).Expect(is).To(BeTrue())
	NewWithT(t).Expect(f.FieldList).To(HaveExactElements(HaveField("Name", "roleArn")))
}

// An endpoint that is changed in the second in which it was created is UPDATING, and not CREATING.
func TestAnEndpointThatIsChangedAtOnce(t *testing.T) {
	g, now := NewWithT(t), metav1.Now().Rfc3339Copy()
	agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	state := func(n note) string {
		g.Expect(setNotes(agent, map[string]note{"prod": n})).To(Succeed())
		view := endpointOf(agent, v1alpha1.RuntimeEndpoint{Name: "prod", Version: 1}, []int64{1, 2})
		g.Expect(view.UpdatedAt.Time).To(BeTemporally("==", now.Time))
		return view.Status
	}
	g.Expect(state(note{CreatedAt: now, Generation: 2})).To(Equal(creating))
	g.Expect(state(note{CreatedAt: now, UpdatedAt: now, Generation: 2})).To(Equal(updating))
}

func TestNewest(t *testing.T) {
	spec := v1alpha1.AgentRuntimeSpec{ProvisioningTimeoutSeconds: 60}
	digest, err := lifecycle.Digest(spec)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	ready := func(reason string, status metav1.ConditionStatus, of int64) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason, Status: status, ObservedGeneration: of, Message: "why"}}
	}
	known := &v1alpha1.RuntimeArtifact{Version: 2, Digest: digest}
	for what, row := range map[string]struct {
		generation, seen int64
		artifact         *v1alpha1.RuntimeArtifact
		conditions       []metav1.Condition
		endpoints        []v1alpha1.RuntimeEndpoint
		other            bool // spec is another than the artifact's
		deleted          bool
		want, status     string
	}{
		"new":                               {generation: 1, want: "1", status: creating},
		"recorded":                          {generation: 2, seen: 2, artifact: known, want: "2", status: ready2},
		"with endpoints since":              {generation: 4, seen: 4, artifact: known, want: "2", status: ready2},
		"with an endpoint that is not seen": {generation: 5, seen: 4, artifact: known, endpoints: []v1alpha1.RuntimeEndpoint{{Name: "a", Version: 2}}, want: "2", status: ready2},
		"changed":                           {generation: 5, seen: 4, artifact: known, other: true, want: "5", status: updating},
		"refused at first":                  {generation: 1, seen: 1, conditions: ready(v1alpha1.ReasonVersionNameTaken, metav1.ConditionFalse, 1), want: "1", status: createFailed},
		"refused later":                     {generation: 3, seen: 3, artifact: known, conditions: ready(v1alpha1.ReasonVersionNameTaken, metav1.ConditionFalse, 3), want: "3", status: updateFailed},
		"refused before":                    {generation: 3, seen: 2, artifact: known, other: true, conditions: ready(v1alpha1.ReasonVersionNameTaken, metav1.ConditionFalse, 2), want: "3", status: updating},
		"with a lost endpoint":              {generation: 3, seen: 3, artifact: known, conditions: ready(v1alpha1.ReasonVersionNotFound, metav1.ConditionFalse, 3), want: "2", status: ready2},
		"deleted":                           {generation: 2, seen: 2, artifact: known, deleted: true, want: "2", status: deleting},
		"recorded, of no valid version":     {generation: 1, seen: 1, artifact: &v1alpha1.RuntimeArtifact{Version: 1, Digest: digest}, conditions: ready(v1alpha1.ReasonNoValidVersion, metav1.ConditionFalse, 1), want: "1", status: ready2},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			agent := &v1alpha1.AgentRuntime{Spec: spec, Status: v1alpha1.AgentRuntimeStatus{AgentRuntimeVersion: row.seen, Artifact: row.artifact, Conditions: row.conditions}}
			agent.Generation, agent.Spec.Endpoints = row.generation, row.endpoints
			if row.other {
				agent.Spec.ProvisioningTimeoutSeconds = 61
			}
			if row.deleted {
				agent.DeletionTimestamp = &metav1.Time{}
			}
			v := newest(agent)
			g.Expect([]string{v.String(), v.status}).To(Equal([]string{row.want, row.status}))
			failed := v.failure != ""
			g.Expect(failed).To(Equal(strings.HasSuffix(row.status, "FAILED")))
		})
	}
}

const ready2 = "READY"

// TestTried: a version that is to be tried is ready when it was healthy, and has failed with
// the words of its pod. Its endpoint DEFAULT stays where it was until then.
func TestTried(t *testing.T) {
	known := func(version int64) *v1alpha1.RuntimeArtifact { return &v1alpha1.RuntimeArtifact{Version: version} }
	for what, row := range map[string]struct {
		artifact     *v1alpha1.RuntimeArtifact
		validation   *v1alpha1.ValidationStatus
		verdict      metav1.ConditionStatus
		status, live string
	}{
		"not recorded":               {status: creating},
		"not seen to be tried":       {artifact: known(1), status: creating, live: "1"},
		"tried":                      {artifact: known(1), validation: &v1alpha1.ValidationStatus{Version: 1}, verdict: metav1.ConditionUnknown, status: creating},
		"the first has failed":       {artifact: known(1), validation: &v1alpha1.ValidationStatus{Version: 1}, verdict: metav1.ConditionFalse, status: createFailed},
		"valid":                      {artifact: known(1), validation: &v1alpha1.ValidationStatus{Version: 1, ValidVersion: 1}, verdict: metav1.ConditionTrue, status: ready2, live: "1"},
		"another is recorded":        {artifact: known(3), validation: &v1alpha1.ValidationStatus{Version: 1, ValidVersion: 1}, verdict: metav1.ConditionTrue, status: updating, live: "1"},
		"another is tried":           {artifact: known(3), validation: &v1alpha1.ValidationStatus{Version: 3, ValidVersion: 1}, verdict: metav1.ConditionUnknown, status: updating, live: "1"},
		"another has failed":         {artifact: known(3), validation: &v1alpha1.ValidationStatus{Version: 3, ValidVersion: 1}, verdict: metav1.ConditionFalse, status: updateFailed, live: "1"},
		"after one that has failed":  {artifact: known(2), validation: &v1alpha1.ValidationStatus{Version: 2}, verdict: metav1.ConditionUnknown, status: updating},
		"another is valid, the last": {artifact: known(3), validation: &v1alpha1.ValidationStatus{Version: 3, ValidVersion: 3}, verdict: metav1.ConditionTrue, status: ready2, live: "3"},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			agent := &v1alpha1.AgentRuntime{
				Spec: v1alpha1.AgentRuntimeSpec{Validation: v1alpha1.ValidationStart},
				Status: v1alpha1.AgentRuntimeStatus{
					Artifact: row.artifact, Validation: row.validation,
					Conditions: []metav1.Condition{{Type: v1alpha1.ConditionValidated, Status: row.verdict, Message: "why"}},
				},
			}
			agent.Generation = 1
			if row.artifact != nil {
				agent.Generation = row.artifact.Version
				agent.Status.AgentRuntimeVersion = agent.Generation
			}
			v := newest(agent)
			g.Expect(v.status).To(Equal(row.status))
			failed := v.failure != ""
			g.Expect(failed).To(Equal(strings.HasSuffix(row.status, "FAILED")))
			endpoint := defaultEndpoint(agent)
			g.Expect([]string{endpoint.Status, endpoint.Live, endpoint.Target}).To(Equal([]string{row.status, row.live, v.String()}))
		})
	}
}

func TestPages(t *testing.T) {
	g := NewWithT(t)
	all := []string{"a", "b", "c"}
	itself := func(s string) string { return s }
	var got []string
	for query := (url.Values{"maxResults": {"2"}}); ; {
		part, next, err := pageOf(query, all, itself)
		g.Expect(err).NotTo(HaveOccurred())
		got = append(got, part...)
		if next == "" {
			break
		}
		query.Set("nextToken", next)
		all = []string{"a", "bb", "c"} // b has gone meanwhile, and another come
	}
	g.Expect(got).To(Equal([]string{"a", "b", "bb", "c"}))
	for _, bad := range []url.Values{{"maxResults": {"0"}}, {"maxResults": {"101"}}, {"maxResults": {"x"}}, {"nextToken": {"!"}}} {
		_, _, err := pageOf(bad, all, itself)
		g.Expect(err).To(HaveOccurred(), "%v", bad)
	}
}

// TestRights: what a caller may not do is denied, and what he may not even see is not there.
func TestRights(t *testing.T) {
	caller := func(verbs ...string) authn.Caller {
		return authn.Caller{May: func(_ context.Context, agent *v1alpha1.AgentRuntime, right authn.Right) (bool, error) {
			return agent.Namespace == "ours" && right.Subresource == "control" && strings.Contains(strings.Join(verbs, " "), right.Verb), nil
		}}
	}
	for _, row := range []struct {
		caller    authn.Caller
		namespace string
		code      int // 0: he may
	}{
		{caller("get", "delete"), "ours", 0},
		{caller("delete"), "ours", 0},
		{caller("get"), "ours", http.StatusForbidden},
		{caller(), "ours", http.StatusNotFound},
		{caller("get", "delete"), "theirs", http.StatusNotFound},
	} {
		agent := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: row.namespace}}
		err := may(t.Context(), &Call{Caller: row.caller}, agent, authn.VerbDelete)
		code := 0
		if f, ok := errors.AsType[*awswire.Failure](err); ok {
			code = f.Code
		}
		NewWithT(t).Expect(code).To(Equal(row.code), "%+v", row)
	}
}

// TestListsAskByNamespace: of callers whose rights the API server has to be asked for, it is
// asked once for all namespaces, or once for each, and for no more than it may be.
func TestListsAskByNamespace(t *testing.T) {
	runtimes := func(namespaces, each int) (all []v1alpha1.AgentRuntime) {
		for n := range namespaces {
			for i := range each {
				one := v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%03d", n), Name: fmt.Sprint("agent-", i)}}
				one.Status.AgentRuntimeArn = "arn"
				all = append(all, one)
			}
		}
		return all
	}
	for what, row := range map[string]struct {
		namespaces, each int
		may              string // a namespace; empty: none; *: all
		asked, shown     int
		refused          bool
	}{
		"all":                    {namespaces: 500, each: 2, may: "*", asked: 1, shown: 1000},
		"one":                    {namespaces: 3, each: 50, may: "ns-001", asked: 4, shown: 50},
		"none":                   {namespaces: 2, each: 50, asked: 3},
		"no more than is asked":  {namespaces: maxNamespaces, each: 1, may: "ns-099", asked: 1 + maxNamespaces, shown: 1},
		"more than may be asked": {namespaces: maxNamespaces + 1, each: 1, may: "ns-001", asked: 1 + maxNamespaces, refused: true},
	} {
		t.Run(what, func(t *testing.T) {
			g, asked := NewWithT(t), 0
			c := &Call{Caller: authn.Caller{
				May: func(context.Context, *v1alpha1.AgentRuntime, authn.Right) (bool, error) {
					return false, errors.New("it asks about a runtime")
				},
				MayAll: func(_ context.Context, namespace string, right authn.Right) (bool, error) {
					asked++
					g.Expect(right).To(Equal(authn.Right{Verb: "get", Subresource: "control"}))
					return row.may == "*" || row.may != "" && row.may == namespace, nil
				},
			}}
			shown, err := visibleTo(t.Context(), c, runtimes(row.namespaces, row.each))
			if row.refused {
				g.Expect(err).To(MatchError(ContainSubstring(HeaderNamespace)))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(shown).To(HaveLen(row.shown))
			g.Expect(asked).To(Equal(row.asked))
		})
	}
}

// TestTooLarge: the API server passes etcd's refusal on as a fault of its own.
func TestTooLarge(t *testing.T) {
	err := refused(&apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "etcdserver: request is too large"}})
	f, is := errors.AsType[*awswire.Failure](err)
	g := NewWithT(t)
	g.Expect(is).To(BeTrue())
	g.Expect([]any{f.Code, f.Type}).To(Equal([]any{http.StatusBadRequest, "ValidationException"}))
}

// TestFits: what etcd would not take is refused by name.
func TestFits(t *testing.T) {
	agent := func(n int, value string) *v1alpha1.AgentRuntime {
		m := members{artifact: artifact{Container: &container{URI: "a"}}, environment: map[string]string{}}
		for i := range n {
			m.environment[fmt.Sprint("A", i)] = value
		}
		made := &v1alpha1.AgentRuntime{}
		m.applyTo(&made.Spec)
		return made
	}
	g := NewWithT(t)
	g.Expect(fits(agent(50, strings.Repeat("$", 5000)))).To(Succeed())
	g.Expect(fits(agent(50, strings.Repeat("\U0001F600", 5000)))).To(Succeed())
	g.Expect(fits(agent(50, strings.Repeat("<", 5000)))).To(MatchError(And(ContainSubstring("environmentVariables"), ContainSubstring("1048576"))))
}
