package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
)

func TestCertificates(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	n := node{dir: dir}
	g.Expect(n.writeCertificates()).To(Succeed())
	read := func(name string) *x509.Certificate {
		raw, err := os.ReadFile(filepath.Join(dir, "pki", name+".crt"))
		g.Expect(err).NotTo(HaveOccurred())
		block, _ := pem.Decode(raw)
		cert, err := x509.ParseCertificate(block.Bytes)
		g.Expect(err).NotTo(HaveOccurred())
		return cert
	}
	roots := x509.NewCertPool()
	roots.AddCert(read("ca"))
	for _, name := range []string{address, service, "localhost", "127.0.0.1", "kubernetes.default.svc"} {
		_, err := read("apiserver").Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		g.Expect(err).NotTo(HaveOccurred(), name)
	}
	_, err := read("apiserver").Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"})
	g.Expect(err).To(HaveOccurred())
	kubelet := read("kubelet")
	_, err = kubelet.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kubelet.Subject.CommonName).To(Equal("system:node:" + nodeName))
	g.Expect(kubelet.Subject.Organization).To(Equal([]string{"system:nodes"}))
	info, err := os.Stat(filepath.Join(dir, "pki", "ca.key"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
}

func TestConfigsRender(t *testing.T) {
	g := NewWithT(t)
	n := node{dir: t.TempDir(), run: "/run/x"}
	g.Expect(n.writeConfigs()).To(Succeed())
	raw, err := os.ReadFile(n.path("config", "kubelet.kubeconfig"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(raw)).To(And(ContainSubstring("https://10.97.0.1:16443"), ContainSubstring(n.path("pki", "kubelet.crt"))))
	raw, err = os.ReadFile(n.path("config", "containerd.toml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(raw)).To(And(ContainSubstring(`address = "/run/x/containerd.sock"`), ContainSubstring("restrict_oom_score_adj = true")))
}

func TestProcessesAreStoppedByIdAndStartTime(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	p := processes{pids: filepath.Join(dir, "pids"), logs: filepath.Join(dir, "logs")}
	g.Expect(p.pid("sleeper")).To(BeZero(), "never started")
	g.Expect(p.start("sleeper", exec.Command("sleep", "600"))).To(Succeed())
	pid := p.pid("sleeper")
	g.Expect(pid).NotTo(BeZero())

	// A recycled id belongs to somebody else: he is not ours to stop.
	g.Expect(os.WriteFile(p.file("other"), []byte(strconv.Itoa(pid)+" 1"), 0o600)).To(Succeed())
	g.Expect(p.pid("other")).To(BeZero())
	g.Expect(p.stop("other")).To(Succeed())
	g.Expect(p.pid("sleeper")).To(Equal(pid))

	g.Expect(p.stop("sleeper")).To(Succeed())
	g.Expect(p.pid("sleeper")).To(BeZero())
	g.Expect(p.stop("sleeper")).To(Succeed(), "twice is no harm")
}

func TestAProgramThatEndsTellsItsLastWords(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	p := processes{pids: filepath.Join(dir, "pids"), logs: filepath.Join(dir, "logs")}
	err := p.start("broken", exec.Command("sh", "-c", "echo the disk is full >&2; exit 1"))
	if err == nil {
		err = p.await(t.Context(), "broken", func() error { return os.ErrDeadlineExceeded })
	}
	g.Expect(err).To(MatchError(ContainSubstring("the disk is full")))
}

func TestChosen(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("AGENTSESSION_CLUSTER_DIR", t.TempDir())
	t.Setenv("USE_CLUSTER", "current")
	g.Expect(chosen(t.Context())).To(Equal(current{}))
	t.Setenv("USE_CLUSTER", "mine")
	_, err := chosen(t.Context())
	g.Expect(err).To(MatchError(ContainSubstring(`USE_CLUSTER is "mine"`)))
	g.Expect(run(t.Context(), nil)).To(MatchError(ContainSubstring("say one of up")))
	t.Setenv("USE_CLUSTER", "current")
	g.Expect(run(t.Context(), []string{"image", "only-a-tag"})).To(MatchError(ContainSubstring("pairs of a tag and a package")))
}
