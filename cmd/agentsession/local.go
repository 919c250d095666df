package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/buildinfo"
	"github.com/agentsession/agentsession/internal/local"
)

// maxTimeScale is the operator's.
const maxTimeScale = 200

type localFlags struct {
	port                          int
	lifecycle, protocol, kubeconf string
	file, image, output, auth     string
	storage                       string
	watch, mounts, env, envFiles  []string
	timeScale                     int
	verbose, headless             bool
}

func newLocal() *cobra.Command {
	var f localFlags
	command := &cobra.Command{
		Use:   "local [flags] {-- COMMAND [ARGUMENT...] | --image IMAGE [-- ARGUMENT...] | --file FILE}",
		Short: "Run an agent with AgentCore's sessions on this machine",
		Long: "Run an agent with AgentCore's sessions on this machine: each session is a process or a container of its own, started by its first call, " +
			"asked for its ping, and ended when it has been idle or has lived for too long.\n\n" +
			"The agent listens at $PORT, or where {port} in its command says. All ends with this command, however that ends, but for what an agent starts in a session of its own (setsid).",
		Example: "  agentsession local -- python my_agent.py\n" +
			"  agentsession local --watch . --env-file .env -- python my_agent.py\n" +
			"  agentsession local --lifecycle idle=60,max=600 -- ./my-agent --addr 127.0.0.1:{port}\n" +
			"  agentsession local --time-scale 12 -- node agent.js\n" +
			"  agentsession local --image my-agent:1 --mount $PWD/data:/data:ro\n" +
			"  agentsession local --file runtime.yaml --auth sigv4 -o json",
		Args: func(command *cobra.Command, args []string) error {
			return f.check(command, args)
		},
		RunE: func(command *cobra.Command, args []string) error {
			o, notes, err := f.options(command, args)
			if err != nil {
				return err
			}
			for _, note := range notes {
				writeLines(command.ErrOrStderr(), "note: "+printable(note))
			}
			o.Out, o.Err, o.Terminal = command.OutOrStdout(), command.ErrOrStderr(), terminal(command.ErrOrStderr()) != nil
			o.Kill = secondSignal()
			return local.Run(command.Context(), o)
		},
	}
	f.bind(command.Flags())
	return command
}

// check is an error if it is not said, or said twice, what is run.
func (f *localFlags) check(command *cobra.Command, args []string) error {
	for _, one := range []struct {
		is   bool
		says string
	}{
		{f.file != "" && len(args) > 0, "--file and a command are given: it must be one of them, since the file says what is run"},
		{f.file != "" && f.image != "", "--file and --image are given: it must be one of them, since the file says what is run"},
		{len(args) > 0 && command.ArgsLenAtDash() != 0, "what is run is said after --: agentsession local -- python my_agent.py"},
		{f.file == "" && f.image == "" && len(args) == 0, "the agent's command is missing: agentsession local -- python my_agent.py"},
		{f.image != "" && len(f.watch) > 0, "--image and --watch are given: the code of an image is in it. Build it again under the same name, and the next session to start runs it"},
		{f.image == "" && len(f.mounts) > 0, "--mount is given without --image: a program of this machine sees its files without it"},
	} {
		if one.is {
			return errors.New(one.says)
		}
	}
	return nil
}

func (f *localFlags) bind(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "file", "f", "", "`file` of AgentRuntimes as they are applied to a cluster, in the place of a command; each agent's command is run here")
	flags.StringVar(&f.image, "image", "", "`image` of the agent in the place of a command, run by Docker or Podman (the first of docker and podman in $PATH), in a container for each session; arguments after -- are the image's")
	flags.StringArrayVar(&f.mounts, "mount", nil, "`SOURCE:TARGET[:ro]`: a file or folder of this machine in the containers of --image, may be repeated")
	flags.StringVar(&f.storage, "storage", "", "`path` of one folder below /mnt, as /mnt/data: sessions have storage there that outlives their computes, and that a program finds by $"+contract.EnvStorage)
	flags.StringArrayVar(&f.watch, "watch", nil, "`path` of a file or folder of the agent's code, may be repeated: a change makes another version, with which new sessions start")
	flags.StringArrayVar(&f.env, "env", nil, "`NAME=VALUE` in the agents' environment, may be repeated; it wins over --env-file and what a file of runtimes says")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "`file` of such lines, may be repeated; the last that has a name wins")
	flags.StringVar(&f.auth, "auth", authNone, "who may call: none (whoever runs programs on this machine) or sigv4 (who signs with the access key that is told)")
	flags.IntVar(&f.port, "port", 0, "port of 127.0.0.1 where AgentCore's endpoint is; 0 is any that is free")
	flags.StringVar(&f.lifecycle, "lifecycle", "", "when sessions end, in seconds, as idle=60,max=600; by AgentCore's defaults (900 and 28800) else")
	flags.StringVar(&f.protocol, "protocol", string(v1alpha1.ProtocolHTTP), "what the agent speaks: HTTP, MCP, A2A or AGUI")
	flags.IntVar(&f.timeScale, "time-scale", 1, fmt.Sprintf("divide every duration of the rules by this, 1 to %d, also the 120 s in which an agent must start (10 s at least)", maxTimeScale))
	flags.StringVar(&f.kubeconf, "write-kubeconfig", "", "`file` to write how kubectl reaches the sessions to")
	flags.StringVarP(&f.output, "output", "o", "", "json: tell all on standard output, what agents write too, each thing as a line of JSON")
	flags.BoolVar(&f.headless, "headless", false, "tell where everything is, and then nothing but errors")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "write what operator and gateway log, too")
}

// secondSignal is closed when this process is told to end for the second time: the first ends
// its context. A third time ends it at once.
func secondSignal() <-chan struct{} {
	second, signals := make(chan struct{}), make(chan os.Signal, 2)
	signal.Notify(signals, ends...)
	go func() {
		<-signals
		<-signals
		signal.Stop(signals)
		close(second)
	}()
	return second
}

// The values of --auth and --output.
const (
	authNone, authSigV4 = "none", "sigv4"
	outputJSON          = "json"
)

func (f *localFlags) options(command *cobra.Command, args []string) (o local.Options, notes []string, err error) {
	o = local.Options{
		Port: f.port, TimeScale: f.timeScale, Kubeconfig: f.kubeconf, Code: f.watch, NoCode: append(slices.Clone(f.envFiles), f.file),
		Version: buildinfo.Version(), Signed: f.auth == authSigV4, JSON: f.output == outputJSON, Headless: f.headless,
	}
	switch {
	case f.port < 0 || f.port > 65535:
		return o, nil, fmt.Errorf("--port is %d: it must be from 0 to 65535", f.port)
	case f.timeScale < 1 || f.timeScale > maxTimeScale:
		return o, nil, fmt.Errorf("--time-scale is %d: it must be from 1 to %d", f.timeScale, maxTimeScale)
	case f.auth != authNone && f.auth != authSigV4:
		return o, nil, fmt.Errorf("--auth is %q: it must be %s or %s", f.auth, authNone, authSigV4)
	case f.output != "" && f.output != outputJSON:
		return o, nil, fmt.Errorf("--output is %q: it must be %s", f.output, outputJSON)
	}
	if o.Env, err = readEnv(f.envFiles, f.env); err != nil {
		return o, nil, err
	}
	if o.Runtimes, notes, err = f.runtimes(command, args, o.Env); err != nil {
		return o, nil, err
	}
	o.Log = f.log(command.Context())
	ctrl.SetLogger(o.Log)
	if f.verbose {
		klog.SetLogger(o.Log) // client-go's
	}
	return o, notes, nil
}

// runtimes are those of the file, or the one of the command.
func (f *localFlags) runtimes(command *cobra.Command, args []string, env []corev1.EnvVar) ([]local.Runtime, []string, error) {
	if f.file != "" {
		for _, name := range []string{"lifecycle", "protocol", "storage"} {
			if command.Flags().Changed(name) {
				return nil, nil, fmt.Errorf("--file and --%s are given: it must be one of them, since each runtime of the file has its own", name)
			}
		}
		given := local.Given{Names: map[string]bool{}, File: len(f.envFiles) > 0}
		for _, v := range env {
			given.Names[v.Name] = true
		}
		return local.ReadRuntimes(f.file, given)
	}
	protocol := v1alpha1.ServerProtocol(strings.ToUpper(f.protocol))
	switch protocol {
	case v1alpha1.ProtocolHTTP, v1alpha1.ProtocolMCP, v1alpha1.ProtocolA2A, v1alpha1.ProtocolAGUI:
	default:
		return nil, nil, fmt.Errorf("--protocol is %q: it must be HTTP, MCP, A2A or AGUI", f.protocol)
	}
	limits, err := parseLifecycle(f.lifecycle)
	if err != nil {
		return nil, nil, err
	}
	storage, err := parseStorage(f.storage)
	if err != nil {
		return nil, nil, err
	}
	one := func(agent corev1.Container, mounts []local.Mount) []local.Runtime {
		runtime := local.RuntimeOf(agent, mounts, protocol, limits)
		runtime.Spec.FilesystemConfigurations = storage
		return []local.Runtime{runtime}
	}
	if f.image != "" {
		mounts, err := parseMounts(f.mounts)
		return one(corev1.Container{Name: "agent", Image: f.image, Args: args}, mounts), nil, err
	}
	if !slices.ContainsFunc(env, func(v corev1.EnvVar) bool { return v.Name == "PATH" }) {
		if _, err := exec.LookPath(args[0]); err != nil {
			return nil, nil, fmt.Errorf("the agent's command cannot be run: %w", err)
		}
	}
	return one(corev1.Container{Name: "agent", Command: args}, nil), nil, nil
}

// log is where operator and gateway log. What they say of their own end is no news, unless
// all that they say is wanted.
func (f *localFlags) log(ctx context.Context) logr.Logger {
	level := uberzap.NewAtomicLevelAt(zapcore.InfoLevel)
	if !f.verbose {
		level.SetLevel(zapcore.ErrorLevel)
		context.AfterFunc(ctx, func() { level.SetLevel(zapcore.FatalLevel) })
	}
	return zap.New(zap.Level(&level), zap.ConsoleEncoder(), zap.StacktraceLevel(zapcore.PanicLevel))
}

// parseLifecycle reads idle=60,max=600.
func parseLifecycle(text string) (*v1alpha1.LifecycleConfiguration, error) {
	if text == "" {
		return nil, nil
	}
	var c v1alpha1.LifecycleConfiguration
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil || seconds < 60 || seconds > 28800 {
			return nil, fmt.Errorf("--lifecycle has %q: it must be idle=SECONDS or max=SECONDS, each from 60 to 28800", part)
		}
		switch name {
		case "idle":
			c.IdleRuntimeSessionTimeout = int32(seconds)
		case "max":
			c.MaxLifetime = int32(seconds)
		default:
			return nil, fmt.Errorf("--lifecycle has %q: it must be idle=SECONDS or max=SECONDS, each from 60 to 28800", part)
		}
	}
	if c.MaxLifetime != 0 && c.IdleRuntimeSessionTimeout > c.MaxLifetime {
		return nil, fmt.Errorf("--lifecycle is %q: idle must not be longer than max", text)
	}
	return &c, nil
}

// parseStorage reads where session storage is mounted.
func parseStorage(mountPath string) ([]v1alpha1.FilesystemConfiguration, error) {
	if mountPath == "" {
		return nil, nil
	}
	if path.Dir(path.Clean(mountPath)) != "/mnt" {
		return nil, fmt.Errorf("--storage is %q: it must be one folder below /mnt, as /mnt/data", mountPath)
	}
	return []v1alpha1.FilesystemConfiguration{{SessionStorage: v1alpha1.SessionStorageConfiguration{MountPath: path.Clean(mountPath)}}}, nil
}

// parseMounts reads SOURCE:TARGET[:ro].
func parseMounts(texts []string) (mounts []local.Mount, err error) {
	for _, text := range texts {
		parts := strings.Split(text, ":")
		readOnly := len(parts) == 3 && parts[2] == "ro"
		if len(parts) != 2 && !readOnly || parts[0] == "" || !path.IsAbs(parts[1]) || strings.Contains(text, ",") {
			return nil, fmt.Errorf("--mount is %q: it must be SOURCE:TARGET or SOURCE:TARGET:ro, without a comma, and TARGET an absolute path", text)
		}
		source, err := filepath.Abs(parts[0])
		if err == nil {
			_, err = os.Stat(source)
		}
		if err != nil {
			return nil, fmt.Errorf("--mount is %q: %w", text, err)
		}
		mounts = append(mounts, local.Mount{Source: source, Target: parts[1], ReadOnly: readOnly})
	}
	return mounts, nil
}
