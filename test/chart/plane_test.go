package chart

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// patience is how long a test waits for what has to come, on a busy machine.
const patience = 2 * time.Minute

// auditPolicy logs what operator, gateway and node probers ask for.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived] # a watch that goes on has begun to be answered
rules:
- level: Metadata
  users:
  - system:serviceaccount:agentsession-system:agentsession-operator
  - system:serviceaccount:agentsession-system:agentsession-gateway
  - system:serviceaccount:agentsession-system:agentsession-node-prober
- {level: None}
`

// plane is an API server without controllers and nodes.
type plane struct {
	api         client.WithWatch // may do everything
	config      *rest.Config
	environment *envtest.Environment
	kubeconfig  string // of the same user
	auditLog    string
}

func startPlane(t *testing.T, crds ...*apiextensionsv1.CustomResourceDefinition) *plane {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to what `go run ./hack/cluster assets` prints")
	}
	ctrl.SetLogger(logr.Discard())
	g, files := NewWithT(t), t.TempDir()
	p := &plane{auditLog: filepath.Join(files, "audit.log")}
	g.Expect(os.WriteFile(filepath.Join(files, "policy.yaml"), []byte(auditPolicy), 0o600)).To(Succeed())
	p.environment = &envtest.Environment{
		CRDs: crds, UseExistingCluster: new(false), // whatever the environment says
		ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
	}
	p.environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", filepath.Join(files, "policy.yaml")).Set("audit-log-path", p.auditLog)
	t.Cleanup(func() { g.Expect(p.environment.Stop()).To(Succeed()) })
	var err error
	p.config, err = p.environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	p.config.QPS = -1
	scheme := controllers.ManagerOptions().Scheme
	g.Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	p.api, err = client.NewWithWatch(p.config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	p.kubeconfig = p.user(t, "admin", "system:masters")
	return p
}

// user makes one, and returns the path of his kubeconfig.
func (p *plane) user(t *testing.T, name string, groups ...string) string {
	t.Helper()
	g := NewWithT(t)
	user, err := p.environment.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := user.KubeConfig()
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
	return path
}

// helm runs it on this API server, and expects it to succeed.
func (p *plane) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, append(args, "--kubeconfig", p.kubeconfig, "--namespace", namespace)...)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	return out
}

func (p *plane) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append(args, "--kubeconfig", p.kubeconfig)...)
	out, err := command.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

// uids are those of objects that are there; the others are missing.
func (p *plane) uids(t *testing.T, all map[string]*unstructured.Unstructured) (there map[string]types.UID, missing []string) {
	t.Helper()
	there = map[string]types.UID{}
	for key, object := range all {
		now := object.DeepCopy()
		err := p.api.Get(t.Context(), client.ObjectKeyFromObject(object), now)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, key)
		case err != nil:
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), key)
		default:
			there[key] = now.GetUID()
		}
	}
	return there, missing
}

func (p *plane) createNamespace(t *testing.T, name string) {
	t.Helper()
	NewWithT(t).Expect(p.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
}

// session makes one, with the shortest idle timeout.
func (p *plane) session(ctx context.Context, in, name string, port int32) (*v1alpha1.AgentSession, error) {
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name},
		Spec: v1alpha1.AgentSessionSpec{
			Template:               agentTemplate(),
			LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 60},
			Ping:                   v1alpha1.PingSpec{Port: port},
		},
	}
	if err := p.api.Create(ctx, session); err != nil {
		return nil, fmt.Errorf("create session %s/%s: %w", in, name, err)
	}
	return session, nil
}

func agentTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}}
}

// copyOf is a copy of the chart of which change may change the files.
func copyOf(t *testing.T, change func(path string, text []byte) []byte) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "agentsession")
	NewWithT(t).Expect(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), change(name, text), 0o600)
	})).To(Succeed())
	return to
}
