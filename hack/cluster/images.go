package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// buildImage builds an image from a Go program of this repository: by Docker
// with the Dockerfile, and else from a binary that is built here, by the same
// Dockerfile's last stages, since no registry may be in reach. The target is
// named like the program.
func buildImage(ctx context.Context, tag, program string) error {
	top, err := repo(ctx)
	if err != nil {
		return err
	}
	if hasDocker(ctx) {
		build := exec.CommandContext(ctx, "docker", "build", "-t", tag,
			"--target", path.Base(program), "--build-arg", "PROGRAM="+program, top)
		return slowly(ctx, "Building the image "+tag+" with docker", build)
	}
	if err := needPackages(ctx, "buildah"); err != nil {
		return err
	}
	return bud(ctx, top, tag, program)
}

// bud builds an image with buildah, from scratch and a binary in its context.
func bud(ctx context.Context, top, tag, program string) error {
	dir, err := os.MkdirTemp("", "agentsession-image-")
	if err != nil {
		return fmt.Errorf("make a build context: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the temporary directory
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "program"), program)
	compile.Dir = top
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if err := slowly(ctx, "Building "+program, compile); err != nil {
		return err
	}
	image := exec.CommandContext(ctx, "buildah", "--storage-driver", "vfs", "bud", "--isolation", "chroot", "--layers=false",
		"-q", "-f", filepath.Join(top, "Dockerfile"), "--build-arg", "BINARY=prebuilt", "--target", path.Base(program), "-t", reference(tag), dir)
	defer try(ctx, "buildah", "--storage-driver", "vfs", "rmi", "--prune", "--force") // the stages in between
	return slowly(ctx, "Building the image "+tag+" with buildah", image)
}

// reference is the full name that the kubelet makes of a short one.
func reference(tag string) string { return "docker.io/" + tag }

// importImage puts an image of buildah's into the node's containerd.
func importImage(ctx context.Context, socket, tag string) error {
	dir, err := os.MkdirTemp("", "agentsession-load-")
	if err != nil {
		return fmt.Errorf("make a place for the image: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the temporary directory
	archive := filepath.Join(dir, "image.tar")
	if _, err := output(ctx, "buildah", "--storage-driver", "vfs", "push", "-q", reference(tag), "docker-archive:"+archive+":"+reference(tag)); err != nil {
		return fmt.Errorf("%w (build it first: cluster image %s PACKAGE)", err, tag)
	}
	_, err = output(ctx, "ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive)
	return err
}
