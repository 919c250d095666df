package gateway

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	keys.add(first)
	g.Expect(there("AK1")).To(Equal("one"))
	g.Expect(there("AK2")).To(BeEmpty())
	key, _ := keys.of("AK1")
	for namespace, want := range map[string]bool{"a": true, "b": true, "c": false, "": false, "a, b": false} {
		g.Expect(key.covers(namespace)).To(Equal(want), namespace)
	}

	second := secret("second", "AK1", "two", "*")
	keys.add(second)
	g.Expect(there("AK1")).To(BeEmpty(), "two Secrets claim it")
	keys.remove(toolscache.DeletedFinalStateUnknown{Obj: first})
	g.Expect(there("AK1")).To(Equal("two"))
	key, _ = keys.of("AK1")
	g.Expect(key.covers("anything")).To(BeTrue())

	rotated := secret("second", "AK3", "three", "")
	keys.remove(second)
	keys.add(rotated)
	g.Expect(there("AK1")).To(BeEmpty())
	g.Expect(there("AK3")).To(Equal("three"))
	key, _ = keys.of("AK3")
	g.Expect(key.covers("a")).To(BeFalse())
	g.Expect(key.covers("")).To(BeFalse())

	for _, none := range []any{secret("empty", "", "x", "*"), secret("open", "AK4", "", "*"), &corev1.Pod{}} {
		keys.add(none)
	}
	g.Expect(there("")).To(BeEmpty())
	g.Expect(there("AK4")).To(BeEmpty())
}

func TestASecretThatIsReplacedIsGoodNoMore(t *testing.T) {
	g := NewWithT(t)
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	object := &corev1.Secret{Data: map[string][]byte{"accessKeyId": []byte("AKIDEXAMPLE"), "secretAccessKey": []byte(secret), "namespaces": []byte("*")}}
	keys.add(object)
	verify := func() error {
		r := signed(t, "body")
		s, err := parseSignature(r, signedAt)
		g.Expect(err).NotTo(HaveOccurred())
		key, _ := keys.of(s.accessKey)
		return s.verify(t.Context(), r, key, hashOf("body"))
	}
	for range 2 {
		g.Expect(verify()).To(Succeed())
	}
	keys.remove(object)
	object.Data["secretAccessKey"] = []byte("another")
	keys.add(object)
	g.Expect(verify()).To(MatchError(ContainSubstring("does not match")))
}
