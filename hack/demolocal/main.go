// Command demolocal plays the life of one session on this machine, with `agentsession
// local` and AWS's client for Go: busy, idle, stopped, explained, woken. It ends with status 1 if the
// session did not live like that.
//
//	demolocal BIN
//
// BIN is the folder of the programs agentsession, agents and invoke: make demo-local
// builds them.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	scale = "12" // a minute of the rules is 5 s
	// patience is how long each state may take to come, on a slow machine.
	patience = 2 * time.Minute
	// session is AgentCore's name of it: 33 characters at least.
	session = "demo-local-0000000000000000000000001"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "demolocal: it wants the folder of the programs, and nothing else: make demo-local")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := play(ctx, os.Args[1])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demolocal:", err)
		os.Exit(1)
	}
}

// play runs the platform, and plays the life.
func play(ctx context.Context, bin string) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "agentsession-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is a temporary one
	kubeconfig := filepath.Join(dir, "kubeconfig")
	args := []string{"local", "--write-kubeconfig", kubeconfig, "--time-scale", scale, "--lifecycle", "idle=60,max=600", "--", filepath.Join(bin, "agents"), "research", "--addr", "127.0.0.1:{port}"}
	platform := exec.CommandContext(ctx, filepath.Join(bin, "agentsession"), args...)
	platform.Cancel = func() error { return platform.Process.Signal(os.Interrupt) }
	platform.WaitDelay = time.Minute
	platform.Stderr = os.Stderr
	out, err := platform.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run the platform: %w", err)
	}
	say("$ agentsession " + strings.Join(args, " "))
	if err := platform.Start(); err != nil {
		return fmt.Errorf("run the platform: %w", err)
	}
	seen := make(chan line, 1000) // a life is some ten
	go read(out, seen)
	err = (&life{bin: bin, kubeconfig: kubeconfig, seen: seen}).play(ctx)
	_ = platform.Cancel() // it may have ended
	for range seen {      // to its last word, which read shows
	}
	if ended := platform.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("the platform ended with %w", ended)
	}
	if err != nil {
		return err
	}
	say(fmt.Sprintf("Busy, idle, stopped, explained and woken in %.0f s. With an agent of yours: bin/agentsession local -- python my_agent.py", time.Since(began).Seconds()))
	return nil
}

// line is one of the platform's: an endpoint, an ARN, or a state of the session.
type line struct{ endpoint, arn, state string }

var (
	endpointLine = regexp.MustCompile(`export AWS_ENDPOINT_URL_BEDROCK_AGENTCORE=(\S+)`)
	arnLine      = regexp.MustCompile(`^agentRuntimeArn: (\S+)`)
	stateLine    = regexp.MustCompile(`^\d\d:\d\d:\d\d  \S+(?: \(` + session + `\))?  (\w+)`)
)

// read shows what the platform says, and tells of it.
func read(out io.Reader, seen chan<- line) {
	defer close(seen)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text := lines.Text()
		fmt.Println(text)
		var one line
		if m := endpointLine.FindStringSubmatch(text); m != nil {
			one.endpoint = m[1]
		} else if m := arnLine.FindStringSubmatch(text); m != nil {
			one.arn = m[1]
		} else if m := stateLine.FindStringSubmatch(text); m != nil {
			one.state = m[1]
		}
		seen <- one
	}
}

// life is what is played.
type life struct {
	bin, kubeconfig string
	seen            <-chan line
	endpoint, arn   string
}

func (l *life) play(ctx context.Context) error {
	for l.arn == "" {
		next, err := l.await(ctx, "endpoint", func(next line) bool { return next.endpoint != "" || next.arn != "" })
		if err != nil {
			return err
		}
		l.endpoint, l.arn = l.endpoint+next.endpoint, next.arn
	}
	say("AWS's SDK for Go calls a new session. It answers at once, and works on for 5 s.")
	if err := l.call(ctx, `{"seconds": 5}`); err != nil {
		return err
	}
	for _, state := range []string{"Active", "Idle", "Stopped"} {
		if err := l.awaitState(ctx, state); err != nil {
			return err
		}
	}
	if err := l.explain(ctx); err != nil {
		return err
	}
	say("The same session is called again: its next compute has a memory of its own.")
	if err := l.call(ctx, `{"seconds": 0.1}`); err != nil {
		return err
	}
	return l.awaitState(ctx, "Starting")
}

func (l *life) awaitState(ctx context.Context, state string) error {
	_, err := l.await(ctx, state, func(next line) bool { return next.state == state })
	return err
}

// await waits for a line.
func (l *life) await(ctx context.Context, what string, is func(line) bool) (line, error) {
	late := time.After(patience)
	for {
		select {
		case next, ok := <-l.seen:
			switch {
			case !ok:
				return line{}, fmt.Errorf("the platform ended before it said %s", what)
			case is(next):
				return next, nil
			}
		case <-late:
			return line{}, fmt.Errorf("the platform did not say %s within %s", what, patience)
		case <-ctx.Done():
			return line{}, errors.New("interrupted")
		}
	}
}

// call calls the session with AWS's SDK for Go, as everybody does: who and where is in the
// environment.
func (l *life) call(ctx context.Context, payload string) error {
	say("$ invoke " + l.arn + " " + session + " '" + payload + "'")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call := exec.CommandContext(ctx, filepath.Join(l.bin, "invoke"), l.arn, session, payload)
	call.Env = append(os.Environ(), "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE="+l.endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_SESSION_TOKEN=")
	call.Stderr = os.Stderr
	answer, err := call.Output()
	if err != nil {
		return fmt.Errorf("call the session: %w", err)
	}
	fmt.Printf("  %s\n", bytes.TrimSpace(answer))
	return nil
}

// explain has the session explained.
func (l *life) explain(ctx context.Context) error {
	names, err := l.tool(ctx, "list", "-o", "name")
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(strings.TrimSpace(string(names)), "/")
	said, err := l.tool(ctx, "explain", name)
	if err != nil {
		return err
	}
	say("$ agentsession explain " + name)
	_, err = os.Stdout.Write(said)
	return err
}

// tool runs agentsession on the platform.
func (l *life) tool(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, filepath.Join(l.bin, "agentsession"), append(args, "--kubeconfig", l.kubeconfig)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("agentsession %s: %w", args[0], err)
	}
	return out, nil
}

// say says what is done.
func say(what string) { fmt.Printf("\n%s\n", what) }
