package local

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/agentsession/agentsession/internal/explain"
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
	g.Expect(second.writeKubeconfig(t.Context())).To(MatchError(ContainSubstring("still runs at " + first.api.Config().Host + ". End that one, or name another file")))
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
		g.Expect(fourth.writeKubeconfig(t.Context())).To(MatchError(ContainSubstring("agentsession local has not written it. Name another file, or delete it")))
		g.Expect(os.ReadFile(file)).To(HaveLen(len(other)))
	}
}

// TestStartsAtOnce: of starts that find the same file of a run that was killed, one replaces it,
// and none removes what another has written.
func TestStartsAtOnce(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	start := func() *platform {
		api, err := kubeapi.Start(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		at, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = at.Close() })
		return &platform{Options: Options{Kubeconfig: file}, api: api, at: at}
	}
	killed := start()
	g.Expect(killed.writeKubeconfig(t.Context())).To(Succeed())
	g.Expect(killed.api.Stop()).To(Succeed())
	stale, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	runs := []*platform{start(), start(), start()}
	for range 30 {
		g.Expect(os.Remove(file)).To(Succeed())
		g.Expect(os.WriteFile(file, stale, 0o600)).To(Succeed())
		errs := make([]error, len(runs))
		var all sync.WaitGroup
		for i, run := range runs {
			all.Go(func() { errs[i] = run.writeKubeconfig(t.Context()) })
		}
		all.Wait()
		won := slices.IndexFunc(errs, func(err error) bool { return err == nil })
		g.Expect(won).NotTo(Equal(-1), "%v", errs)
		there, err := os.Stat(file)
		g.Expect(err).NotTo(HaveOccurred())
		for i, err := range errs {
			if i == won {
				g.Expect(os.SameFile(there, runs[i].wrote)).To(BeTrue())
				continue
			}
			g.Expect(err).To(MatchError(ContainSubstring("and it is not replaced")))
		}
	}
	for _, run := range runs {
		g.Expect(run.api.Stop()).To(Succeed())
	}
}

// TestCommandsOfThePage go to this run, whatever its file is called.
func TestCommandsOfThePage(t *testing.T) {
	g := NewWithT(t)
	g.Expect(toolsOf("/tmp/my project/it's.yaml")).To(Equal(explain.Tools{
		Laptop: true, Self: `agentsession --kubeconfig '/tmp/my project/it'\''s.yaml'`, Kubectl: `kubectl --kubeconfig '/tmp/my project/it'\''s.yaml'`,
	}))
	g.Expect(toolsOf("")).To(Equal(explain.Tools{Laptop: true}), "without a file none leads there")
}
