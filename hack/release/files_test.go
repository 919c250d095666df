package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

func TestArchive(t *testing.T) {
	g, r := NewWithT(t), made[0]
	for _, p := range r.platforms {
		files, err := readTarGz(r.path(r.archive(p)))
		g.Expect(err).NotTo(HaveOccurred())
		modes := map[string]int64{}
		for _, f := range files {
			modes[f.name] = f.mode
		}
		g.Expect(modes).To(Equal(map[string]int64{"LICENSE": 0o644, "README.md": 0o644, "agentsession": 0o755}))
		g.Expect(slices.Equal(files[2].data, read(t, r.path("agentsession_"+tried+"_"+p.os+"_"+p.arch)))).To(BeTrue(), "the archive's program is that of the release")
	}
}

// TestKrew: all platforms, and what krew checks of a manifest.
func TestKrew(t *testing.T) {
	g := NewWithT(t)
	r := release{dir: t.TempDir(), version: "v0.1.0", platforms: platforms}
	for _, p := range platforms {
		g.Expect(os.WriteFile(r.path(r.archive(p)), []byte(p.os+p.arch), 0o644)).To(Succeed())
	}
	g.Expect(r.writeKrew(t.Context())).To(Succeed())
	raw := read(t, r.path("krew.yaml"))
	var plugin krewPlugin
	g.Expect(yaml.UnmarshalStrict(raw, &plugin)).To(Succeed())
	g.Expect(plugin.APIVersion).To(Equal("krew.googlecontainertools.github.com/v1alpha2"))
	g.Expect(plugin.Kind).To(Equal("Plugin"))
	g.Expect(plugin.Metadata).To(Equal(map[string]string{"name": "agentsession"}))
	g.Expect(plugin.Spec.Version).To(Equal("v0.1.0"))
	g.Expect(plugin.Spec.ShortDescription).To(And(Not(BeEmpty()), Not(ContainSubstring("\n")), Not(HaveSuffix("."))))
	g.Expect(len(plugin.Spec.ShortDescription)).To(BeNumerically("<=", 50), "krew's guide")
	seen := map[string]string{}
	for _, p := range plugin.Spec.Platforms {
		labels := p.Selector.MatchLabels
		g.Expect(slices.Sorted(maps.Keys(labels))).To(Equal([]string{"arch", "os"}))
		g.Expect(p.Bin).To(Equal("agentsession"))
		name := filepath.Base(p.URI)
		g.Expect(p.URI).To(Equal("https://github.com/agentsession/agentsession/releases/download/v0.1.0/" + name))
		g.Expect(sumOf(r.path(name))).To(Equal(p.SHA256))
		seen[labels["os"]+"/"+labels["arch"]] = name
	}
	g.Expect(seen).To(Equal(map[string]string{
		"darwin/amd64": "agentsession_v0.1.0_darwin_amd64.tar.gz", "darwin/arm64": "agentsession_v0.1.0_darwin_arm64.tar.gz",
		"linux/amd64": "agentsession_v0.1.0_linux_amd64.tar.gz", "linux/arm64": "agentsession_v0.1.0_linux_arm64.tar.gz",
	}))
}

var anImage = regexp.MustCompile(`(?m)^ *(?:- )?image: (\S+)$`)

// TestInstallFiles: they are dist/, but for the tags of the images.
func TestInstallFiles(t *testing.T) {
	for name, images := range map[string][]string{
		"install.yaml":            {"agentsession/operator"},
		"install-node.yaml":       {"agentsession/operator", "agentsession/operator"},
		"install-gateway.yaml":    {"agentsession/gateway"},
		"install-monitoring.yaml": nil,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			text := string(read(t, made[0].path(name)))
			var found []string
			for _, match := range anImage.FindAllStringSubmatch(text, -1) {
				image, ok := strings.CutSuffix(match[1], ":"+tried)
				g.Expect(ok).To(BeTrue(), match[1])
				found = append(found, image)
			}
			g.Expect(found).To(Equal(images))
			g.Expect(strings.ReplaceAll(text, ":"+tried+"\n", ":dev\n")).To(Equal(string(read(t, filepath.Join("../../dist", name)))))
		})
	}
	g := NewWithT(t)
	r := release{top: t.TempDir(), dir: t.TempDir(), version: tried}
	g.Expect(r.writeInstallFiles(t.Context())).To(MatchError(ContainSubstring("has no install files")))
	g.Expect(os.Mkdir(filepath.Join(r.top, "dist"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(r.top, "dist/install.yaml"), []byte("image: agentsession/proxy:dev\n"), 0o644)).To(Succeed())
	g.Expect(r.writeInstallFiles(t.Context())).To(MatchError(ContainSubstring("none of the release's")))
}

func TestChart(t *testing.T) {
	g := NewWithT(t)
	files, err := readTarGz(made[0].path("agentsession-0.9.0-rc.1.tgz"))
	g.Expect(err).NotTo(HaveOccurred())
	byName := map[string][]byte{}
	for _, f := range files {
		byName[f.name] = f.data
	}
	var chart struct{ Name, Version, AppVersion string }
	g.Expect(yaml.Unmarshal(byName["agentsession/Chart.yaml"], &chart)).To(Succeed())
	g.Expect(chart).To(HaveField("Name", "agentsession"))
	g.Expect(chart).To(And(HaveField("Version", "0.9.0-rc.1"), HaveField("AppVersion", tried)))
	g.Expect(byName).To(And(HaveKey("agentsession/values.yaml"), HaveKey("agentsession/values.schema.json"), HaveKey("agentsession/templates/operator.yaml")))
	g.Expect(byName).NotTo(HaveKey(HavePrefix("agentsession/ci/")))
}

// TestImages: they are what the Dockerfile's stages make.
func TestImages(t *testing.T) {
	dockerfile := string(read(t, "../../Dockerfile"))
	for _, name := range []string{"operator", "gateway"} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			index := openImage(t, made[0].path("agentsession-"+name+"_"+tried+"_image.tar"))
			manifest, err := index.IndexManifest()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(manifest.Manifests).To(HaveLen(1))
			g.Expect(manifest.Manifests[0].Platform).To(Equal(&v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
			image, err := index.Image(manifest.Manifests[0].Digest)
			g.Expect(err).NotTo(HaveOccurred())
			config, err := image.ConfigFile()
			g.Expect(err).NotTo(HaveOccurred())
			entrypoint, err := json.Marshal(config.Config.Entrypoint)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(dockerfile).To(ContainSubstring("FROM scratch AS " + name + "\nCOPY --from=built /out/" + name + " /" + name +
				"\nUSER " + config.Config.User + "\nENTRYPOINT " + string(entrypoint) + "\n"))
			g.Expect(config.Config.Labels).To(HaveKeyWithValue("org.opencontainers.image.version", tried))
			g.Expect(config.Architecture).To(Equal(runtime.GOARCH))
			files, err := readTar(mutate.Extract(image))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(files).To(HaveLen(1))
			g.Expect(files[0].name).To(Equal(name))
			g.Expect(files[0].mode).To(BeEquivalentTo(0o755))
			g.Expect(slices.Equal(files[0].data, read(t, made[0].path("agentsession-"+name+"_"+tried+"_linux_"+runtime.GOARCH)))).To(BeTrue())
		})
	}
}

// TestImagesOfAllArchitectures: one name, and each node takes the program of its own.
func TestImagesOfAllArchitectures(t *testing.T) {
	g := NewWithT(t)
	r := release{dir: t.TempDir(), version: tried, platforms: platforms}
	for _, p := range platforms {
		for _, file := range []string{"agentsession-operator", "agentsession-gateway"} {
			g.Expect(os.WriteFile(r.path(r.binary(file, p)), []byte(file+p.os+p.arch), 0o755)).To(Succeed())
		}
	}
	g.Expect(r.makeImages(t.Context())).To(Succeed())
	index := openImage(t, r.path("agentsession-gateway_"+tried+"_image.tar"))
	manifest, err := index.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	programs := map[string]string{}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		g.Expect(err).NotTo(HaveOccurred())
		files, err := readTar(mutate.Extract(image))
		g.Expect(err).NotTo(HaveOccurred())
		programs[m.Platform.String()] = string(files[0].data)
	}
	g.Expect(programs).To(Equal(map[string]string{"linux/amd64": "agentsession-gatewaylinuxamd64", "linux/arm64": "agentsession-gatewaylinuxarm64"}))
}

// openImage unpacks an OCI archive, and returns the index that it names.
func openImage(t *testing.T, path string) v1.ImageIndex {
	t.Helper()
	g, dir := NewWithT(t), t.TempDir()
	files, err := readTar(bytes.NewReader(read(t, path)))
	g.Expect(err).NotTo(HaveOccurred())
	for _, f := range files {
		to := filepath.Join(dir, f.name)
		g.Expect(os.MkdirAll(filepath.Dir(to), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(to, f.data, 0o644)).To(Succeed())
	}
	outer, err := layout.ImageIndexFromPath(dir)
	g.Expect(err).NotTo(HaveOccurred())
	manifest, err := outer.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifest.Manifests).To(HaveLen(1))
	g.Expect(manifest.Manifests[0].Annotations).To(HaveKeyWithValue("org.opencontainers.image.ref.name", tried))
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(validate.Index(index)).To(Succeed())
	return index
}

// TestWorkflow: it publishes the files under the names that they have.
func TestWorkflow(t *testing.T) {
	g, raw := NewWithT(t), read(t, "../../.github/workflows/release.yaml")
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Run string }
		}
	}
	g.Expect(yaml.Unmarshal(raw, &workflow)).To(Succeed())
	var commands []string
	for _, step := range workflow.Jobs["make"].Steps {
		commands = append(commands, step.Run)
	}
	g.Expect(commands).To(ContainElements("make release-check", "make release"))
	var pushes string
	for _, step := range workflow.Jobs["publish"].Steps {
		pushes += step.Run
	}
	named := strings.NewReplacer("${name}", "operator", "$name", "operator", "${VERSION}", tried, "$VERSION", tried).Replace(pushes)
	g.Expect(named).To(ContainSubstring(`"oci-archive:` + made[0].imageFile("agentsession-operator") + ":" + tried + `" "docker://docker.io/agentsession/operator:` + tried + `"`))
	g.Expect(named).To(And(ContainSubstring("sha256sum -c "+sumsFile), ContainSubstring("--notes-file NOTES.md")))
}

func TestSBOM(t *testing.T) {
	g, r := NewWithT(t), made[0]
	name := r.path("agentsession-operator_" + tried + "_linux_" + runtime.GOARCH)
	f, err := os.Open(name + ".cdx.json")
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	var bom cdx.BOM
	g.Expect(cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom)).To(Succeed())
	main := bom.Metadata.Component
	g.Expect(main.PackageURL).To(Equal("pkg:golang/github.com/agentsession/agentsession@" + tried + "#cmd/operator"))
	sum, err := sumOf(name)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(*main.Hashes).To(ConsistOf(cdx.Hash{Algorithm: cdx.HashAlgoSHA256, Value: sum}))
	versions := map[string]string{}
	for _, c := range *bom.Components {
		versions[c.Name] = c.Version
	}
	g.Expect(versions).To(And(HaveKeyWithValue("std", strings.TrimPrefix(runtime.Version(), "go")),
		HaveKeyWithValue("sigs.k8s.io/controller-runtime", HavePrefix("v0.")),
		HaveKeyWithValue("github.com/agentsession/agentsession/agent-runtime", tried)))
	g.Expect(versions).NotTo(HaveKey("github.com/onsi/gomega"), "what only tests need is in no binary")
	g.Expect((*bom.Dependencies)[0].Ref).To(Equal(main.BOMRef))
	g.Expect(*(*bom.Dependencies)[0].Dependencies).To(HaveLen(len(*bom.Components)))
}
