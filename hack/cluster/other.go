package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// current is the cluster of the current kubeconfig.
type current struct{}

func (current) up(ctx context.Context) error {
	if _, err := output(ctx, "kubectl", "get", "--raw=/readyz"); err != nil {
		return fmt.Errorf("USE_CLUSTER=current, and the cluster of the current kubeconfig does not answer: %w", err)
	}
	progress("Using the cluster of the current kubeconfig")
	return nil
}

func (current) load(ctx context.Context, tags []string) error {
	context, err := output(ctx, "kubectl", "config", "current-context")
	if err != nil {
		return err
	}
	for _, tag := range tags {
		var command *exec.Cmd
		switch {
		case strings.HasPrefix(context, "kind-") && onPath("kind"):
			command = exec.CommandContext(ctx, "kind", "load", "docker-image", "--name", strings.TrimPrefix(context, "kind-"), tag)
		case context == "minikube" && onPath("minikube"):
			command = exec.CommandContext(ctx, "minikube", "image", "load", tag)
		default:
			return fmt.Errorf("cannot load images into the cluster %s: push them to a registry that it reaches", context)
		}
		if err := slowly(ctx, "Loading "+tag, command); err != nil {
			return err
		}
	}
	return nil
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

// kindName is the name of the kind cluster.
const kindName = "agentsession"

// kind is a cluster in Docker.
type kind struct {
	dir string
}

func (k kind) file() string { return filepath.Join(k.dir, "kind-kubeconfig") }

func (k kind) up(ctx context.Context) error {
	clusters, err := output(ctx, "kind", "get", "clusters")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the kubeconfig: %w", err)
	}
	action := exec.CommandContext(ctx, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", k.file(), "--wait", "5m")
	for name := range strings.FieldsSeq(clusters) {
		if name == kindName {
			action = exec.CommandContext(ctx, "kind", "export", "kubeconfig", "--name", kindName, "--kubeconfig", k.file())
		}
	}
	if err := slowly(ctx, "Making the kind cluster "+kindName, action); err != nil {
		return err
	}
	progress("The cluster is up: export KUBECONFIG=%s", k.file())
	return nil
}

func (kind) load(ctx context.Context, tags []string) error {
	return slowly(ctx, "Loading "+strings.Join(tags, " "),
		exec.CommandContext(ctx, "kind", append([]string{"load", "docker-image", "--name", kindName}, tags...)...))
}

func (k kind) kubeconfig() (string, error) {
	if _, err := os.Stat(k.file()); err != nil {
		return "", errors.New("there is no cluster: run cluster up")
	}
	return k.file(), nil
}

func (k kind) status(ctx context.Context) error {
	nodes, err := output(ctx, "kubectl", "--kubeconfig", k.file(), "get", "nodes")
	if err != nil {
		return fmt.Errorf("the kind cluster does not answer: %w", err)
	}
	fmt.Println(nodes)
	return nil
}

func (k kind) down(ctx context.Context) error {
	if err := slowly(ctx, "Deleting the kind cluster", exec.CommandContext(ctx, "kind", "delete", "cluster", "--name", kindName)); err != nil {
		return err
	}
	return os.RemoveAll(k.dir)
}
