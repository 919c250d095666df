package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed config
var configs embed.FS

// address is the node's and the API server's own: on loopback, and not in
// 127.0.0.0/8, so that pods reach it.
const (
	address  = "10.97.0.1"
	port     = 16443
	service  = "10.96.0.1" // of the API server, the first of 10.96.0.0/16
	nodeName = "agentsession"
	bridge   = "agentsession0"
)

// writeConfigs renders the files of hack/cluster/config into the node's
// directory.
func (n node) writeConfigs() error {
	values := map[string]any{
		"Dir": n.dir, "Run": n.run, "Socket": n.socket(), "Address": address, "Port": port, "Node": nodeName, "Bridge": bridge,
		"Pause": reference(pauseTag), "Cgroup": cgroup,
	}
	for name, target := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml",
		"audit.yaml": "audit.yaml", "cni.conflist": "cni/10-bridge.conflist",
	} {
		if err := n.render(name, target, values); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "controller-manager", "scheduler", "kubelet", "kube-proxy"} {
		values["User"] = user
		if err := n.render("kubeconfig", user+".kubeconfig", values); err != nil {
			return err
		}
	}
	return nil
}

func (n node) render(name, target string, values any) error {
	t, err := template.ParseFS(configs, "config/"+name)
	if err != nil {
		return fmt.Errorf("read the template %s: %w", name, err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	path := n.path("config", target)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	return nil
}

// writeCertificates makes the authority and all that it signs.
func (n node) writeCertificates() error {
	a, err := newAuthority(n.path("pki"))
	if err != nil {
		return err
	}
	if _, err := a.writeKey("service-account"); err != nil {
		return err
	}
	if err := a.server("apiserver", address, service, "127.0.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	for _, c := range []struct{ file, user, group string }{
		{"admin", "admin", "system:masters"},
		{"apiserver-kubelet", "apiserver", "system:masters"},
		{"controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"},
		{"scheduler", "system:kube-scheduler", "system:kube-scheduler"},
		{"kube-proxy", "system:kube-proxy", "system:node-proxier"},
		{"kubelet", "system:node:" + nodeName, "system:nodes"},
	} {
		if err := a.client(c.file, c.user, c.group); err != nil {
			return err
		}
	}
	return nil
}
