package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// realDesk is a desk before a real API server, without AgentSessions.
type realDesk struct {
	*desk
	environment *envtest.Environment
	config      *rest.Config
}

func newRealDesk(t *testing.T) *realDesk {
	t.Helper()
	d := &realDesk{
		desk: &desk{WithT: NewWithT(t), t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), clock: func() time.Time { return night }},
		environment: &envtest.Environment{
			UseExistingCluster: new(false), ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
			CRDInstallOptions: envtest.CRDInstallOptions{MaxTime: patience},
		},
	}
	var err error
	d.config, err = d.environment.Start()
	t.Cleanup(func() { d.Expect(d.environment.Stop()).To(Succeed()) })
	d.Expect(err).NotTo(HaveOccurred())
	d.client, err = client.NewWithWatch(d.config, client.Options{Scheme: controllers.ManagerOptions().Scheme})
	d.Expect(err).NotTo(HaveOccurred())
	return d
}

// become has the tool called as another user.
func (d *realDesk) become(user envtest.User) {
	d.t.Helper()
	known, err := d.environment.AddUser(user, nil)
	d.Expect(err).NotTo(HaveOccurred())
	text, err := known.KubeConfig()
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(os.WriteFile(d.kubeconfig, text, 0o600)).To(Succeed())
}

var admin = envtest.User{Name: "admin", Groups: []string{"system:masters"}}

// TestOnARealAPIServer: without AgentSessions, with them, and for who may do nothing.
func TestOnARealAPIServer(t *testing.T) {
	t.Parallel()
	d := newRealDesk(t)
	every := func(says string) {
		t.Helper()
		for _, verb := range []string{"list", "list x", "describe x", "explain x", "explain runtime/x", "watch", "logs x", "tasks x", "invoke x --payload {}", "stop x", "wake --state Stopped"} {
			_, _, err := d.run(strings.Fields(verb)...)
			d.Expect(err).To(MatchError(ContainSubstring(says)), verb)
		}
	}
	d.become(admin)
	every("has no AgentSessions: install them with `kubectl apply -f dist/install.yaml`")
	_, err := envtest.InstallCRDs(d.config, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, MaxTime: patience})
	d.Expect(err).NotTo(HaveOccurred())
	_, said, err := d.run("list")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(said).To(Equal("No sessions found in default namespace.\n"))

	d.fill()
	for i := range 2 {
		d.Expect(d.client.Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("b", 1-i)}, Type: "Normal", Reason: "Idle", Message: fmt.Sprint("event ", i), LastTimestamp: *back(-time.Duration(i) * time.Minute),
			InvolvedObject: corev1.ObjectReference{Kind: "AgentSession", Namespace: "default", Name: "idle", UID: d.session("idle").UID},
		})).To(Succeed())
	}
	out, _, err := d.run("describe", "idle")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(MatchRegexp(`(?s)event 0\n.*event 1\n`), "in their order")

	d.become(envtest.User{Name: "somebody"})
	every(`ask who runs it for the right that this names: `)
	d.Expect(d.client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "viewer"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "somebody"}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "viewer"},
	})).To(Succeed())
	d.Expect(d.client.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "viewer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"agentsessions"}, Verbs: []string{"get", "list", "watch"}},
	}})).To(Succeed())
	d.Eventually(func() error { _, _, err := d.run("list"); return err }, patience).Should(Succeed())
	out, said, err = d.run("explain", "idle")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring("It is Idle"))
	d.Expect(said).To(HavePrefix("warning: its Events cannot be read, so less is told: you may not do that on the cluster"))
	_, _, err = d.run("stop", "idle", "--yes")
	d.Expect(err).To(MatchError(And(ContainSubstring("stop agentsession/idle: you may not do that"), ContainSubstring(`cannot patch resource "agentsessions"`))))
	d.runToFirstLine([]string{"watch"})
}
