package lifecycle_test

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// The name is part of what gateways of two versions agree on: it must not change.
func TestSessionName(t *testing.T) {
	g := NewWithT(t)
	const id = "0123456789012345678901234567890123"
	name := lifecycle.SessionName("shop", "uid", "DEFAULT", id)
	g.Expect(name).To(Equal("shop-mbl4gzad2wxx3v4r7643"))
	g.Expect(lifecycle.SessionName("shop", "uid", "prod", id)).NotTo(Equal(name))
	g.Expect(lifecycle.SessionName("shop", "another", "DEFAULT", id)).NotTo(Equal(name))
	g.Expect(lifecycle.SessionName("shop", "uid", "DEFAULT", id+"4")).NotTo(Equal(name))
}

// Whatever a runtime is called, the name of a pod of its session is one of DNS.
func TestSessionNamesAreValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runtime := rapid.StringMatching(`[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?`).Draw(t, "runtime")
		if len(validation.IsDNS1123Subdomain(runtime)) > 0 {
			t.Skip("no name of a runtime")
		}
		name := lifecycle.SessionName(runtime, "uid", "DEFAULT", rapid.String().Draw(t, "id"))
		if wrong := validation.IsDNS1123Subdomain(name + "-2147483647"); len(wrong) > 0 || len(name) > 52 {
			t.Fatalf("%s: %v", name, wrong)
		}
	})
}

// The id is in ARNs that callers keep: it must not change.
func TestRuntimeID(t *testing.T) {
	for want, agent := range map[string]*v1alpha1.AgentRuntime{
		"shop-c63yrjyo5t":      {ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid"}},
		"my_shop_1-c63yrjyo5t": {ObjectMeta: metav1.ObjectMeta{Name: "my-shop.1", UID: "uid"}},
		"r1shop-c63yrjyo5t":    {ObjectMeta: metav1.ObjectMeta{Name: "1shop", UID: "uid"}},
		"MyShop-c63yrjyo5t": {
			ObjectMeta: metav1.ObjectMeta{Name: "my-shop", UID: "uid"},
			Spec:       v1alpha1.AgentRuntimeSpec{AgentCore: &v1alpha1.AgentCoreMembers{AgentRuntimeName: "MyShop"}},
		},
	} {
		NewWithT(t).Expect(lifecycle.RuntimeID(agent)).To(Equal(want))
	}
}

// Whoever may write the status of a runtime cannot have it called by another's names.
func TestIsNamed(t *testing.T) {
	const prefix = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/"
	own := lifecycle.RuntimeID(&v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid"}})
	others := lifecycle.RuntimeID(&v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "another"}})
	for name, row := range map[string]struct {
		id, arn, named string
		is             bool
	}{
		"its id":                          {own, prefix + own, own, true},
		"its ARN":                         {own, prefix + own, prefix + own, true},
		"no name yet":                     {"", "", "", false},
		"another id":                      {own, prefix + own, others, false},
		"another's id":                    {others, prefix + own, others, false},
		"another's ARN":                   {own, prefix + others, prefix + others, false},
		"another's id and ARN":            {others, prefix + others, prefix + others, false},
		"a namespace and a name for both": {"a/shop", "a/shop", "a/shop", false},
	} {
		t.Run(name, func(t *testing.T) {
			agent := &v1alpha1.AgentRuntime{
				ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid"},
				Status:     v1alpha1.AgentRuntimeStatus{AgentRuntimeID: row.id, AgentRuntimeArn: row.arn},
			}
			NewWithT(t).Expect(lifecycle.IsNamed(agent, row.named)).To(Equal(row.is))
		})
	}
}

func TestReachable(t *testing.T) {
	const id = "0123456789012345678901234567890123"
	for name, row := range map[string]struct {
		change func(*v1alpha1.AgentSession)
		want   bool
	}{
		"as a gateway made it": {func(*v1alpha1.AgentSession) {}, true},
		"at another endpoint": {func(s *v1alpha1.AgentSession) {
			s.Spec.RuntimeRef.Qualifier = "prod"
			s.Name = lifecycle.SessionName("shop", "uid", "prod", id)
		}, true},
		"the endpoint was changed":   {func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef.Qualifier = "prod" }, false},
		"made by hand":               {func(s *v1alpha1.AgentSession) { s.Name = "mine" }, false},
		"without a runtime":          {func(s *v1alpha1.AgentSession) { s.Spec.RuntimeRef = nil }, false},
		"without an owner":           {func(s *v1alpha1.AgentSession) { s.OwnerReferences = nil }, false},
		"its owner is no controller": {func(s *v1alpha1.AgentSession) { s.OwnerReferences[0].Controller = new(false) }, false},
		"its owner has another name": {func(s *v1alpha1.AgentSession) { s.OwnerReferences[0].Name = "store" }, false},
		"its runtime was made again": {func(s *v1alpha1.AgentSession) { s.OwnerReferences[0].UID = "another" }, false},
		"without an id":              {func(s *v1alpha1.AgentSession) { s.Spec.RuntimeSessionID = "" }, false},
		"without an id, named as if so": {func(s *v1alpha1.AgentSession) {
			s.Spec.RuntimeSessionID, s.Name = "", lifecycle.SessionName("shop", "uid", "DEFAULT", "")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			session := &v1alpha1.AgentSession{
				ObjectMeta: metav1.ObjectMeta{
					Name:            lifecycle.SessionName("shop", "uid", "DEFAULT", id),
					OwnerReferences: []metav1.OwnerReference{{Name: "shop", UID: "uid", Controller: new(true)}},
				},
				Spec: v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: "shop"}, RuntimeSessionID: id},
			}
			row.change(session)
			NewWithT(t).Expect(lifecycle.Reachable(session)).To(Equal(row.want))
		})
	}
}
