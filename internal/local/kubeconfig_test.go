package local

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
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
