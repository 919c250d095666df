package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"

	"github.com/agentsession/agentsession/config/crd"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	operatorFile = "dist/install.yaml"
	gatewayFile  = "dist/install-gateway.yaml"
	// leastVersion is the first of Kubernetes that has what is needed: selectable fields of
	// custom resources.
	leastVersion = "1.31"
)

// level is how much a finding matters.
type level string

const (
	passed  level = "ok"
	warning level = "warning"
	missing level = "missing"
)

var levelColours = map[level]string{passed: green, warning: yellow, missing: red}

// finding is what was looked at, and what of it is to be done.
type finding struct {
	level
	what, message string
}

// checker looks at what AgentSession needs of a cluster, or at what it has there.
type checker struct {
	*cluster
	// sessions is the cluster as the other verbs see it.
	sessions    *cluster
	discovery   discovery.DiscoveryInterface
	definitions []*apiextensionsv1.CustomResourceDefinition
	// release are the annotations of what Helm has installed; nil if it is not Helm's.
	release map[string]string
	found   []finding
}

func (t *connection) newCheck() *cobra.Command {
	var pre bool
	command := &cobra.Command{
		Use:   "check",
		Short: "Report what is missing on a cluster, before or after an install",
		Long: "Look at what AgentSession needs: with --pre at the cluster before an install, without at what was installed. " +
			"Each line is ok, warning or missing, with what was looked at and what to do. What you may not look at is a warning. Nothing is changed.\n\n" +
			"Exit status: 0, 1 if something is missing or the cluster cannot be reached.",
		Example: examples(t, "check --pre", "check"),
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			k, err := newChecker(c)
			if err != nil {
				return err
			}
			looks := k.after()
			if pre {
				looks = k.before()
			}
			if err := k.version(); err != nil {
				return err
			}
			if err := k.installable(); err != nil {
				return err
			}
			for _, look := range looks {
				look(command.Context())
			}
			return k.print(command.OutOrStdout())
		},
	}
	command.Flags().BoolVar(&pre, "pre", false, "look at what an install needs, before it")
	return command
}

func newChecker(c *cluster) (*checker, error) {
	own := *c
	k := &checker{cluster: &own, sessions: c}
	var err error
	if k.WithWatch, k.discovery, err = c.wide(); err != nil {
		return nil, err
	}
	if k.definitions, err = crd.Definitions(); err != nil {
		return nil, fmt.Errorf("read what this version installs: %w", err)
	}
	return k, nil
}

func (k *checker) add(l level, what, format string, values ...any) {
	k.found = append(k.found, finding{l, what, fmt.Sprintf(format, values...)})
}

// unseen says of something that it cannot be looked at.
func (k *checker) unseen(what string, err error) {
	k.add(warning, what, "cannot be looked at: %v", k.inWords(err))
}

// print writes what was found.
func (k *checker) print(out io.Writer) error {
	var rows [][]cell
	bad := 0
	for _, f := range k.found {
		if f.level == missing {
			bad++
		}
		rows = append(rows, append([]cell{{string(f.level), levelColours[f.level]}}, plain(f.what, lifecycle.Line(f.message, maxMessage))...))
	}
	writeLines(out, table(rows, paintFor(out))...)
	if bad > 0 {
		return fmt.Errorf("%d of %d are missing", bad, len(k.found))
	}
	return nil
}

// version looks at the API server's. If it does not answer, there is nothing more to look at.
func (k *checker) version() error {
	const what = "API server"
	info, err := k.discovery.ServerVersion()
	switch {
	case apierrors.IsForbidden(err):
		k.unseen(what, err)
		return nil
	case err != nil:
		return k.inWords(err)
	}
	at, err := utilversion.ParseGeneric(info.GitVersion)
	switch {
	case err != nil:
		k.add(warning, what, "it says that it is %q, which is no version: it must be Kubernetes %s at least", info.GitVersion, leastVersion)
	case !at.AtLeast(utilversion.MustParseGeneric(leastVersion)):
		k.add(missing, what, "it is %s, and must be Kubernetes %s at least: upgrade the cluster", info.GitVersion, leastVersion)
	default:
		k.add(passed, what, "it is %s", info.GitVersion)
	}
	return nil
}

// installable tells whether kinds can be installed at all.
func (k *checker) installable() error {
	_, err := k.discovery.ServerResourcesForGroupVersion(apiextensionsv1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the API server at %s has no CustomResourceDefinitions, so that nothing is installed there: it is no cluster's, as that of `%s local`", k.host, program)
	}
	return nil
}

// same tells whether a definition on the cluster has what this version installs.
func same(installed, definition *apiextensionsv1.CustomResourceDefinition) bool {
	return equality.Semantic.DeepEqual(installed.Spec.Versions, definition.Spec.Versions)
}

// countOf says how many there are of something.
func countOf(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
