package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// builder builds images: docker, with either of its builders, or buildah. The
// cluster that was chosen decides which, since it loads from there.
type builder string

const (
	docker  builder = "docker"
	buildah builder = "buildah"
)

// image is made of a Go program of this repository.
type image struct{ tag, program string }

// imagesOf reads pairs of a tag and a package.
func imagesOf(args []string) ([]image, error) {
	if len(args) == 0 || len(args)%2 != 0 {
		return nil, errors.New("image wants pairs of a tag and a package, for example: image agentsession/operator:dev ./cmd/operator")
	}
	var images []image
	for i := 0; i < len(args); i += 2 {
		images = append(images, image{tag: args[i], program: args[i+1]})
	}
	return images, nil
}

// buildImages builds the programs here, at once, and packs each by its stage of
// the Dockerfile, whose name is the program's. No registry need be in reach.
func (b builder) buildImages(ctx context.Context, images ...image) error {
	top, err := repo(ctx)
	if err != nil {
		return err
	}
	arch, err := b.arch(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(top, "bin", "linux_"+arch) // kept: what has not changed is not linked again
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args, names := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, ""
	for _, i := range images {
		args, names = append(args, i.program), names+" "+path.Base(i.program)
	}
	compile := exec.CommandContext(ctx, "go", args...)
	compile.Dir = top
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOOS=linux", "GOARCH="+arch)
	if err := slowly(ctx, "Building"+names, compile); err != nil {
		return err
	}
	for _, i := range images {
		if err := b.pack(ctx, filepath.Join(top, "Dockerfile"), dir, i); err != nil {
			return err
		}
	}
	return nil
}

// arch is what the builder's images run on: an engine may be on another machine.
func (b builder) arch(ctx context.Context) (string, error) {
	if b == docker {
		return output(ctx, "docker", "version", "--format", "{{.Server.Arch}}")
	}
	return runtime.GOARCH, nil
}

func (b builder) pack(ctx context.Context, dockerfile, programs string, i image) error {
	raw, err := os.ReadFile(dockerfile)
	if err != nil {
		return err
	}
	name := path.Base(i.program)
	text, err := packing(string(raw), name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(programs, "packing-")
	if err != nil {
		return fmt.Errorf("make a build context: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in a directory of what is built
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(programs, name), filepath.Join(dir, name)); err != nil {
		return err
	}
	return b.build(ctx, i.tag, dir)
}

// build builds an image of a directory with a Dockerfile.
func (b builder) build(ctx context.Context, tag, dir string, args ...string) error {
	what := fmt.Sprintf("Building the image %s with %s", tag, b)
	if b == docker {
		return slowly(ctx, what, exec.CommandContext(ctx, "docker", append(append([]string{"build", "-t", tag}, args...), dir)...))
	}
	if err := needPackages(ctx, "buildah"); err != nil {
		return err
	}
	all := append([]string{"--storage-driver", "vfs", "bud", "--isolation", "chroot", "--layers=false", "-q", "-t", reference(tag)}, args...)
	defer try(ctx, "buildah", "--storage-driver", "vfs", "rmi", "--prune", "--force") // the stages in between
	return slowly(ctx, what, exec.CommandContext(ctx, "buildah", append(all, dir)...))
}

var (
	startOfStage = regexp.MustCompile(`(?m)^FROM .*$`)
	copyOfBuilt  = regexp.MustCompile(`(?m)^COPY --from=built /out/`)
)

// stages cuts a Dockerfile into what comes before its first stage, and its stages.
func stages(dockerfile string) (head string, all []string) {
	starts := startOfStage.FindAllStringIndex(dockerfile, -1)
	head = dockerfile
	for i, start := range starts {
		end := len(dockerfile)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		all = append(all, dockerfile[start[0]:end])
	}
	if len(starts) > 0 {
		head = dockerfile[:starts[0][0]]
	}
	return head, all
}

// isStage tells whether a stage has the name.
func isStage(stage, name string) bool {
	first, _, _ := strings.Cut(stage, "\n")
	return strings.HasSuffix(strings.TrimSpace(first), " AS "+name)
}

// packing is a Dockerfile that packs a program which is built already, as the
// stage of that name does with one that Docker has built. It has no other stage:
// Docker's classic builder builds them all, needed or not.
func packing(dockerfile, name string) (string, error) {
	_, all := stages(dockerfile)
	for _, stage := range all {
		if isStage(stage, name) && copyOfBuilt.MatchString(stage) {
			return copyOfBuilt.ReplaceAllString(stage, "COPY "), nil
		}
	}
	return "", fmt.Errorf("the Dockerfile has no stage %q that copies from the stage built: there is no image of that program", name)
}

// without is a Dockerfile without one of its stages, for the same reason.
func without(dockerfile, name string) string {
	rest, all := stages(dockerfile)
	for _, stage := range all {
		if !isStage(stage, name) {
			rest += stage
		}
	}
	return rest
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
