package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local"
)

// maxTimeScale is the operator's.
const maxTimeScale = 200

type localFlags struct {
	port                          int
	lifecycle, protocol, kubeconf string
	timeScale                     int
	verbose                       bool
}

func newLocal() *cobra.Command {
	var f localFlags
	command := &cobra.Command{
		Use:   "local [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run an agent with AgentCore's sessions on this machine",
		Long: "Run an agent with AgentCore's sessions on this machine: each session is a process of its own, started by its first call, " +
			"asked for its ping, and ended when it has been idle or has lived for too long.\n\n" +
			"The agent listens at $PORT, or where {port} in its command says. All ends with this command, however that ends.",
		Example: "  agentsession local -- python my_agent.py\n" +
			"  agentsession local --lifecycle idle=60,max=600 -- ./my-agent --addr 127.0.0.1:{port}\n" +
			"  agentsession local --time-scale 12 -- node agent.js",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 || command.ArgsLenAtDash() != 0 {
				return errors.New("the agent's command is missing: agentsession local -- python my_agent.py")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			o, err := f.options(command.Context(), args)
			if err != nil {
				return err
			}
			o.Out, o.Err = command.OutOrStdout(), command.ErrOrStderr()
			return local.Run(command.Context(), o)
		},
	}
	flags := command.Flags()
	flags.IntVar(&f.port, "port", 0, "port of 127.0.0.1 where AgentCore's endpoint is; 0 is any that is free")
	flags.StringVar(&f.lifecycle, "lifecycle", "", "when sessions end, in seconds, as idle=60,max=600; by AgentCore's defaults (900 and 28800) else")
	flags.StringVar(&f.protocol, "protocol", string(v1alpha1.ProtocolHTTP), "what the agent speaks: HTTP, MCP, A2A or AGUI")
	flags.IntVar(&f.timeScale, "time-scale", 1, fmt.Sprintf("divide every duration of the rules by this, 1 to %d, also the 120 s in which an agent must start (10 s at least)", maxTimeScale))
	flags.StringVar(&f.kubeconf, "write-kubeconfig", "", "`file` to write how kubectl reaches the sessions to")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "write what operator and gateway log, too")
	return command
}

func (f *localFlags) options(ctx context.Context, command []string) (local.Options, error) {
	o := local.Options{Command: command, Port: f.port, TimeScale: f.timeScale, Kubeconfig: f.kubeconf, Protocol: v1alpha1.ServerProtocol(strings.ToUpper(f.protocol))}
	if f.port < 0 || f.port > 65535 {
		return o, fmt.Errorf("--port is %d: it must be from 0 to 65535", f.port)
	}
	if f.timeScale < 1 || f.timeScale > maxTimeScale {
		return o, fmt.Errorf("--time-scale is %d: it must be from 1 to %d", f.timeScale, maxTimeScale)
	}
	switch o.Protocol {
	case v1alpha1.ProtocolHTTP, v1alpha1.ProtocolMCP, v1alpha1.ProtocolA2A, v1alpha1.ProtocolAGUI:
	default:
		return o, fmt.Errorf("--protocol is %q: it must be HTTP, MCP, A2A or AGUI", f.protocol)
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return o, fmt.Errorf("the agent's command cannot be run: %w", err)
	}
	var err error
	o.Lifecycle, err = parseLifecycle(f.lifecycle)
	o.Log = f.log(ctx)
	ctrl.SetLogger(o.Log)
	if !f.verbose {
		klog.SetLogger(logr.Discard()) // client-go's
	}
	return o, err
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
