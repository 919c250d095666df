package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	. "github.com/onsi/gomega"
)

var docs = flag.Bool("docs", false, "make the pictures of docs/images anew")

func TestPicture(t *testing.T) {
	for _, c := range []struct {
		name, written string
		want, not     []string
	}{
		{"colours", "a \x1b[32mActive\x1b[0m b\r\n", []string{` fill="#7ee08f">Active</text>`, `>a</text>`, `x="89.6" y="47.2" textLength="8.4">b</text>`}, []string{"\x1b", "[32m"}},
		{"columns", "a b   c\r\n", []string{`textLength="25.2">a b</text>`, `x="64.4" y="47.2" textLength="8.4">c</text>`}, nil},
		{"the last frame", "\x1b[H\x1b[2Jgone\x1b[K\n\x1b[J\x1b[Hnew\x1b[K\n\x1b[J\x1b[Hhalf", []string{">new</text>"}, []string{"gone", "half"}},
		{"a long line", "0123456789abc\n", []string{">0123456789</text>", `x="14.0" y="66.2" textLength="25.2">abc</text>`}, nil},
		{"what XML has a meaning for", "<a> & b\n", []string{"&lt;a&gt; &amp; b"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, svg := NewWithT(t), picture("x", c.written, 10)
			for _, want := range c.want {
				g.Expect(svg).To(ContainSubstring(want))
			}
			for _, not := range c.not {
				g.Expect(svg).NotTo(ContainSubstring(not))
			}
			g.Expect(wellFormed(svg)).To(Succeed())
		})
	}
}

func wellFormed(text string) error {
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err //nolint:wrapcheck // a test's
		}
	}
}

const columns, patience = 110, 2 * time.Minute

// terminal is a program in one, and what it has written to it.
type terminal struct {
	t       *testing.T
	command *exec.Cmd
	file    *os.File
	ended   chan struct{}

	mu      sync.Mutex
	written bytes.Buffer
}

// start runs a command line of a shell in a terminal.
func start(t *testing.T, dir, line string) *terminal {
	t.Helper()
	shown := &terminal{t: t, command: exec.Command("sh", "-c", "exec "+line), ended: make(chan struct{})}
	shown.command.Dir = dir
	shown.command.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", "PATH="+dir+":"+os.Getenv("PATH"), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	var err error
	shown.file, err = pty.StartWithSize(shown.command, &pty.Winsize{Cols: columns, Rows: 40})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	go func() {
		defer close(shown.ended)
		_, _ = io.Copy(shown, shown.file) // it ends with an error when the program does
		_ = shown.command.Wait()
	}()
	t.Cleanup(shown.stop)
	return shown
}

// Write implements io.Writer.
func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Write(p) //nolint:wrapcheck // it never fails
}

func (s *terminal) says() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// sees waits until its screen has all of some words.
func (s *terminal) sees(words ...string) (screen string) {
	s.t.Helper()
	NewWithT(s.t).Eventually(func(g Gomega) {
		screen = s.says()
		for _, word := range words {
			g.Expect(lastFrame(screen)).To(ContainSubstring(word))
		}
	}).WithTimeout(patience).Should(Succeed())
	return screen
}

// stop interrupts it as Ctrl-C does.
func (s *terminal) stop() {
	s.t.Helper()
	_ = s.command.Process.Signal(os.Interrupt) // it may have ended
	NewWithT(s.t).Eventually(s.ended).WithTimeout(patience).Should(BeClosed())
	_ = s.file.Close()
}

// What is of one run only: the page's token, and the directory.
var (
	token     = regexp.MustCompile(`(token=)\w+`)
	directory = regexp.MustCompile(`/\S*/TestTerminal\w*/\w+/`)
)

// keep keeps a picture: for the documentation with -docs, or where $AGENTSESSION_SCREENSHOTS says.
func keep(t *testing.T, name, command, screen string) {
	t.Helper()
	g, svg := NewWithT(t), picture(command, directory.ReplaceAllString(token.ReplaceAllString(screen, "${1}..."), "/home/me/"), columns)
	g.Expect(wellFormed(svg)).To(Succeed())
	g.Expect(len(svg)).To(BeNumerically("<", 32<<10))
	dir := os.Getenv("AGENTSESSION_SCREENSHOTS")
	if *docs {
		dir = "../../docs/images"
	}
	if dir != "" {
		g.Expect(os.WriteFile(filepath.Join(dir, "terminal-"+name+".svg"), []byte(svg), 0o600)).To(Succeed())
	}
}

// TestTerminal makes the pictures of the terminal: one life on this machine, explained, and
// three sessions that are watched.
func TestTerminal(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/agentsession", "./examples/agents")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))

	g.Expect(os.WriteFile(filepath.Join(dir, "agent"), []byte("#!/bin/sh\nexec ./agents research --addr 127.0.0.1:$PORT\n"), 0o700)).To(Succeed())

	const local = "agentsession local --time-scale 12 --lifecycle idle=180,max=3600 --write-kubeconfig kubeconfig -- ./agent"
	platform := start(t, dir, local+" 2>agent.log") // what the agent writes
	platform.sees("kubeconfig: ")
	call := func(session, payload string) {
		t.Helper()
		start(t, dir, "agentsession invoke agent --session-id "+session+"-00000000000000000000000000000 --payload '"+payload+"'").sees(`"started"`)
	}
	call("alice", `{"seconds": 3}`)
	keep(t, "local", local, platform.sees("Active: ", "Idle: ", "Stopped: IdleTimeout", "Its next call"))

	named := start(t, dir, "agentsession list -o name").sees("/agent-")
	_, name, _ := strings.Cut(strings.TrimSpace(named), "/")
	keep(t, "explain", "agentsession explain "+name, start(t, dir, "agentsession explain "+name).sees("What happened", "IdleTimeout", "What to type next", "watch "+name))

	watch := start(t, dir, "agentsession watch")
	call("bob", `{"seconds": 120}`)
	call("carol", `{"seconds": 0.1}`)
	keep(t, "watch", "agentsession watch", watch.sees("\x1b[32mActive", "Idle ", "\x1b[2mStopped", "3 sessions"))
}
