package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/buildinfo"
)

// A report is for a person to read, and to send.
const (
	// maxReported is how many objects of a kind are in it, of a namespace or of all.
	maxReported = 500
	// eventsFor is how long ago its Events were last seen. Of a namespace there are
	// apiserver.MaxEvents.
	eventsFor = 6 * time.Hour
	// logLines and logBytes are how much of the end of a log is in it.
	logLines, logBytes = 2000, 1 << 20
	// reportBytes is how much is in it, before it is compressed.
	reportBytes = 64 << 20
)

// reporter gathers what somebody else needs to see what is wrong.
type reporter struct {
	*cluster
	platform  client.Client
	discovery discovery.DiscoveryInterface
	all       bool // namespaces
	names     []string
	bundle    bundle
}

func (t *connection) newReport() *cobra.Command {
	r := &reporter{}
	var output string
	command := &cobra.Command{
		Use:   "report [NAME... | runtime/NAME...]",
		Short: "Write what an issue needs into a file, without secrets",
		Long: "Write sessions and runtimes (those that are named, or all of the namespace), their pods and Events, the Deployments, pods and logs of operator and gateway, " +
			"versions, and what explain says of those that are named, into a file for an issue. " +
			"What cannot be read is in its errors.txt.\n\n" +
			"No Secret is read. Values of environments and of probes' headers are taken out, and so is what looks like a token, a password or a key. " +
			"Names, images, messages and logs stay: read the file before you send it.\n\n" +
			fmt.Sprintf("It has at most %d objects of a kind, %d Events of a namespace, of the last %d hours, the last %d lines and %d MiB of a log, and %d MiB in all.",
				maxReported, apiserver.MaxEvents, int(eventsFor.Hours()), logLines, logBytes>>20, reportBytes>>20),
		Example:           examples(t, "report", "report research runtime/echo -n team-a --output research.tar.gz"),
		ValidArgsFunction: t.complete,
		RunE: func(command *cobra.Command, names []string) (err error) {
			if len(names) > 0 && r.all {
				return errors.New("names are of one namespace: leave out either them or --all-namespaces")
			}
			if command.Flags().Changed("output") && output == "" {
				return errors.New(`--output is "": give it the name of a file`)
			}
			if r.cluster, err = t.connect(command); err != nil {
				return err
			}
			if r.platform, r.discovery, err = r.wide(); err != nil {
				return err
			}
			r.names = slices.Compact(slices.Sorted(slices.Values(names)))
			if output == "" {
				output = "agentsession-report-" + r.now().UTC().Format("20060102T150405Z") + ".tar.gz"
			}
			if err := r.write(command.Context(), output); err != nil {
				return err
			}
			writeLines(command.OutOrStdout(), r.bundle.contents(output)...)
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "`file` to write, which must not be there; by default one named after the time")
	command.Flags().BoolVarP(&r.all, "all-namespaces", "A", false, "of all namespaces")
	return command
}

// write gathers a report into a file of the user's own. A file that is there stays as it is.
func (r *reporter) write(ctx context.Context, path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // it is the user's to say
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already, and is not written over: remove it, or give another --output", path)
	case err != nil:
		return fmt.Errorf("make the report: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := r.collect(ctx); err != nil {
		return err
	}
	if err := r.bundle.write(file, r.now()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// collect reads all that can be read.
func (r *reporter) collect(ctx context.Context) error {
	if err := r.versions(); err != nil {
		return err
	}
	r.explained(ctx)
	for _, s := range r.scopes(ctx) {
		r.scope(ctx, s)
	}
	r.installed(ctx)
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted: there is no report")
	}
	return nil
}

// versions tells of what there is to be known. If the API server does not answer, there is
// nothing to report.
func (r *reporter) versions() error {
	server := "unknown"
	info, err := r.discovery.ServerVersion()
	switch {
	case apierrors.IsForbidden(err):
		r.bundle.lacks("the API server's version", err)
	case err != nil:
		return r.inWords(err)
	default:
		server = info.GitVersion + " " + info.Platform
	}
	asked := "all of namespace " + r.namespace
	switch {
	case r.all:
		asked = "all namespaces"
	case len(r.names) > 0:
		asked = strings.Join(r.names, " ") + " in namespace " + r.namespace
	}
	r.bundle.text(fmt.Sprintf("%s: %s\nAPI server: %s\ntime: %s\nreported: %s\n", program, buildinfo.Version(), server, r.now().Format(time.RFC3339), asked), "versions.txt")
	return nil
}

// explained has what explain says of those that are named.
func (r *reporter) explained(ctx context.Context) {
	for _, name := range r.names {
		var out, said strings.Builder
		e := explainer{cluster: r.cluster, out: &out, err: &said}
		if err := e.explain(ctx, name); err != nil {
			r.bundle.lacks("explain "+name, err)
		}
		for line := range strings.Lines(said.String()) {
			r.bundle.errors = append(r.bundle.errors, "explain "+name+": "+line)
		}
		if out.Len() > 0 {
			r.bundle.text(out.String(), "explain", name+".txt")
		}
	}
}

// namesOf are the names of a kind that the user gave: those of sessions may be without one.
func (r *reporter) namesOf(kinds []string, bare bool) (names []string) {
	for _, given := range r.names {
		kind, name, typed := strings.Cut(given, "/")
		switch {
		case !typed && bare:
			names = append(names, given)
		case typed && slices.Contains(kinds, strings.ToLower(kind)):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
