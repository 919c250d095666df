// Command demo installs the operator and plays the lives of three sessions, and
// then calls through the gateway, in scaled time, on the cluster of hack/cluster (or of the current kubeconfig
// with USE_CLUSTER=current). It shows them live, and ends with status 1 if one
// of them did not live as it should.
//
//	story.go, plots.go   what should happen: a state machine over observed statuses
//	view.go, summary.go  what it looks like: pure
//	calls.go             the second act
//	giveback.go          what becomes of a cluster that is the user's own
//	play.go, cluster.go, operator.go, screen.go  the outside
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// maxScale leaves research enough time: its task takes 20 s, and its maximal
// lifetime is 600 s divided by the scale.
const maxScale = 20

func main() {
	scale := flag.Int("time-scale", 12, fmt.Sprintf("divide every duration of the operator by this, 1 to %d", maxScale))
	flag.Parse()
	if *scale < 1 || *scale > maxScale || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: --time-scale must be from 1 to %d, and there are no other arguments\n", maxScale)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// What client-go has to say would break the view; the demo tells it itself.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctrl.SetLogger(klog.Background())
	err := run(ctx, *scale)
	code, says := ending(err, ctx.Err() != nil, borrowed())
	stop()
	if says != "" {
		fmt.Fprintln(os.Stderr, says)
	}
	os.Exit(code)
}

// ending is the exit status, and what is left to say.
func ending(err error, interrupted, borrowed bool) (code int, says string) {
	switch {
	case err == nil:
		return 0, ""
	case interrupted && borrowed:
		return 130, "Interrupted."
	case interrupted:
		return 130, "Interrupted. The cluster stays up; " + demoDown + " takes it away."
	case errors.Is(err, errViolated):
		return 1, ""
	}
	return 1, "demo: " + err.Error()
}

var (
	// errViolated is a story that did not come true; what and why was printed.
	errViolated = errors.New("the story did not come true")
	// errLate is a demo that took too long.
	errLate = errors.New("the demo took too long")
)

// patience is how long all may take beside forgetful's lifetime: six minutes
// at the default scale, for slow machines.
const (
	patience    = 320 * time.Second
	longestLife = 480 * time.Second
)

func run(ctx context.Context, scale int) (err error) {
	out := newScreen(ctx, os.Stdout)
	out.print(line{{bold, "AgentSession, live"}, {plain, ": three sessions on a real cluster"}})
	if scale > 1 {
		out.print(line{{yellow, fmt.Sprintf("Time is scaled: the operator divides all its durations by %d; 60 s are %.3g s.", scale, 60/float64(scale))}},
			text("The agents' own clocks are not bent. Not for production."))
	}
	out.print(nil)
	var c *cluster
	err = out.doing(ctx, "Finding the cluster", func(ctx context.Context) (err error) {
		c, err = connect(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.giveBack(ctx, out)) }()
	deadline := patience + longestLife/time.Duration(scale)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, errLate)
	defer cancel()
	if err := setUp(ctx, out, c, scale); err != nil {
		return fmt.Errorf("%w\nLook at: kubectl -n %s get pods,events\nLook at: kubectl -n %s logs deploy/%s",
			err, operator.Namespace, operator.Namespace, operator.Name)
	}
	acted, err := play(ctx, out, c, scale, inNamespace)
	if err != nil {
		return err
	}
	if err := calls(ctx, out, c, scale); err != nil {
		return err
	}
	out.print(acted.goOn(c.shellSetup(), borrowed())...)
	return nil
}

// setUp makes everything ready for the sessions.
func setUp(ctx context.Context, out *screen, c *cluster, scale int) error {
	for _, s := range []struct {
		says string
		do   func(context.Context) error
	}{
		{"Looking for sessions that others have here", func(ctx context.Context) error { return c.spare(ctx, scale) }},
		{"Removing sessions of an earlier demo", c.clear},
		{"Applying dist/install.yaml", func(ctx context.Context) error { return c.apply(ctx, "dist/install.yaml", withTimeScale(scale)) }},
		{"Making the namespace " + namespace + ", Pod Security restricted", c.makeNamespace},
		{"Waiting for the operator to be available and leader", c.awaitOperator},
	} {
		if err := out.doing(ctx, s.says, s.do); err != nil {
			return err
		}
	}
	return nil
}

// doing says what is done, in one line, and how long it took.
func (s *screen) doing(ctx context.Context, what string, do func(context.Context) error) error {
	begun := time.Now()
	_, _ = fmt.Fprint(s.out, pad(what+" ...", 68))
	if err := do(ctx); err != nil {
		_, _ = fmt.Fprintln(s.out)
		return fmt.Errorf("%s: %w", what, err)
	}
	_, _ = fmt.Fprintf(s.out, "%5.1f s\n", time.Since(begun).Seconds())
	return nil
}

// shellSetup are the commands that a shell needs before kubectl works.
func (c *cluster) shellSetup() []string {
	var commands []string
	if c.kubeconfig != "" {
		commands = append(commands, "export KUBECONFIG=$(go run ./hack/cluster kubeconfig)")
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		commands = append(commands, "export PATH=$PATH:$(go run ./hack/cluster assets)   # has kubectl")
	}
	return commands
}
