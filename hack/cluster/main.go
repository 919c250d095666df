// Command cluster makes a Kubernetes cluster for the demo and the end-to-end
// tests: with kind where Docker and kind are there, and else one real node on
// this very machine, its control plane built from Go modules.
//
//	cluster up                   make it, or find it running
//	cluster image TAG PACKAGE    build an image from a Go program of this repo
//	cluster image-stock TAG DIR  build the one of agents that nobody here wrote
//	cluster load TAG...          make images usable on its node
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
	case "image", "image-stock":
		return image(ctx, command, rest)
	}
	c, err := chosen(ctx)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return c.up(ctx)
	case "load":
		return c.load(ctx, rest)
	case "kubeconfig":
		return printLine(c.kubeconfig())
	case "status":
		return c.status(ctx)
	case "down":
		return c.down(ctx)
	}
	return fmt.Errorf("unknown command %q: say one of %s", command, commands)
}

func image(ctx context.Context, command string, rest []string) error {
	switch {
	case command == "image" && len(rest) == 2:
		return buildImage(ctx, rest[0], rest[1])
	case command == "image":
		return errors.New("image wants a tag and a package, for example: image agentsession/operator:dev ./cmd/operator")
	case len(rest) == 2:
		return buildStockImage(ctx, rest[0], rest[1])
	}
	return errors.New("image-stock wants a tag and a directory, for example: image-stock agentsession/stock-agents:dev test/e2e/stock")
}

const commands = "up, image, image-stock, load, kubeconfig, status, assets, binaries, down"

// chosen picks the kind of cluster. One that is there already wins.
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
	if !n.exists() && hasDocker(ctx) && onPath("kind") {
		return kind{dir: n.dir}, nil
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
