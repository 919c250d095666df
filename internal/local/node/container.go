package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const podman = "podman"

// engines are the programs that run containers, in the order in which they are looked for.
// Both take the same words, but for the name of the machine.
var engines = []string{"docker", podman}

// containerLabel is on each container that a node runs. Its value is the folder of the node's
// temporary files, by which the watchdog finds what is left.
const containerLabel = "runtime.agentsession.dev/local"

// answers is how long an engine has to answer.
const answers = 30 * time.Second

// errNoEngine is that this machine cannot run images.
var errNoEngine = errors.New("an agent's image is run by Docker or Podman, and neither docker nor podman is in a folder of $PATH")

// engine is the path of a program that runs containers.
func engine() (string, error) {
	for _, name := range engines {
		if found, err := exec.LookPath(name); err == nil {
			return filepath.Abs(found) //nolint:wrapcheck // it has the path
		}
	}
	return "", errNoEngine
}

// HasImage is an error if this machine cannot run an image now: none is pulled while a
// session starts.
func HasImage(ctx context.Context, image string) error {
	program, err := engine()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, answers)
	defer stop()
	if out, err := exec.CommandContext(ctx, program, "image", "inspect", "--format", "{{.Id}}", "--", image).CombinedOutput(); err != nil { //nolint:gosec // the user's own words
		name := filepath.Base(program)
		return fmt.Errorf("the image %q cannot be run here: %s says %q. Build it, or get it by %s pull %s", image, name, firstLine(out, err), name, image)
	}
	return nil
}

// firstLine is that of what a program has written, or why there is none.
func firstLine(out []byte, err error) string {
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && line != "[]" {
			return line
		}
	}
	return err.Error()
}

// containerCommand runs the agent's image in the foreground: the engine passes SIGTERM on, and
// what the container writes, and ends as it ends. The agent's port is published at a port of
// loopback.
func (p *process) containerCommand(agent *corev1.Container, port uint16, folders map[string]string) (*exec.Cmd, error) {
	program, err := engine()
	if err != nil {
		return nil, err
	}
	// The watchdog removes by it what is left when this process is gone.
	if err := os.WriteFile(filepath.Join(p.node.guard.dir, engineFile), []byte(program+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write down which engine runs containers: %w", err)
	}
	p.container = strings.Join([]string{filepath.Base(p.node.guard.dir), p.pod.Name}, "-")
	words := []string{
		program, "run", "--rm", "--pull", "never", "--name", p.container, "--label", containerLabel + "=" + p.node.guard.dir,
		"--publish", fmt.Sprintf("127.0.0.1:%d:%d", port, p.fixedPort()),
	}
	// Podman gives the machine a name by itself, and before 4.7 does not know host-gateway.
	if filepath.Base(program) != podman {
		words = append(words, "--add-host", "host.docker.internal:host-gateway")
	}
	env, err := p.containerEnv(agent.Env)
	if err != nil {
		return nil, err
	}
	mounted, err := mounts(&p.pod.Spec, agent, folders)
	if err != nil {
		return nil, err
	}
	words = append(words, env.words...)
	if agent.WorkingDir != "" {
		words = append(words, "--workdir", agent.WorkingDir)
	}
	words = append(append(words, mounted...), "--", agent.Image)
	for _, arg := range agent.Args {
		words = append(words, strings.ReplaceAll(arg, "{port}", strconv.Itoa(int(p.fixedPort()))))
	}
	return &exec.Cmd{Path: program, Args: words, Env: append(os.Environ(), env.lines...)}, nil
}

// heeded are names by which an engine finds its files, its server and its helpers, or the
// machine's loader its libraries, beside those that are in the environment already.
var heeded = regexp.MustCompile(`^(LD_|DYLD_|GLIBC_|GCONV_|GO|DOCKER_|MOBY_|BUILD|CONTAINER|_CONTAINER|PODMAN|NETAVARK|STORAGE_|REGISTRY_|XDG_|DBUS_|SSH_|SSL_|HOME$|PATH$|TMPDIR$)|(?i:_proxy)$`)

// environment is how a container gets its own: words of the engine's command, and what of
// them stands in the engine's environment.
type environment struct{ words, lines []string }

// containerEnv gives a container its environment by a file, since everybody on the machine sees
// the words of a command, and the engine would heed some names. A value of several lines has
// no place in the file: the engine takes it from its own environment, but for those names.
// Whoever may call the control plane chooses both.
func (p *process) containerEnv(env []corev1.EnvVar) (given environment, err error) {
	var file strings.Builder
	for _, v := range env {
		_, has := os.LookupEnv(v.Name)
		switch {
		case !strings.ContainsAny(v.Value, "\r\n"):
			fmt.Fprintf(&file, "%s=%s\n", v.Name, v.Value)
		case has || heeded.MatchString(v.Name):
			given.words = append(given.words, "--env", v.Name+"="+v.Value)
		default:
			given.words, given.lines = append(given.words, "--env", v.Name), append(given.lines, v.Name+"="+v.Value)
		}
	}
	path := filepath.Join(p.temp, "env")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return given, fmt.Errorf("write the container's environment: %w", err)
	}
	given.words = append(given.words, "--env-file", path)
	return given, nil
}

// mounts are the words that mount what the agent's container mounts: folders of this machine,
// those of claims too, and empty ones. Nothing else is here to be mounted.
func mounts(pod *corev1.PodSpec, agent *corev1.Container, folders map[string]string) (words []string, err error) {
	for _, m := range agent.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			continue
		}
		fields := []string{"type=volume", "target=" + m.MountPath}
		switch volume := pod.Volumes[i]; {
		case folders[m.Name] != "":
			fields[0] = "type=bind"
			fields = append(fields, "source="+filepath.Join(folders[m.Name], m.SubPath))
		case volume.HostPath != nil:
			fields[0] = "type=bind"
			fields = append(fields, "source="+filepath.Join(volume.HostPath.Path, m.SubPath))
		case volume.EmptyDir == nil:
			continue
		}
		for _, field := range fields {
			if strings.ContainsAny(field, ",\"\n") {
				return nil, fmt.Errorf("mount the volume %q: %q has a comma, a quotation mark or a line's end, and cannot be mounted here", m.Name, field)
			}
		}
		if m.ReadOnly {
			fields = append(fields, "readonly")
		}
		words = append(words, "--mount", strings.Join(fields, ","))
	}
	return words, nil
}

// removes is how long an engine has to remove a container: the end of a session waits for it.
const removes = 10 * time.Second

// removeContainer removes the agent's container, however far it has come, and tells if that
// cannot be. Where the engine's client has ended by itself, it has removed the container.
func (p *process) removeContainer(ctx context.Context, client *os.ProcessState) {
	if p.container == "" || client.Exited() && client.ExitCode() != engineFailed {
		return
	}
	program, err := engine()
	if err != nil {
		return // it was there when the container began
	}
	ctx, stop := context.WithTimeout(ctx, removes)
	defer stop()
	rm := exec.CommandContext(ctx, program, "rm", "--force", "--volumes", p.container) //nolint:gosec // a name of ours
	rm.WaitDelay = time.Second
	out, err := rm.CombinedOutput()
	if err == nil || strings.Contains(strings.ToLower(string(out)), "no such container") {
		return
	}
	why := fmt.Sprintf("says %q", firstLine(out, err))
	if ctx.Err() != nil {
		why = fmt.Sprintf("has not answered within %s", removes)
	}
	name := filepath.Base(program)
	note := p.out.of
	note.Stream, note.Text = Note, fmt.Sprintf("the container %s of %s may still be there, for %s %s. It is tried again when agentsession local ends; `%s rm --force %s` removes it",
		p.container, note.Name, name, why, name, p.container)
	p.node.out.put(note, func() bool { return true })
}

// engineFailed is the first of the exit codes by which an engine tells that it could not run a
// container or its program, and engineCodes how many there are.
const engineFailed, engineCodes = 125, 3

// neverRan tells whether an exit code is the engine's own.
func (p *process) neverRan(code int) bool {
	return p.container != "" && code >= engineFailed && code < engineFailed+engineCodes
}
