// Command cluster makes a Kubernetes cluster for the demo and the end-to-end
// tests: with kind where Docker and kind are there, and else one real node on
// this very machine, its control plane built from Go modules.
//
//	cluster up                   make it, or find it running
//	cluster image TAG PACKAGE... build images from Go programs of this repo
//	cluster image-stock TAG DIR  build the one of agents that nobody here wrote
//	cluster load TAG...          make images usable on its nodes
//	cluster kubeconfig           print the path of its kubeconfig
//	cluster status               say what runs
//	cluster assets               print a directory with kube-apiserver, etcd and kubectl for envtest
//	cluster binaries NAME...     build programs of Kubernetes, and print their directory
//	cluster down                 take it away and leave nothing behind
//
// With USE_CLUSTER=current the cluster of the current kubeconfig is used, and
// never made or taken away.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// cluster is where sessions can live. Its three kinds are the user's own, kind,
// and a node on this machine.
type cluster interface {
	// builder is what builds the images that load loads.
	builder(ctx context.Context) builder
	up(ctx context.Context) error
	load(ctx context.Context, tags []string) error
	kubeconfig() (string, error)
	status(ctx context.Context) error
	down(ctx context.Context) error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1) //nolint:gocritic // nothing is deferred that matters now
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say one of " + commands)
	}
	command, rest := args[0], args[1:]
	switch command {
	case "assets":
		return printLine(assets(ctx))
	case "binaries":
		return printLine(needBinaries(ctx, rest...))
	}
	c, err := chosen(ctx)
	if err != nil {
		return err
	}
	switch command {
	case "image":
		images, err := imagesOf(rest)
		if err != nil {
			return err
		}
		return c.builder(ctx).buildImages(ctx, images...)
	case "image-stock":
		return c.builder(ctx).buildStockImage(ctx, rest)
	case "load":
		return c.load(ctx, rest)
	}
	return lifecycle(ctx, c, command)
}

// lifecycle is what needs no more than the cluster.
func lifecycle(ctx context.Context, c cluster, command string) error {
	switch command {
	case "up":
		return c.up(ctx)
	case "kubeconfig":
		return printLine(c.kubeconfig())
	case "status":
		return c.status(ctx)
	case "down":
		return c.down(ctx)
	}
	return fmt.Errorf("unknown command %q: say one of %s", command, commands)
}

const commands = "up, image, image-stock, load, kubeconfig, status, assets, binaries, down"

// chosen picks the kind of cluster. One that was made already wins, also while
// its engine is stopped.
func chosen(ctx context.Context) (cluster, error) {
	switch use := os.Getenv("USE_CLUSTER"); use {
	case "current":
		return current{}, nil
	case "":
	default:
		return nil, fmt.Errorf("USE_CLUSTER is %q: it must be current, or not set", use)
	}
	n, err := newNode()
	if err != nil {
		return nil, err
	}
	k := kind{dir: n.dir}
	if !n.exists() && (k.made() || hasDocker(ctx) && onPath("kind")) {
		return k, nil
	}
	return n, nil
}

func printLine(line string, err error) error {
	if err == nil {
		fmt.Println(line)
	}
	return err
}

var begun = time.Now()

// progress tells on stderr what is being done.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%4ds] %s\n", int(time.Since(begun).Seconds()), fmt.Sprintf(format, args...))
}
