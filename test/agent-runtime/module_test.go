package agentruntime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const library = "github.com/agentsession/agentsession/agent-runtime"

// What an agent's module gets of the library: its module graph and its go.sum
// have the library's one requirement, and nothing that its tests or the operator
// need.
func TestAgentOutsideTheRepository(t *testing.T) {
	g := NewWithT(t)
	checkout, err := filepath.Abs("../../agent-runtime")
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	needs := regexp.MustCompile(`(?m)^go .*`).FindString(read(t, checkout, "go.mod")) // an agent needs no later Go
	mod := "module example.com/agent\n\n" + needs + "\n\nrequire " + library + " v0.0.0\n\nreplace " + library + " => " + checkout + "\n"
	g.Expect(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "main.go"), []byte(agentProgram), 0o600)).To(Succeed())

	goIn(t, dir, "mod", "tidy")
	goIn(t, dir, "build", "-o", os.DevNull, ".")
	g.Expect(strings.Fields(goIn(t, dir, "list", "-m", "-f", "{{.Path}}", "all"))).To(ConsistOf(
		"example.com/agent", library, "github.com/coder/websocket"))
	sums := read(t, dir, "go.sum")
	g.Expect(regexp.MustCompile(`(?m)^\S+`).FindAllString(sums, -1)).To(HaveEach("github.com/coder/websocket"))
	g.Expect(sums).To(Equal(read(t, checkout, "go.sum")), "the sums were checked when the library's were made")
}

// agentProgram uses both packages of the library.
const agentProgram = `package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
	"github.com/agentsession/agentsession/agent-runtime/contract"
)

func main() {
	app := agentruntime.New(agentruntime.Options{})
	app.Entrypoint(agentruntime.JSON(func(_ context.Context, in string) (string, error) {
		return in + " on " + contract.InvocationsPath, nil
	}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
`

func read(t *testing.T, file ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(file...))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// goIn runs the go command in a module. The module cache has all that it needs:
// nobody is asked about sums.
func goIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOSUMDB=off")
	var failure strings.Builder
	command.Stderr = &failure
	out, err := command.Output()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "go %s: %s", strings.Join(args, " "), &failure)
	return string(out)
}
