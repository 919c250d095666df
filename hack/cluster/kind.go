package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// kindName is the name of the kind cluster.
const kindName = "agentsession"

// kind is a cluster in Docker, of a control plane and two workers.
type kind struct {
	dir string
}

func (k kind) file() string { return filepath.Join(k.dir, "kind-kubeconfig") }

// made tells whether up has made a cluster and down has not taken it away.
func (k kind) made() bool {
	_, err := os.Stat(k.file())
	return err == nil
}

// usable tells what is missing to reach a cluster that was made here once.
func (k kind) usable(ctx context.Context) error {
	switch {
	case !hasDocker(ctx):
		return fmt.Errorf("the cluster of %s is kind's, and Docker's engine does not answer: start it, or remove that file to do without", k.file())
	case !onPath("kind"):
		return fmt.Errorf("the cluster of %s is kind's, and there is no kind on the PATH: install it, or remove that file to do without", k.file())
	}
	return nil
}

func (kind) builder(context.Context) builder { return docker }

func (k kind) up(ctx context.Context) error {
	if err := k.usable(ctx); err != nil {
		return err
	}
	clusters, err := output(ctx, "kind", "get", "clusters")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the kubeconfig: %w", err)
	}
	action := exec.CommandContext(ctx, "kind", "export", "kubeconfig", "--name", kindName, "--kubeconfig", k.file())
	if !slices.Contains(strings.Fields(clusters), kindName) {
		config, err := configs.Open("config/kind.yaml")
		if err != nil {
			return err
		}
		action = exec.CommandContext(ctx, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", k.file(), "--config", "-")
		action.Stdin = config
	}
	if err := shown(ctx, "Making the kind cluster "+kindName, action); err != nil {
		return err
	}
	return k.awaitNodes(ctx)
}

// awaitNodes waits for all nodes: kind itself ends well without.
func (k kind) awaitNodes(ctx context.Context) error {
	progress("Waiting for the nodes to be Ready")
	if _, err := k.kubectl(ctx, "wait", "--for=condition=Ready", "node", "--all", "--timeout=3m"); err != nil {
		nodes, _ := k.kubectl(ctx, "get", "nodes") // the error above is the one that counts
		return fmt.Errorf("the kind cluster %s is not Ready (look at: kind export logs --name %s; cluster down takes it away): %w\n%s", kindName, kindName, err, nodes)
	}
	progress("The cluster is up: export KUBECONFIG=%s", k.file())
	return nil
}

func (k kind) kubectl(ctx context.Context, args ...string) (string, error) {
	program := "kubectl"
	if !onPath(program) {
		dir, err := assets(ctx)
		if err != nil {
			return "", err
		}
		program = filepath.Join(dir, program)
	}
	return output(ctx, program, append([]string{"--kubeconfig", k.file()}, args...)...)
}

func (kind) load(ctx context.Context, tags []string) error {
	return slowly(ctx, "Loading "+strings.Join(tags, " "),
		exec.CommandContext(ctx, "kind", append([]string{"load", "docker-image", "--name", kindName}, tags...)...))
}

func (k kind) kubeconfig() (string, error) {
	if !k.made() {
		return "", errors.New("there is no cluster: run cluster up")
	}
	return k.file(), nil
}

func (k kind) status(ctx context.Context) error {
	if _, err := k.kubeconfig(); err != nil {
		return err
	}
	nodes, err := k.kubectl(ctx, "get", "nodes")
	if err != nil {
		return fmt.Errorf("the kind cluster does not answer: %w", err)
	}
	fmt.Println(nodes)
	return nil
}

func (k kind) down(ctx context.Context) error {
	if err := k.usable(ctx); err != nil {
		return err
	}
	if err := shown(ctx, "Deleting the kind cluster", exec.CommandContext(ctx, "kind", "delete", "cluster", "--name", kindName, "--kubeconfig", k.file())); err != nil {
		return err
	}
	return os.RemoveAll(k.dir)
}
