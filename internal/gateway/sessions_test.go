package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/authn"
)

// A list costs one review where a caller may see all, and never more than a few.
func TestReviewsOfAList(t *testing.T) {
	for name, row := range map[string]struct {
		runtimes         int // in each of two namespaces
		namespace        string
		all, one         string // what the caller may: in all of a namespace ("*": everywhere), and of which runtime
		shown, reviews   int
		refused, byNames bool
	}{
		"a caller of the cluster":                  {runtimes: 200, all: "*", shown: 400, reviews: 1},
		"a caller of a namespace":                  {runtimes: 200, namespace: "a", all: "a", shown: 200, reviews: 1},
		"who does not name it":                     {runtimes: 20, all: "a", one: "a/", shown: 20, reviews: 41},
		"among too many":                           {runtimes: 51, all: "a", one: "a/", reviews: 1, refused: true},
		"a caller of one runtime":                  {runtimes: 50, one: "b/7", shown: 1, reviews: 101},
		"a caller of none":                         {runtimes: 50, namespace: "a", reviews: 51},
		"one of whom the API server knows nothing": {runtimes: 200, one: "b/7", shown: 1, byNames: true, reviews: 400},
	} {
		t.Run(name, func(t *testing.T) {
			g, reviews := NewWithT(t), 0
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			objects := fake.NewClientBuilder().WithScheme(scheme)
			for i := range row.runtimes {
				for _, namespace := range []string{"a", "b"} {
					objects.WithObjects(&v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint(i)}})
				}
			}
			caller := authn.Caller{
				May: func(_ context.Context, agent *v1alpha1.AgentRuntime, right authn.Right) (bool, error) {
					reviews++
					g.Expect(right).To(Equal(authn.ToSee))
					return row.one == agent.Namespace+"/"+agent.Name || row.one == agent.Namespace+"/", nil
				},
				MayAll: func(_ context.Context, namespace string, right authn.Right) (bool, error) {
					reviews++
					g.Expect(right).To(Equal(authn.ToSee))
					return row.all == "*" || namespace != "" && namespace == row.all, nil
				},
			}
			if row.byNames {
				caller.MayAll = nil
			}
			gateway := &Gateway{Options: Options{Client: objects.Build()}}
			shown, err := gateway.runtimesFor(t.Context(), caller, authn.ToSee, selection{Namespace: row.namespace})
			if row.refused {
				g.Expect(err).To(HaveField("Code", http.StatusBadRequest))
				g.Expect(err).To(MatchError(ContainSubstring("Name one, or a namespace")))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(shown).To(HaveLen(row.shown))
			g.Expect(reviews).To(Equal(row.reviews))
		})
	}
}

// Why an agent has exited is told to whoever may see the session.
func TestTheLastWordsOfAnAgentAreDescribed(t *testing.T) {
	g := NewWithT(t)
	session := sessionNo(1, isStopped, func(s *v1alpha1.AgentSession) {
		s.Status.LastTermination = &v1alpha1.Termination{Reason: v1alpha1.StopAgentExited, Message: "exit code 1: no API key", Activation: 1}
	})
	one := atNoon(t, session)
	g.Expect(one.Client.Create(t.Context(), &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name}})).To(Succeed())
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	may := func(context.Context, *v1alpha1.AgentRuntime, authn.Right) (bool, error) { return true, nil }
	g.Expect(one.describe(w, r, &call{label: orderOf(session), caller: authn.Caller{May: may}})).To(Succeed())
	var shown sessionView
	g.Expect(json.Unmarshal(w.Body.Bytes(), &shown)).To(Succeed())
	g.Expect(shown.LastTermination).To(HaveValue(And(HaveField("Reason", v1alpha1.StopAgentExited), HaveField("Message", "exit code 1: no API key"))))
}
