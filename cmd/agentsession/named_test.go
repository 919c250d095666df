package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// TestBySessionID: callers, and agentsession local, name a session by its runtimeSessionId.
func TestBySessionID(t *testing.T) {
	d := newDesk(t)
	d.fill()
	busy := d.session("busy").Spec.RuntimeSessionID
	for args, says := range map[string]string{
		"list -o name " + busy:           "agentsession.runtime.agentsession.dev/busy\n",
		"list -o name busy " + busy:      "agentsession.runtime.agentsession.dev/busy\n",
		"describe " + busy:               "Name:",
		"explain " + busy:                "AgentSession busy in default",
		"explain session/" + busy:        "AgentSession busy in default",
		"stop --dry-run=client " + busy:  "agentsession/busy would be asked to stop",
		"stop --dry-run=client ags/idle": "agentsession/idle would be asked to stop",
	} {
		out, said, err := d.run(strings.Fields(args)...)
		d.Expect(err).NotTo(HaveOccurred(), args+said)
		d.Expect(out).To(HavePrefix(says), args)
	}
	other := sample()[0]
	other.Name, other.Spec.RuntimeRef.Name = "other", "another"
	d.Expect(d.client.Create(t.Context(), other)).To(Succeed())
	for args, says := range map[string]string{
		"explain " + busy:          `2 AgentSessions in namespace default have the runtimeSessionId "` + busy + `": name one of busy, other`,
		"stop --yes " + busy:       "name one of busy, other",
		"list " + busy + "1":       `there is no AgentSession "` + busy + `1"`,
		"list -n team-a " + busy:   `there is no AgentSession "` + busy + `" in namespace team-a`,
		"invoke " + busy[:32]:      "what is to be asked?",
		"tasks " + busy[:32]:       `there is no AgentSession "` + busy[:32] + `"`,
		"logs " + busy[:32] + "-x": "there is no AgentSession",
	} {
		_, _, err := d.run(strings.Fields(args)...)
		d.Expect(err).To(MatchError(ContainSubstring(says)), args)
	}
	d.Expect(d.session("busy").Spec.DesiredState).To(Equal(v1alpha1.DesiredRunning))

	w := newWatcher(&cluster{namespace: "default"}, &selection{names: []string{busy}}, nil, nil)
	w.candidates["u"] = &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Name: "busy"}, Spec: v1alpha1.AgentSessionSpec{RuntimeSessionID: busy}}
	d.Expect(w.missing()).To(BeEmpty(), "it is watched by its id, too")
}

// TestByTheNameOfARuntime: it is no session, and that is said.
func TestByTheNameOfARuntime(t *testing.T) {
	d := newDesk(t)
	d.fill()
	for _, verb := range []string{"explain", "describe", "list", "stop --yes", "wake --yes", "logs", "lint", "tasks"} {
		out, _, err := d.run(append(strings.Fields(verb), "echo")...)
		d.Expect(err).To(MatchError(And(ContainSubstring(`there is no AgentSession "echo" in namespace default; there is a runtime of that name: `),
			ContainSubstring(" explain runtime/echo -n default` tells of it"))), verb)
		d.Expect(out).To(BeEmpty(), verb)
	}
}
