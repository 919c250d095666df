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
	// debian is the release that the image of stock agents is made of.
	debian         = "bookworm"
	pythonPackages = "python3-venv"
)

// recipe is what the base of that image is made by, in its directory: install.sh
// installs what the others name, pinned and with hashes.
var recipe = []string{"install.sh", "requirements.txt", "package.json", "package-lock.json"}

// hostFiles are lent to pip and npm, which talk to the network from inside. They tell of
// this machine, so they are not packed.
var hostFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"}

// buildStockImage builds the image of agents that nobody here wrote, in Python and
// in Node.js: its directory has its Dockerfile, the recipe of its base, the agents
// and their clients. Where no registry is in reach, its base is made here, of
// Debian's packages, PyPI's and npm's.
func (b builder) buildStockImage(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("image-stock wants a tag and a directory, for example: image-stock agentsession/stock-agents:dev test/e2e/stock")
	}
	tag, dir := args[0], args[1]
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "agentsession", "stock")
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return err
	}
	build, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return fmt.Errorf("make a build context: %w", err)
	}
	defer os.RemoveAll(build) //nolint:errcheck // found and removed by hand if ever
	if err := os.CopyFS(build, os.DirFS(dir)); err != nil {
		return err
	}
	archive, err := archiveName(dir)
	if err != nil {
		return err
	}
	var pulled error
	if _, err := os.Stat(filepath.Join(cache, archive)); b == docker && errors.Is(err, fs.ErrNotExist) {
		if pulled = b.onBase(ctx, tag, build, "docker"); pulled == nil {
			return nil
		}
		progress("That does not work here: %v", tail(pulled.Error(), 3))
	}
	if err := linkStockBase(ctx, cache, dir, build); err != nil {
		return errors.Join(pulled, err)
	}
	return b.onBase(ctx, tag, build, "debian")
}

// linkStockBase puts the base that is made here into the build context.
func linkStockBase(ctx context.Context, cache, dir, build string) error {
	if err := needPackages(ctx, "debootstrap"); err != nil {
		return err
	}
	base, err := stockBase(ctx, cache, dir)
	if err != nil {
		return err
	}
	return os.Link(base, filepath.Join(build, "rootfs.tar"))
}

// onBase builds it on one of the two bases of its Dockerfile.
func (b builder) onBase(ctx context.Context, tag, build, base string) error {
	file := filepath.Join(build, "Dockerfile")
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	other := map[string]string{"docker": "debian", "debian": "docker"}[base]
	only := file + "." + base
	if err := os.WriteFile(only, []byte(without(string(raw), other)), 0o600); err != nil {
		return err
	}
	return b.build(ctx, tag, build, "--file", only, "--build-arg", "BASE="+base)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644) // the agent in the image is another user
}

// stockBase is a file system with what the recipe installs. It is made once, in
// the cache, and found again by what it was made of and how.
func stockBase(ctx context.Context, cache, dir string) (archive string, err error) {
	name, err := archiveName(dir)
	if err != nil {
		return "", err
	}
	archive = filepath.Join(cache, name)
	if _, err := os.Stat(archive); !errors.Is(err, fs.ErrNotExist) {
		return archive, err
	}
	work, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	return archive, makeStockBase(ctx, work, dir, archive)
}

// archiveName is another for another recipe.
func archiveName(dir string) (string, error) {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s\n%q\n", pythonPackages, unpacked()) // a hash takes everything
	for _, name := range recipe {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content) // as above
	}
	return fmt.Sprintf("%s-%x.tar", debian, sum.Sum(nil)[:8]), nil
}

func makeStockBase(ctx context.Context, work, dir, archive string) error {
	root := filepath.Join(work, "rootfs")
	bootstrap := contained(ctx, "debootstrap", "--variant=minbase", "--include="+pythonPackages, debian, root)
	if err := slowly(ctx, "Installing Python from Debian's packages", bootstrap); err != nil {
		return err
	}
	files := map[string]string{}
	for _, name := range recipe {
		files[filepath.Join(dir, name)] = filepath.Join("stock", name)
	}
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
	install := contained(ctx, "chroot", root, "sh", "/stock/install.sh")
	if err := slowly(ctx, "Installing agents' frameworks from PyPI and npm", install); err != nil {
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
