package local

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/agentsession/agentsession/internal/local/kubeapi"
)

// TestAnothersKubeconfig: a file that somebody has put in the place of ours stays.
func TestAnothersKubeconfig(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	written := func() (p *platform) {
		g.Expect(os.WriteFile(file, []byte("ours"), 0o600)).To(Succeed())
		p = &platform{Options: Options{Kubeconfig: file}}
		var err error
		p.wrote, err = os.Stat(file)
		g.Expect(err).NotTo(HaveOccurred())
		return p
	}
	g.Expect(written().removeKubeconfig()).To(Succeed())
	g.Expect(file).NotTo(BeAnExistingFile())

	p := written()
	g.Expect(os.WriteFile(file+".new", []byte("another's"), 0o600)).To(Succeed())
	g.Expect(os.Rename(file+".new", file)).To(Succeed())
	g.Expect(p.removeKubeconfig()).To(Succeed())
	g.Expect(file).To(BeAnExistingFile())
}

// TestAKubeconfigThatIsLeft of a run that was killed is replaced, and no other file.
func TestAKubeconfigThatIsLeft(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	run := func() (p *platform, end func()) {
		api, err := kubeapi.Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		at, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		g.Expect(err).NotTo(HaveOccurred())
		return &platform{Options: Options{Kubeconfig: file}, api: api, at: at}, func() {
			g.Expect(at.Close()).To(Succeed())
			g.Expect(api.Stop()).To(Succeed())
		}
	}
	server := func() string {
		config, err := clientcmd.LoadFromFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		return config.Clusters[kubeapi.ContextName].Server
	}
	first, end := run()
	g.Expect(first.writeKubeconfig(t.Context())).To(Succeed())
	second, endSecond := run()
	defer endSecond()
	g.Expect(second.writeKubeconfig(t.Context())).To(MatchError(ContainSubstring("still runs at " + first.api.Config().Host)))
	end() // and its file is left
	g.Expect(second.writeKubeconfig(t.Context())).To(Succeed())
	g.Expect(server()).To(Equal(second.api.Config().Host))

	// Another server has the port meanwhile.
	third, endThird := run()
	defer endThird()
	moved, err := clientcmd.LoadFromFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	moved.Clusters[kubeapi.ContextName].Server = third.api.Config().Host
	g.Expect(clientcmd.WriteToFile(*moved, file)).To(Succeed())
	g.Expect(third.writeKubeconfig(t.Context())).To(Succeed())

	// Somebody has added to it, or it is no kubeconfig.
	added, err := clientcmd.LoadFromFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	added.Contexts["mine"] = clientcmdapi.NewContext()
	text, err := clientcmd.Write(*added)
	g.Expect(err).NotTo(HaveOccurred())
	fourth, endFourth := run()
	defer endFourth()
	for _, other := range [][]byte{text, []byte("mine"), nil} {
		g.Expect(os.WriteFile(file, other, 0o600)).To(Succeed())
		g.Expect(fourth.writeKubeconfig(t.Context())).To(MatchError(ContainSubstring("agentsession local has not written it")))
		g.Expect(os.ReadFile(file)).To(HaveLen(len(other)))
	}
}
