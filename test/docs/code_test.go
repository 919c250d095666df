package docs_test

import (
	"bytes"
	"context"
	"go/format"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
	"github.com/agentsession/agentsession/internal/local/kubeapi"
	"github.com/agentsession/agentsession/test/docs"
)

// blocks returns the blocks of all pages in a language.
func blocks(t *testing.T, language string) (all []docs.Block) {
	t.Helper()
	for page, text := range pages(t) {
		for _, block := range docs.Blocks(page, text) {
			if block.Language == language {
				all = append(all, block)
			}
		}
	}
	return all
}

// TestManifests: an API server takes the sessions and runtimes that the pages show, with
// nothing unknown in them.
func TestManifests(t *testing.T) {
	g, seen := NewWithT(t), 0
	server, err := kubeapi.Start(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(server.Stop()).To(Succeed()) })
	api, err := client.New(server.Config(), client.Options{Scheme: controllers.ManagerOptions().Scheme})
	g.Expect(err).NotTo(HaveOccurred())
	for _, block := range blocks(t, "yaml") {
		for document := range strings.SplitSeq(block.Text, "\n---\n") {
			object := &unstructured.Unstructured{}
			if !strings.Contains(document, v1alpha1.GroupVersion.Group+"/") || yaml.Unmarshal([]byte(document), &object.Object) != nil {
				continue
			}
			if object.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
				continue
			}
			seen++
			object.SetNamespace("default")
			g.Expect(create(t.Context(), api, object)).To(Succeed(), "%s\n%s", block.Page, document)
		}
	}
	g.Expect(seen).To(BeNumerically(">=", 5))
}

func create(ctx context.Context, api client.Client, object client.Object) error {
	return api.Create(ctx, object, client.DryRunAll, client.FieldValidation("Strict"))
}

// TestYAML: what the pages show as YAML is.
func TestYAML(t *testing.T) {
	g := NewWithT(t)
	for _, block := range blocks(t, "yaml") {
		var read any
		g.Expect(yaml.UnmarshalStrict([]byte(block.Text), &read)).To(Succeed(), "%s\n%s", block.Page, block.Text)
	}
}

// TestGo: what the pages show as Go is, and is formatted.
func TestGo(t *testing.T) {
	g, all := NewWithT(t), blocks(t, "go")
	g.Expect(len(all)).To(BeNumerically(">=", 5))
	for _, block := range all {
		formatted, err := format.Source([]byte(block.Text))
		g.Expect(err).NotTo(HaveOccurred(), "%s\n%s", block.Page, block.Text)
		g.Expect(string(bytes.TrimSpace(formatted))).To(Equal(strings.TrimSpace(block.Text)), block.Page)
	}
}
