package authn

import (
	"maps"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

func TestAccessKeys(t *testing.T) {
	g := NewWithT(t)
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	secret := func(name, id, value, namespaces string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name},
			Data:       map[string][]byte{"accessKeyId": []byte(id), "secretAccessKey": []byte(value), "namespaces": []byte(namespaces)},
		}
	}
	there := func(id string) string {
		key, ok := keys.of(id)
		if !ok {
			return ""
		}
		return key.secret
	}

	first := secret("first", "AK1", "one", "a, b")
	keys.replace(nil, first)
	g.Expect(there("AK1")).To(Equal("one"))
	g.Expect(there("AK2")).To(BeEmpty())
	key, _ := keys.of("AK1")
	for namespace, want := range map[string]bool{"a": true, "b": true, "c": false, "": false, "a, b": false} {
		g.Expect(key.may(agent(namespace, "any"), ToInvoke)).To(Equal(want), namespace)
	}

	second := secret("second", "AK1", "two", "*")
	keys.replace(nil, second)
	g.Expect(there("AK1")).To(BeEmpty(), "two Secrets claim it")
	keys.replace(toolscache.DeletedFinalStateUnknown{Obj: first}, nil)
	g.Expect(there("AK1")).To(Equal("two"))
	key, _ = keys.of("AK1")
	g.Expect(key.may(agent("anything", "any"), ToInvoke)).To(BeTrue())

	rotated := secret("second", "AK3", "three", "")
	keys.replace(second, rotated)
	g.Expect(there("AK1")).To(BeEmpty())
	g.Expect(there("AK3")).To(Equal("three"))
	key, _ = keys.of("AK3")
	g.Expect(key.may(agent("a", "any"), ToInvoke)).To(BeFalse())
	g.Expect(key.may(agent("", "any"), ToInvoke)).To(BeFalse())

	for _, none := range []any{secret("empty", "", "x", "*"), secret("open", "AK4", "", "*"), &corev1.Pod{}} {
		keys.replace(nil, none)
	}
	g.Expect(there("")).To(BeEmpty())
	g.Expect(there("AK4")).To(BeEmpty())
}

func agent(namespace, name string) *v1alpha1.AgentRuntime {
	return &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func TestAnAccessKeyMayWhatItSays(t *testing.T) {
	all := []Right{ToInvoke, ToCommand, ToSee, ToStop, ToControl(VerbGet), ToControl(VerbUpdate)}
	for name, row := range map[string]struct {
		data    map[string][]byte
		runtime string
		want    []Right
	}{
		"nothing more said":   {nil, "one", []Right{ToInvoke}},
		"one right":           {map[string][]byte{"rights": []byte("commands")}, "one", []Right{ToCommand}},
		"control":             {map[string][]byte{"rights": []byte("control")}, "one", []Right{ToControl(VerbGet), ToControl(VerbUpdate)}},
		"rights":              {map[string][]byte{"rights": []byte(" invocations,sessions ")}, "one", []Right{ToInvoke, ToSee, ToStop}},
		"every right":         {map[string][]byte{"rights": []byte("*")}, "one", all},
		"no right":            {map[string][]byte{"rights": []byte("")}, "one", nil},
		"one of its runtimes": {map[string][]byte{"runtimes": []byte("two, one"), "rights": []byte("*")}, "one", all},
		"none of them":        {map[string][]byte{"runtimes": []byte("two,three"), "rights": []byte("*")}, "one", nil},
		"no runtime":          {map[string][]byte{"runtimes": nil, "rights": []byte("*")}, "one", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			data := map[string][]byte{"accessKeyId": []byte("AK1"), "secretAccessKey": []byte("one"), "namespaces": []byte("a")}
			maps.Copy(data, row.data)
			keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
			keys.replace(nil, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key"}, Data: data})
			key, ok := keys.of("AK1")
			g.Expect(ok).To(BeTrue())
			var may []Right
			for _, right := range all {
				if key.may(agent("a", row.runtime), right) {
					may = append(may, right)
				}
				g.Expect(key.may(agent("b", row.runtime), right)).To(BeFalse())
			}
			g.Expect(may).To(Equal(row.want))
		})
	}
}

func TestASecretThatIsReplacedIsGoodNoMore(t *testing.T) {
	g := NewWithT(t)
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	object := &corev1.Secret{Data: map[string][]byte{"accessKeyId": []byte("AKIDEXAMPLE"), "secretAccessKey": []byte(secret), "namespaces": []byte("*")}}
	keys.replace(nil, object)
	verify := func() error {
		r := signed(t, "body")
		s, err := parseSignature(r, signedAt)
		g.Expect(err).NotTo(HaveOccurred())
		key, _ := keys.of(s.accessKey)
		return s.verify(r, key.secret, hashOf("body"))
	}
	for range 2 {
		g.Expect(verify()).To(Succeed())
	}
	now := object.DeepCopy()
	now.Data["secretAccessKey"] = []byte("another")
	keys.replace(object, now)
	g.Expect(verify()).To(MatchError(ContainSubstring("does not match")))
}

func TestASecretMayEndWithNewlines(t *testing.T) {
	g := NewWithT(t)
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	keys.replace(nil, &corev1.Secret{Data: map[string][]byte{"accessKeyId": []byte("AK1\n"), "secretAccessKey": []byte("one\r\n")}})
	key, ok := keys.of("AK1")
	g.Expect(ok).To(BeTrue())
	g.Expect(key.secret).To(Equal("one"))
}

func TestAKeyWhoseSecretIsUpdatedIsThereAllTheTime(t *testing.T) {
	g := NewWithT(t)
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	object := &corev1.Secret{Data: map[string][]byte{"accessKeyId": []byte("AK1"), "secretAccessKey": []byte("one")}}
	keys.replace(nil, object)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10000 {
			keys.replace(object, object)
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			_, there := keys.of("AK1")
			g.Expect(there).To(BeTrue())
		}
	}
}
