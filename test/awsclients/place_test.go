package awsclients

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/authn"
	"github.com/agentsession/agentsession/internal/gateway"
	"github.com/agentsession/agentsession/test/caller"
	"github.com/agentsession/agentsession/test/front"
)

// The images of the agents on a node.
const (
	echoImage  = "agentsession/echo-agent:dev"
	shellImage = "agentsession/stock-agents:dev"
)

// place is where the checks are made: on an API server with a stand-in for nodes; or, if
// $AGENTSESSION_GATEWAY is the URL of a gateway, on the cluster of $KUBECONFIG, which that
// gateway serves; or on agentsession local.
type place struct {
	door
	api   kube.Client
	agent corev1.Container // that echoes
	port  int32            // of the agents
	node  bool
	slow  bool // a pod takes its time to start, and to go
}

func newPlace(t *testing.T, change ...func(*gateway.Options)) *place {
	t.Helper()
	g, keys := NewWithT(t), "default"
	p := &place{
		door:  door{os.Getenv("AGENTSESSION_GATEWAY"), "AKIDCHECKS", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
		agent: corev1.Container{Name: "agent", Image: echoImage},
	}
	if p.node = p.url != ""; p.node {
		p.slow = true
		config, err := ctrl.GetConfig()
		g.Expect(err).NotTo(HaveOccurred())
		p.api, err = kube.New(config, kube.Options{Scheme: controllers.ManagerOptions().Scheme})
		g.Expect(err).NotTo(HaveOccurred())
		p.port, keys = 8080, "agentsession-system"
	} else {
		plane, err := front.Start("../../config/crd/bases", logr.Discard())
		t.Cleanup(func() { _ = plane.Stop() })
		g.Expect(err).NotTo(HaveOccurred())
		url, shut, err := plane.Door(append(change, front.Authenticated)...)
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = shut() })
		p.api, p.port, p.url = plane.API, plane.Port, url
	}
	key := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: keys, Name: "checks", Labels: map[string]string{authn.LabelAccessKey: ""}},
		StringData: map[string]string{"accessKeyId": p.accessKey, "secretAccessKey": p.secretKey, "namespaces": "*", "rights": "*"},
	}
	g.Expect(p.api.Create(t.Context(), key)).To(Succeed())
	t.Cleanup(func() { _ = p.api.Delete(context.Background(), key) }) // the whole cluster goes soon
	return p
}

// knows is an error until the gateway knows the client's key and the runtime.
func (p *place) knows(ctx context.Context, agent *v1alpha1.AgentRuntime) error {
	ctx, cancel := context.WithTimeout(ctx, patience/10)
	defer cancel()
	if err := p.api.Get(ctx, kube.ObjectKeyFromObject(agent), agent); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/sessions?agentRuntimeArn="+url.QueryEscape(agent.Status.AgentRuntimeArn), strings.NewReader(""))
	if err != nil {
		return err
	}
	if err := caller.Sign(r, p.accessKey, p.secretKey); err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if agent.Status.AgentRuntimeArn == "" || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the runtime %q is not known: %s", agent.Status.AgentRuntimeArn, answer.Status)
	}
	return nil
}

// allowCommands lets the gateway run commands in a namespace.
func (p *place) allowCommands(t *testing.T, namespace string) {
	t.Helper()
	NewWithT(t).Expect(p.api.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "commands"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "agentsession-gateway-commands"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "agentsession-system", Name: "agentsession-gateway"}},
	})).To(Succeed())
}
