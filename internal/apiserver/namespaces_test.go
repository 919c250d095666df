package apiserver_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/internal/apiserver"
)

func TestNamespacesAreRead(t *testing.T) {
	for name, row := range map[string]struct {
		list string
		want apiserver.Namespaces
		says string
	}{
		"none":                 {"", nil, ""},
		"one":                  {"team", apiserver.Namespaces{"team"}, ""},
		"several":              {"team,another-1", apiserver.Namespaces{"team", "another-1"}, ""},
		"a name of none":       {"team,", nil, `"" is not the name of a namespace`},
		"a name with a space":  {"team, other", nil, `" other" is not the name of a namespace: a lowercase RFC 1123 label`},
		"a name that has dots": {"a.b", nil, `"a.b" is not the name of a namespace`},
		"one twice":            {"team,team", nil, "team is listed twice"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := apiserver.Namespaces{"before"}
			err := got.Set(row.list)
			if row.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(row.want))
			g.Expect(got.String()).To(Equal(row.list))
		})
	}
}

func TestNamespacesRestrictACache(t *testing.T) {
	g := NewWithT(t)
	var all, some cache.Options
	apiserver.Namespaces(nil).Restrict(&all)
	g.Expect(all.DefaultNamespaces).To(BeNil())
	apiserver.Namespaces{"a", "b"}.Restrict(&some)
	g.Expect(some.DefaultNamespaces).To(Equal(map[string]cache.Config{"a": {}, "b": {}}))
}

func TestNamespacesRestrictAReader(t *testing.T) {
	pod := func(namespace, name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"name": name}}}
	}
	all := fake.NewClientBuilder().WithObjects(pod("a", "1"), pod("a", "2"), pod("b", "1"), pod("c", "1")).Build()
	list := func(g Gomega, reader client.Reader, opts ...client.ListOption) (found []string) {
		pods := corev1.PodList{Items: []corev1.Pod{*pod("old", "old")}}
		g.Expect(reader.List(t.Context(), &pods, opts...)).To(Succeed())
		for i := range pods.Items {
			found = append(found, pods.Items[i].Namespace+"/"+pods.Items[i].Name)
		}
		return found
	}
	get := func(reader client.Reader, namespace, name string) error {
		return reader.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Pod{})
	}
	some := apiserver.Namespaces{"a", "b"}
	for kind, reader := range map[string]client.Reader{"reader": some.Reader(all), "client": some.Client(all)} {
		t.Run(kind, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(list(g, reader)).To(ConsistOf("a/1", "a/2", "b/1"))
			g.Expect(list(g, reader, client.MatchingLabels{"name": "1"})).To(ConsistOf("a/1", "b/1"))
			g.Expect(list(g, reader, client.InNamespace("b"))).To(ConsistOf("b/1"))
			g.Expect(list(g, reader, client.InNamespace("c"))).To(BeEmpty())
			g.Expect(get(reader, "a", "2")).To(Succeed())
			g.Expect(get(reader, "c", "1")).To(Satisfy(apierrors.IsNotFound))
		})
	}
	g := NewWithT(t)
	var every apiserver.Namespaces
	for _, reader := range []client.Reader{every.Reader(all), every.Client(all)} {
		g.Expect(list(g, reader)).To(ConsistOf("a/1", "a/2", "b/1", "c/1"))
		g.Expect(get(reader, "c", "1")).To(Succeed())
	}
}
