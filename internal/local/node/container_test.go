package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/internal/local/node"
)

// brokenEngine is a docker whose client runs until it is killed, and whose rm does as it is told.
func brokenEngine(t *testing.T, rm string) (calls string) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := fmt.Sprintf("#!/bin/sh\necho \"$1\" >>'%s'\ncase $1 in\nrun) trap '' TERM; while :; do sleep 1; done ;;\nrm) %s ;;\nesac\n", calls, rm)
	g.Expect(os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700)).To(Succeed())
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

// TestAContainerThatCannotBeRemoved is told, and a session's end does not wait for an engine that
// hangs for longer than it says.
func TestAContainerThatCannotBeRemoved(t *testing.T) {
	for name, row := range map[string]struct{ rm, says string }{
		"refused":  {"echo 'Error response from daemon: device or resource busy' >&2; exit 1", `docker says "Error response from daemon: device or resource busy"`},
		"hangs":    {"exec sleep 1000", "docker has not answered within 10s"},
		"had gone": {"echo 'Error: No such container: x' >&2; exit 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls := brokenEngine(t, row.rm)
			notes := make(chan string, 10)
			l := startTo(t, func(line node.Line) {
				if line.Stream == node.Note {
					notes <- line.Text
				}
			}, false)
			pod := l.pod("image", 8080, nil)
			pod.Spec.Containers[0].Command, pod.Spec.Containers[0].Image = nil, "agent:1"
			l.Expect(l.client.Create(t.Context(), pod)).To(Succeed())
			l.becomes(pod, corev1.PodRunning)
			l.Eventually(func() (string, error) {
				text, err := os.ReadFile(calls)
				return string(text), err
			}, patience).Should(ContainSubstring("run"))
			l.Expect(l.client.Delete(t.Context(), pod)).To(Succeed())
			l.goes(pod)
			if row.says == "" {
				l.Expect(notes).To(BeEmpty())
				return
			}
			var note string
			l.Eventually(notes, patience).Should(Receive(&note))
			l.Expect(note).To(And(ContainSubstring(row.says), ContainSubstring("`docker rm --force agentsession-local-"), HaveSuffix("-image` removes it")))
		})
	}
}

// What an agent is given never has the engine run otherwise, also where it takes a value from its
// own environment: who makes a runtime by the control plane chooses names.
func TestTheEnvironmentOfAContainerIsNotItsEngines(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n[ $1 = run ] || exit 0\nfor word; do printf '%%s\\n' \"$word\"; done >'%s/words'\nenv >'%s/env'\necho >'%s/done'\n", dir, dir, dir)
	g.Expect(os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700)).To(Succeed())
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	l := startTo(t, func(node.Line) {}, false)
	pod := l.pod("given", 8080, nil)
	agent := &pod.Spec.Containers[0]
	agent.Command, agent.Image = nil, "agent:1"
	agent.Env = append(agent.Env, corev1.EnvVar{Name: "KEY", Value: "a\nsecret"})
	for _, name := range []string{"LD_PRELOAD", "DOCKER_CONFIG", "CONTAINER_HOST", "https_proxy", "PATH"} {
		agent.Env = append(agent.Env, corev1.EnvVar{Name: name, Value: "/of/a/stranger:\n"})
	}
	l.Expect(l.client.Create(t.Context(), pod)).To(Succeed())
	done := filepath.Join(dir, "done")
	l.Eventually(done, patience).Should(BeAnExistingFile())
	words, err := os.ReadFile(filepath.Join(dir, "words"))
	l.Expect(err).NotTo(HaveOccurred())
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	l.Expect(err).NotTo(HaveOccurred())
	l.Expect(string(env)).To(And(ContainSubstring("KEY=a\nsecret"), Not(ContainSubstring("/of/a/stranger"))))
	l.Expect(string(words)).NotTo(ContainSubstring("secret"))
	l.Expect(strings.Count(string(words), "=/of/a/stranger:\n")).To(Equal(5))
}
