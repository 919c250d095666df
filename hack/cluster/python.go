package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	// debian is the release that Python images are made of.
	debian         = "bookworm"
	pythonPackages = "python3-venv"
	// installPython makes the virtual environment, inside the image's file system.
	installPython = "python3 -m venv /opt/agent && /opt/agent/bin/pip install --no-cache-dir --require-hashes -r /requirements.txt"
)

// hostFiles are lent to pip, which talks to the network from inside. They tell of
// this machine, so they are not packed.
var hostFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"}

// buildPythonImage builds an image of an agent in Python: dir has its Dockerfile
// and agent.py, and requirements names what it needs, pinned and with hashes.
// Without Docker its base is made here, of Debian's packages and a virtual
// environment, since no registry may be in reach.
func buildPythonImage(ctx context.Context, tag, dir, requirements string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "agentsession", "python")
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return err
	}
	build, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return fmt.Errorf("make a build context: %w", err)
	}
	defer os.RemoveAll(build) //nolint:errcheck // found and removed by hand if ever
	for _, file := range []string{filepath.Join(dir, "Dockerfile"), filepath.Join(dir, "agent.py"), requirements} {
		if err := copyFile(file, filepath.Join(build, filepath.Base(file))); err != nil {
			return err
		}
	}
	if hasDocker(ctx) {
		return slowly(ctx, "Building the image "+tag+" with docker", exec.CommandContext(ctx, "docker", "build", "-t", tag, build))
	}
	if err := needPackages(ctx, "buildah", "debootstrap"); err != nil {
		return err
	}
	base, err := pythonBase(ctx, cache, requirements)
	if err != nil {
		return err
	}
	if err := os.Link(base, filepath.Join(build, "rootfs.tar")); err != nil {
		return err
	}
	image := exec.CommandContext(ctx, "buildah", "--storage-driver", "vfs", "bud", "--isolation", "chroot", "--layers=false",
		"-q", "--build-arg", "BASE=debian", "-t", reference(tag), build)
	defer try(ctx, "buildah", "--storage-driver", "vfs", "rmi", "--prune", "--force") // the stages in between
	return slowly(ctx, "Building the image "+tag+" with buildah", image)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644) // the agent in the image is another user
}

// pythonBase is a file system with Python and what requirements names. It is
// made once, in the cache, and found again by what it was made of and how.
func pythonBase(ctx context.Context, cache, requirements string) (archive string, err error) {
	wanted, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	archive = filepath.Join(cache, archiveName(wanted))
	if _, err := os.Stat(archive); !errors.Is(err, fs.ErrNotExist) {
		return archive, err
	}
	work, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	return archive, makePythonBase(ctx, work, requirements, archive)
}

// archiveName is another for other requirements and for another recipe.
func archiveName(requirements []byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%q", requirements, pythonPackages, installPython, unpacked()))
	return fmt.Sprintf("%s-%x.tar", debian, sum[:8])
}

func makePythonBase(ctx context.Context, work, requirements, archive string) error {
	root := filepath.Join(work, "rootfs")
	bootstrap := contained(ctx, "debootstrap", "--variant=minbase", "--include="+pythonPackages, debian, root)
	if err := slowly(ctx, "Installing Python from Debian's packages", bootstrap); err != nil {
		return err
	}
	files := map[string]string{requirements: "requirements.txt"}
	for _, needed := range hostFiles {
		if _, err := os.Stat(needed); err == nil {
			files[needed] = needed
		}
	}
	for from, to := range files {
		to = filepath.Join(root, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(from, to)); err != nil {
			return err
		}
	}
	install := contained(ctx, "chroot", root, "sh", "-c", installPython)
	if err := slowly(ctx, "Installing the SDK into a virtual environment", install); err != nil {
		return err
	}
	unfinished := filepath.Join(work, "rootfs.tar")
	pack := exec.CommandContext(ctx, "tar", append(append([]string{"-C", root, "-cf", unfinished}, unpacked()...), ".")...)
	if err := slowly(ctx, "Packing the file system", pack); err != nil {
		return err
	}
	return os.Rename(unfinished, archive)
}

// unpacked tells tar what the image does without.
func unpacked() (args []string) {
	for _, path := range append([]string{"/dev/*", "/var/cache/apt", "/var/lib/apt/lists", "/usr/share/doc", "/usr/share/locale"}, hostFiles...) {
		args = append(args, "--exclude=."+path)
	}
	return args
}

// contained is a command in namespaces of its own. If it is killed, all that it
// started dies with it, and no mount of it is ever seen outside: debootstrap
// mounts /proc in a directory that is removed if it fails.
func contained(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", name}, args...)...)
}
