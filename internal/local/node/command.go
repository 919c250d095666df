package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// command is the agent's, with what it is to know.
func (p *process) command(ctx context.Context) (*exec.Cmd, uint16, error) {
	agent := lifecycle.AgentContainer(p.pod)
	port, err := p.node.addresses.assign(ctx, p.addr)
	if err != nil {
		return nil, 0, err
	}
	if p.temp, err = os.MkdirTemp(p.node.guard.dir, ""); err != nil {
		return nil, 0, fmt.Errorf("make a directory for temporary files: %w", err)
	}
	folders, err := p.folders(ctx)
	if err != nil {
		return nil, 0, err
	}
	commandOf := p.programCommand
	if len(agent.Command) == 0 {
		commandOf = p.containerCommand
	}
	command, err := commandOf(agent, port, folders)
	if err != nil {
		return nil, 0, err
	}
	if err := p.out.attach(command); err != nil {
		return nil, 0, fmt.Errorf("make pipes for what it writes: %w", err)
	}
	return command, port, nil
}

// programCommand runs a program of this machine. Nothing can be mounted for it: it is told
// which folder its session's storage is.
func (p *process) programCommand(agent *corev1.Container, port uint16, folders map[string]string) (*exec.Cmd, error) {
	words := slices.Concat(agent.Command, agent.Args)
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "{port}", strconv.Itoa(int(port)))
	}
	env := os.Environ()
	for _, v := range agent.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	for _, m := range agent.VolumeMounts {
		if folder := folders[m.Name]; folder != "" && slices.Contains(env, contract.EnvStorage+"="+m.MountPath) {
			env = append(env, contract.EnvStorage+"="+folder) // the last counts
		}
	}
	program, err := find(words[0], agent.WorkingDir, env)
	if err != nil {
		return nil, err
	}
	env = append(env, "PORT="+strconv.Itoa(int(port)), "TMPDIR="+p.temp)
	return &exec.Cmd{Path: program, Args: words, Dir: agent.WorkingDir, Env: env}, nil
}

// find is the path of a program, as a shell in a folder, with an environment, finds it.
func find(program, dir string, env []string) (string, error) {
	if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
		return "", fmt.Errorf("the agent's workingDir is %q, which is no folder", dir)
	}
	if strings.Contains(program, "/") {
		return executable(dir, program)
	}
	var path string
	for _, v := range env {
		if value, is := strings.CutPrefix(v, "PATH="); is {
			path = value // the last counts
		}
	}
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		if found, err := executable(folder, program); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("find the command: %q is in no folder of $PATH", program)
}

// executable is the path of a program, as a folder has it. It is an error if it cannot be run.
func executable(folder, program string) (string, error) {
	if !filepath.IsAbs(program) {
		at, err := filepath.Abs(filepath.Join(folder, program))
		if err != nil {
			return "", fmt.Errorf("find the command: %w", err)
		}
		program = at
	}
	if _, err := exec.LookPath(program); err != nil {
		return "", fmt.Errorf("find the command: %w", err)
	}
	return program, nil
}
