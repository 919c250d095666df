package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// current is the cluster of the current kubeconfig.
type current struct{}

// builder is Docker where it is: every way into a cluster that is known here
// leads from there.
func (current) builder(ctx context.Context) builder {
	if hasDocker(ctx) {
		return docker
	}
	return buildah
}

func (current) up(ctx context.Context) error {
	if _, err := output(ctx, "kubectl", "get", "--raw=/readyz"); err != nil {
		return fmt.Errorf("USE_CLUSTER=current, and the cluster of the current kubeconfig does not answer: %w", err)
	}
	progress("Using the cluster of the current kubeconfig")
	return nil
}

func (current) load(ctx context.Context, tags []string) error {
	name, err := output(ctx, "kubectl", "config", "current-context")
	if err != nil {
		return err
	}
	if !hasDocker(ctx) {
		return fmt.Errorf("there is no Docker engine here, whose images could be loaded into the cluster %s: push them to a registry that it reaches", name)
	}
	profiles := minikubeProfiles(ctx)
	for _, tag := range tags {
		command, known := loading(name, profiles, tag)
		switch {
		case !known:
			return fmt.Errorf("cannot load images into the cluster %s: push them to a registry that it reaches", name)
		case len(command) == 0:
			runtimes, err := runtimesOf(ctx, name)
			if err != nil {
				return err
			}
			says, err := shared(name, runtimes, tag)
			if err != nil {
				return err
			}
			progress("%s", says)
			continue
		case !onPath(command[0]):
			return fmt.Errorf("images get into the cluster %s by %s, and that is not on the PATH", name, command[0])
		}
		if err := slowly(ctx, "Loading "+tag, exec.CommandContext(ctx, command[0], command[1:]...)); err != nil {
			return err
		}
	}
	return nil
}

// dockerDesktop is the context of Docker Desktop's cluster, which its kubeadm or its
// kind has made.
const dockerDesktop = "docker-desktop"

// sharing are the contexts of clusters that may run on the images of Docker itself.
var sharing = []string{dockerDesktop, "orbstack", "rancher-desktop", "colima"}

// runtimesOf are the container runtimes of a cluster's nodes, as containerd://2.0.3.
func runtimesOf(ctx context.Context, name string) ([]string, error) {
	all, err := output(ctx, "kubectl", "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.containerRuntimeVersion}")
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the nodes of the cluster %s for their container runtime: %w", name, err)
	case all == "":
		return nil, fmt.Errorf("the cluster %s has no nodes", name)
	}
	return strings.Fields(all), nil
}

// shared says how nodes that nothing is loaded into come to an image of Docker's; an
// error if they do not. The name of the context does not tell: their runtimes do.
func shared(name string, runtimes []string, tag string) (says string, err error) {
	other := slices.IndexFunc(runtimes, func(runtime string) bool { return !strings.HasPrefix(runtime, "docker://") })
	switch {
	case other < 0:
		return fmt.Sprintf("The cluster %s uses Docker's own images: %s is there", name, tag), nil
	case name == dockerDesktop:
		return fmt.Sprintf("Nothing is loaded into the cluster %s: its nodes (%s) pull %s from Docker Desktop, if it keeps images in containerd, "+
			"which is a setting of its own. Otherwise choose kubeadm for its cluster", name, runtimes[other], tag), nil
	}
	return "", fmt.Errorf("the cluster %s has nodes that do not use Docker's images (%s): choose Docker's engine (dockerd, moby) as its container runtime, "+
		"or push %s to a registry that it reaches", name, runtimes[other], tag)
}

// loading is the command that makes an image of Docker's usable on the cluster
// of a kubeconfig's context; none if its nodes may share Docker's. profiles are
// minikube's, whose contexts have their names.
func loading(name string, profiles []string, tag string) (command []string, known bool) {
	kindCluster, isKind := strings.CutPrefix(name, "kind-")
	k3dCluster, isK3d := strings.CutPrefix(name, "k3d-")
	switch {
	case name == "minikube" || slices.Contains(profiles, name):
		return []string{"minikube", "--profile", name, "image", "load", tag}, true
	case isKind:
		return []string{"kind", "load", "docker-image", "--name", kindCluster, tag}, true
	case isK3d:
		return []string{"k3d", "image", "import", "--cluster", k3dCluster, tag}, true
	case slices.Contains(sharing, name) || strings.HasPrefix(name, "colima-"):
		return nil, true
	}
	return nil, false
}

// minikubeProfiles are the names of minikube's clusters, where it is there.
func minikubeProfiles(ctx context.Context) []string {
	if !onPath("minikube") {
		return nil
	}
	raw, err := output(ctx, "minikube", "profile", "list", "--light", "--output=json")
	if err != nil {
		return nil // it has none, and says so by an error
	}
	return profilesOf(raw)
}

func profilesOf(raw string) (names []string) {
	var list struct{ Valid, Invalid []struct{ Name string } }
	if json.Unmarshal([]byte(raw), &list) != nil {
		return nil // another minikube's words: only its usual name is known then
	}
	for _, profile := range append(list.Valid, list.Invalid...) {
		names = append(names, profile.Name)
	}
	return names
}

func (current) kubeconfig() (string, error) {
	if file := os.Getenv("KUBECONFIG"); file != "" {
		return file, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".kube", "config"), err
}

func (c current) status(ctx context.Context) error { return c.up(ctx) }

func (current) down(context.Context) error {
	progress("USE_CLUSTER=current: the cluster is yours, and left as it is")
	return nil
}
