package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/buildinfo"
	"github.com/agentsession/agentsession/internal/dashboard"
)

type dashboardFlags struct {
	all, write          bool
	address, publicPath string
	hosts               []string
	gateway             string
}

func (t *connection) newDashboard() *cobra.Command {
	var f dashboardFlags
	command := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve a page that shows sessions and runtimes as they change",
		Long: "Serve a page that shows sessions and runtimes as they change, on this machine and with your own rights.\n\n" +
			"The address that is printed has a token, without which the page answers nobody. The page is read-only unless --write is given: " +
			"it can stop, wake and invoke sessions then.",
		Example: examples(t, "dashboard", "dashboard -A --write"),
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := t.connect(command)
			if err != nil {
				return err
			}
			return f.serve(command, t, c)
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&f.all, "all-namespaces", "A", false, "show all namespaces")
	flags.BoolVar(&f.write, "write", false, "let the page stop, wake and invoke sessions")
	flags.StringVar(&f.address, "address", "127.0.0.1:0", "`address` to serve the page at; port 0 is any that is free. One that is not on loopback needs --allow-host")
	flags.StringArrayVar(&f.hosts, "allow-host", nil, "`name` by which the page may be asked for, as that of a proxy; may be repeated")
	flags.StringVar(&f.publicPath, "public-path", "/", "`path` below which a proxy serves the page, as /sessions/")
	flags.StringVar(&f.gateway, "gateway", "", "`URL` of the gateway, by which sessions are invoked")
	return command
}

func (f *dashboardFlags) serve(command *cobra.Command, t *connection, c *cluster) error {
	listener, err := f.listen(command.Context())
	if err != nil {
		return err
	}
	where, err := t.where(c)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	o := dashboard.Options{
		Client: c, Namespace: c.namespace, Now: c.now, Where: where, Version: buildinfo.Version(), Tools: c.tools, Write: f.write,
		Hosts: f.hosts, PublicPath: f.publicPath, InWords: c.inWords, Invoke: c.invokeWith(f.gateway), Tasks: c.tasksOf, //nolint:bodyclose // the verb closes it
	}
	if f.all {
		o.Namespace = ""
	}
	d, err := dashboard.New(o, listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	writeLines(command.OutOrStdout(), "The page is here: "+d.URL())
	for _, url := range d.URLs() {
		writeLines(command.OutOrStdout(), "Behind a proxy: "+url)
	}
	return d.Serve(command.Context(), listener)
}

// listen refuses an address that others reach, unless it is said by which name.
func (f *dashboardFlags) listen(ctx context.Context) (net.Listener, error) {
	host, _, err := net.SplitHostPort(f.address)
	if err != nil {
		return nil, fmt.Errorf("--address is %q: it must be HOST:PORT, as 127.0.0.1:8001", f.address)
	}
	ip, err := netip.ParseAddr(host)
	if (err != nil || !ip.IsLoopback()) && host != "localhost" && len(f.hosts) == 0 {
		return nil, fmt.Errorf("--address is %q, which is not on loopback: others would reach the page, and read its token, since it is served over HTTP; say with --allow-host by which name it is asked for behind a proxy with TLS", f.address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.address)
	if err != nil {
		return nil, fmt.Errorf("listen at --address: %w", err)
	}
	return listener, nil
}

// where names the cluster.
func (t *connection) where(c *cluster) (string, error) {
	config, err := t.loader().RawConfig()
	if err != nil {
		return "", fmt.Errorf("read how the cluster is reached: %w", err)
	}
	if c.gateway != "" && c.onThisMachine() {
		return "local", nil
	}
	return cmp.Or(t.overrides.CurrentContext, config.CurrentContext, c.host), nil
}

// invokeWith invokes sessions for the page as the verb invoke does.
func (c *cluster) invokeWith(gatewayURL string) func(context.Context, *v1alpha1.AgentSession, []byte, func(*http.Response) error) error {
	return func(ctx context.Context, session *v1alpha1.AgentSession, body []byte, answer func(*http.Response) error) error {
		ctx, cancel := context.WithCancel(ctx) // which ends what is forwarded
		defer cancel()
		there := *c
		there.namespace = session.Namespace
		v := &invocation{
			cluster: &there, contentType: typeJSON, accept: acceptAll, gatewayURL: gatewayURL, body: body, err: io.Discard, take: answer,
		}
		return v.callSession(ctx, found{AgentSession: session})
	}
}

// tasksOf asks a session's agent for the page as the verb tasks does.
func (c *cluster) tasksOf(ctx context.Context, session *v1alpha1.AgentSession) ([]contract.RunningTask, error) {
	ctx, cancel := context.WithCancel(ctx) // which ends what is forwarded
	defer cancel()
	tasks, err := (&tasker{cluster: c}).ask(ctx, found{AgentSession: session})
	return tasks.RunningJobs, err
}
