package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// version of Kubernetes, as in hack/controlplane/go.mod.
const version = "v1.36.3"

// repo is the top of this repository.
func repo(ctx context.Context) (string, error) {
	module, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/agentsession/agentsession")
	if err != nil {
		return "", fmt.Errorf("find the repository (run this inside it): %w", err)
	}
	return module, nil
}

// binaries is the directory of what is built, outside the source tree.
func binaries() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the binaries: %w", err)
	}
	return filepath.Join(cache, "agentsession", version, "bin"), nil
}

// needBinaries builds what is missing and returns the directory of all. A build
// that is killed leaves nothing half.
func needBinaries(ctx context.Context, names ...string) (string, error) {
	dir, err := binaries()
	if err != nil {
		return "", err
	}
	top, err := repo(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a place for the binaries: %w", err)
	}
	for _, name := range names {
		target := filepath.Join(dir, name)
		if _, err := os.Stat(target); err == nil {
			continue
		}
		half := fmt.Sprintf("%s.%d", target, os.Getpid())
		defer os.Remove(half) //nolint:errcheck // there is none after a rename
		if err := slowly(ctx, "Building "+name+" "+version+" (once; minutes)", compile(ctx, top, name, half)); err != nil {
			return "", err
		}
		if err := os.Rename(half, target); err != nil {
			return "", fmt.Errorf("keep %s: %w", name, err)
		}
	}
	return dir, nil
}

// compile is the command that builds one binary of the control plane.
func compile(ctx context.Context, top, name, target string) *exec.Cmd {
	module, program, flags := "hack/controlplane", "k8s.io/kubernetes/cmd/"+name, []string{"-s", "-w"}
	if name == "etcd" {
		module, program = "hack/controlplane/etcd", "go.etcd.io/etcd/server/v3"
	} else {
		major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
		minor, _, _ = strings.Cut(minor, ".")
		for _, stamp := range []string{
			"k8s.io/component-base/version.gitVersion=" + version,
			"k8s.io/component-base/version.gitMajor=" + major,
			"k8s.io/component-base/version.gitMinor=" + minor,
			"k8s.io/client-go/pkg/version.gitVersion=" + version,
		} {
			flags = append(flags, "-X", stamp)
		}
	}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", strings.Join(flags, " "), "-o", target, program)
	command.Dir = filepath.Join(top, module)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	return command
}

// assets is a directory with kube-apiserver, etcd and kubectl: the one that
// KUBEBUILDER_ASSETS names, or downloaded by setup-envtest, or built.
func assets(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	names := []string{"etcd", "kube-apiserver", "kubectl"}
	dir, err := binaries()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			if downloaded, err := download(ctx); err == nil {
				return downloaded, nil
			}
			return needBinaries(ctx, names...)
		}
	}
	return dir, nil
}

func download(ctx context.Context) (string, error) {
	top, err := repo(ctx)
	if err != nil {
		return "", err
	}
	progress("Downloading a control plane with setup-envtest ...")
	dir, err := output(ctx, "go", "tool", "-modfile="+filepath.Join(top, "hack/tools/go.mod"),
		"setup-envtest", "use", strings.TrimPrefix(version[:strings.LastIndex(version, ".")], "v")+".x", "-p", "path")
	if err != nil {
		progress("That does not work here: %v", tail(err.Error(), 1))
	}
	return dir, err
}
