package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const pauseTag = "agentsession/pause:dev"

// node is a real one-node cluster on this machine, without Docker.
type node struct {
	dir string // all that it keeps
	run string // sockets and mounts: paths of sockets must be short
	processes
}

func newNode() (node, error) {
	dir := os.Getenv("AGENTSESSION_CLUSTER_DIR")
	if dir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if state == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return node{}, fmt.Errorf("find a place for the cluster: %w", err)
			}
			state = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(state, "agentsession", "cluster")
	}
	return node{
		dir: dir, run: "/run/agentsession",
		processes: processes{pids: filepath.Join(dir, "pids"), logs: filepath.Join(dir, "logs")},
	}, nil
}

func (n node) path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}
func (n node) socket() string { return n.run + "/containerd.sock" }

func (n node) exists() bool {
	_, err := os.Stat(n.pids)
	return err == nil
}

func (n node) kubeconfig() (string, error) {
	file := n.path("config", "admin.kubeconfig")
	if _, err := os.Stat(file); err != nil || !n.exists() {
		return "", errors.New("there is no cluster: run cluster up")
	}
	return file, nil
}

// kubectl runs the kubectl that was built with the cluster.
func (n node) kubectl(ctx context.Context, args ...string) (string, error) {
	dir, err := binaries()
	if err != nil {
		return "", err
	}
	return output(ctx, filepath.Join(dir, "kubectl"), append([]string{"--kubeconfig", n.path("config", "admin.kubeconfig")}, args...)...)
}

// builder is Docker only while there is no node to load into: who asks for
// images alone, and has Docker, looks for them there.
func (n node) builder(ctx context.Context) builder {
	if !n.exists() && hasDocker(ctx) {
		return docker
	}
	return buildah
}

func (n node) load(ctx context.Context, tags []string) error {
	if n.pid("containerd") == 0 {
		return errors.New("there is no cluster: run cluster up")
	}
	for _, tag := range tags {
		progress("Loading %s", tag)
		if err := importImage(ctx, n.socket(), tag); err != nil {
			return fmt.Errorf("load %s: %w", tag, err)
		}
	}
	return nil
}

func (n node) status(ctx context.Context) error {
	if !n.exists() {
		return errors.New("there is no cluster: run cluster up")
	}
	healthy := true
	for _, c := range n.components("") {
		pid := n.pid(c.name)
		healthy = healthy && pid != 0
		fmt.Printf("%-24s pid %-8d log %s\n", c.name, pid, n.log(c.name))
	}
	nodes, err := n.kubectl(ctx, "get", "nodes", "-o", "wide")
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	fmt.Printf("%s\nexport KUBECONFIG=%s\n", nodes, n.path("config", "admin.kubeconfig"))
	if !healthy {
		return errors.New("something has ended; cluster up makes it anew")
	}
	return nil
}

// up finds the node running, or makes it anew.
func (n node) up(ctx context.Context) error {
	if n.exists() {
		if n.healthy(ctx) {
			n.sayHow()
			return nil
		}
		progress("What is there of an earlier cluster does not work: taking it away")
		if err := n.down(ctx); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("a node on this machine takes root: run as root, or install Docker and kind")
	}
	if err := needPackages(ctx, "containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "buildah"); err != nil {
		return err
	}
	if err := n.make(ctx); err != nil {
		progress("That failed: taking away what was started")
		return errors.Join(err, n.down(context.WithoutCancel(ctx)))
	}
	n.sayHow()
	return nil
}

// sayHow tells how to use the cluster.
func (n node) sayHow() {
	progress("The cluster is up: export KUBECONFIG=%s", n.path("config", "admin.kubeconfig"))
	if dir, err := binaries(); err == nil && !onPath("kubectl") {
		progress("There is a kubectl for it: export PATH=%s:$PATH", dir)
	}
}

func (n node) healthy(ctx context.Context) bool {
	for _, c := range n.components("") {
		if n.pid(c.name) == 0 {
			return false
		}
	}
	return n.nodeReady(ctx) == nil
}

func (n node) nodeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ready, err := n.kubectl(ctx, "get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	if err == nil && ready != "True" {
		err = errors.New("the node is not Ready")
	}
	return err
}

func (n node) make(ctx context.Context) error {
	if err := n.noteHost(ctx); err != nil {
		return err
	}
	bin, err := needBinaries(ctx, "etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
	if err != nil {
		return err
	}
	for _, step := range []func() error{n.writeCertificates, n.writeConfigs} {
		if err := step(); err != nil {
			return err
		}
	}
	if _, err := output(ctx, "ip", "address", "replace", address+"/32", "dev", "lo"); err != nil {
		return fmt.Errorf("give the node an address: %w", err)
	}
	if err := makeCgroups(cgroups); err != nil {
		return err
	}
	if err := buildah.buildImages(ctx, image{pauseTag, "./hack/cluster/pause"}); err != nil {
		return err
	}
	if err := n.startComponents(ctx, bin); err != nil {
		return err
	}
	progress("Waiting for the node to be Ready")
	if err := n.await(ctx, "kubelet", func() error { return n.nodeReady(ctx) }); err != nil {
		return err
	}
	_, err = n.kubectl(ctx, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
	return err
}

func (n node) startComponents(ctx context.Context, bin string) error {
	for _, c := range n.components(bin) {
		progress("Starting %s", c.name)
		if err := n.start(c.name, exec.Command(c.path, c.args...)); err != nil { //nolint:noctx // it outlives us
			return err
		}
		if c.ready == nil {
			continue
		}
		if err := n.await(ctx, c.name, func() error { return c.ready(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// component is one program of the node.
type component struct {
	name, path string
	args       []string
	ready      func(context.Context) error // nil: nothing waits for it
}

// components in the order in which they start.
func (n node) components(bin string) []component {
	etcd := "http://127.0.0.1:12379"
	config := func(user string) string { return "--kubeconfig=" + n.path("config", user+".kubeconfig") }
	pki := func(file string) string { return n.path("pki", file) }
	in := func(name string) string { return filepath.Join(bin, name) }
	return []component{
		{"etcd", in("etcd"), []string{
			"--data-dir=" + n.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
			"--listen-peer-urls=http://127.0.0.1:12380", "--initial-advertise-peer-urls=http://127.0.0.1:12380",
			"--initial-cluster=default=http://127.0.0.1:12380",
		}, nil},
		{"kube-apiserver", in("kube-apiserver"), []string{
			"--etcd-servers=" + etcd, "--bind-address=" + address, "--advertise-address=" + address, fmt.Sprintf("--secure-port=%d", port),
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
			"--kubelet-preferred-address-types=InternalIP", "--service-cluster-ip-range=10.96.0.0/16",
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + pki("service-account.key"),
			"--service-account-signing-key-file=" + pki("service-account.key"), "--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction", "--allow-privileged", "--audit-policy-file=" + n.path("config", "audit.yaml"),
			"--audit-log-path=" + n.path("logs", "audit.log"), "--audit-log-maxsize=100", "--audit-log-maxbackup=1",
		}, func(ctx context.Context) error { _, err := n.kubectl(ctx, "get", "--raw=/readyz"); return err }},
		{"kube-controller-manager", in("kube-controller-manager"), []string{
			config("controller-manager"), "--leader-elect=false", "--secure-port=0", "--use-service-account-credentials",
			"--service-account-private-key-file=" + pki("service-account.key"), "--root-ca-file=" + pki("ca.crt"),
		}, nil},
		{"kube-scheduler", in("kube-scheduler"), []string{config("scheduler"), "--leader-elect=false", "--secure-port=0"}, nil},
		{
			"containerd", "/usr/bin/containerd",
			[]string{"--config", n.path("config", "containerd.toml")},
			func(ctx context.Context) error { return importImage(ctx, n.socket(), pauseTag) },
		},
		{"kubelet", in("kubelet"), []string{
			config("kubelet"), "--config=" + n.path("config", "kubelet.yaml"), "--root-dir=" + n.path("kubelet"),
			"--cert-dir=" + n.path("kubelet-pki"), "--hostname-override=" + nodeName, "--node-ip=" + address,
		}, nil},
		{"kube-proxy", in("kube-proxy"), []string{"--config=" + n.path("config", "kube-proxy.yaml")}, serviceReachable},
	}
}

// serviceReachable: kube-proxy has made the way to the API server's service.
func serviceReachable(ctx context.Context) error {
	rules, err := output(ctx, "iptables", "-w", "-t", "nat", "-S", "KUBE-SERVICES")
	if err == nil && !strings.Contains(rules, service+"/32") {
		err = errors.New("there is no way yet to the API server's service")
	}
	return err
}

// strays are directories that the kubelet and containerd make outside of ours,
// whatever they are told.
var strays = []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods", "/etc/cni", "/opt/containerd", "/run/containerd"}

const (
	forwarding = "/proc/sys/net/ipv4/ip_forward"
	bootID     = "/proc/sys/kernel/random/boot_id"
)

// noteHost remembers what of the machine is to be put back. It refuses, and notes
// nothing, where down could not tell what is ours from what is another's.
func (n node) noteHost(ctx context.Context) error {
	if taken, err := output(ctx, "ip", "-o", "address", "show", "to", address); err == nil && taken != "" {
		return fmt.Errorf("the address %s is on this machine already: %s", address, taken)
	}
	if err := refuseForeignChains(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(n.pids, 0o700); err != nil {
		return fmt.Errorf("make a place for the cluster: %w", err)
	}
	if err := os.MkdirAll(n.run, 0o700); err != nil {
		return fmt.Errorf("make a place for the sockets: %w", err)
	}
	var here []string
	for _, dir := range strays {
		if _, err := os.Stat(dir); err == nil {
			here = append(here, dir)
		}
	}
	if err := os.WriteFile(n.path("strays-before"), []byte(strings.Join(here, "\n")), 0o600); err != nil {
		return fmt.Errorf("note what is there: %w", err)
	}
	value, err := os.ReadFile(forwarding)
	if err != nil {
		return fmt.Errorf("note what is there: %w", err)
	}
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return fmt.Errorf("note when the machine started: %w", err)
	}
	if err := os.WriteFile(n.path("boot"), boot, 0o600); err != nil {
		return fmt.Errorf("note when the machine started: %w", err)
	}
	return os.WriteFile(n.path("forwarding-before"), value, 0o600)
}
