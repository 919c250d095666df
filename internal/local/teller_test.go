package local

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local/node"
)

// hostile is what a terminal would obey: colours, a title, another direction, C1 and DEL.
const hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202e\u009b2J\x7f\tend\r"

// TestWhatATerminalGets obeys nobody.
func TestWhatATerminalGets(t *testing.T) {
	g := NewWithT(t)
	var out, words bytes.Buffer
	people := &teller{out: &out, err: &words, terminal: true}
	people.output(node.Line{Session: "s\x1b[1m", Stream: node.Stdout, Text: hostile})
	g.Expect(words.String()).To(Equal("s?[1m | red ?]0;title? ??2J?\tend\n"))
	people.tell(Event{Event: EventSession, Session: "s\n", Message: "Stopped: \x1b[31m"})
	g.Expect(out.String()).To(HaveSuffix("  s   Stopped: ?[31m\n"))
	words.Reset()
	piped := &teller{out: &out, err: &words}
	piped.output(node.Line{Session: "s", Stream: node.Stdout, Text: hostile})
	g.Expect(words.String()).To(Equal("s | "+hostile+"\n"), "a file gets what the agent wrote")
	out.Reset()
	programs := &teller{out: &out, json: true}
	programs.output(node.Line{Session: "s", Stream: node.Stderr, Text: hostile + "\U000e0001 <ü>"})
	g.Expect(out.String()).To(And(HaveSuffix("}\n"), ContainSubstring(`\u202e\u009b2J\u007f`), ContainSubstring(`\udb40\udc01 <ü>`)))
	g.Expect(out.String()).NotTo(MatchRegexp("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]"))
	var back Event
	g.Expect(json.Unmarshal(out.Bytes(), &back)).To(Succeed())
	g.Expect(*back.Line).To(Equal(hostile + "\U000e0001 <ü>"))
}

// TestWhatIsLeftOut is told where the lines are.
func TestWhatIsLeftOut(t *testing.T) {
	g := NewWithT(t)
	var out, words bytes.Buffer
	people := &teller{out: &out, err: &words}
	people.output(node.Line{Session: "s", Stream: node.Stdout, Text: "long", Cut: 7})
	people.output(node.Line{Session: "s", Stream: node.Note, Text: "2 lines of s were not shown"})
	g.Expect(words.String()).To(Equal("s | long [cut: 7 bytes more]\nnote: 2 lines of s were not shown\n"))
	g.Expect(out.String()).To(BeEmpty())
}

// TestAFileIsKept: with what is told for programs, it is another one.
func TestAFileIsKept(t *testing.T) {
	g := NewWithT(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	g.Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	read, write, err := os.Pipe()
	g.Expect(err).NotTo(HaveOccurred())
	defer read.Close()
	defer write.Close()
	g.Expect((&teller{out: write, err: file}).keeps()).To(BeTrue())
	g.Expect((&teller{out: file, err: write}).keeps()).To(BeFalse())
	g.Expect((&teller{out: file, err: write, json: true}).keeps()).To(BeTrue())
	g.Expect((&teller{out: &bytes.Buffer{}, json: true}).keeps()).To(BeFalse())
}

// TestFieldsOfJSON are a promise: whoever changes one breaks the programs of others.
func TestFieldsOfJSON(t *testing.T) {
	g := NewWithT(t)
	at := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	session := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent-1"},
		Spec:       v1alpha1.AgentSessionSpec{RuntimeSessionID: "s-1", RuntimeRef: &v1alpha1.RuntimeRef{Name: "agent"}},
		Status: v1alpha1.AgentSessionStatus{
			State: v1alpha1.StateStopped, Activation: 2, Runtime: &v1alpha1.ActivationRuntime{AgentRuntimeVersion: 3},
			LastTermination: &v1alpha1.Termination{Reason: v1alpha1.StopIdleTimeout},
			NextStop:        &v1alpha1.NextStop{Reason: v1alpha1.StopMaxLifetime, At: metav1.NewTime(at)},
		},
	}
	var out bytes.Buffer
	said := func(events ...Event) string {
		out.Reset()
		for _, e := range events {
			(&teller{out: &out, json: true}).tell(e)
		}
		var all map[string]any
		g.Expect(json.Unmarshal(out.Bytes(), &all)).To(Succeed())
		g.Expect(all).To(HaveKey("time"))
		delete(all, "time")
		text, err := json.Marshal(all)
		g.Expect(err).NotTo(HaveOccurred())
		return string(text)
	}
	g.Expect(said(Event{Event: EventReady, Endpoint: "http://127.0.0.1:1", Runtimes: []Agent{{"default", "agent", "arn"}}, Kubeconfig: "/k", AccessKeyID: "i", SecretAccessKey: "s"})).To(MatchJSON(
		`{"event":"ready","endpoint":"http://127.0.0.1:1","runtimes":[{"namespace":"default","name":"agent","agentRuntimeArn":"arn"}],"kubeconfig":"/k","accessKeyId":"i","secretAccessKey":"s"}`))
	g.Expect(said(sessionEvent(session, EventSession, "Stopped"))).To(MatchJSON(
		`{"event":"session","session":"s-1","namespace":"default","name":"agent-1","runtime":"agent","version":3,"state":"Stopped","reason":"IdleTimeout","activation":2,"next":{"reason":"MaxLifetime","at":"2026-11-29T10:00:00Z"},"message":"Stopped"}`))
	empty := ""
	g.Expect(said(Event{Event: EventOutput, Session: "s-1", Stream: node.Stdout, Line: &empty})).To(MatchJSON(`{"event":"output","session":"s-1","stream":"stdout","line":""}`))
	g.Expect(said(Event{Event: EventOutput, Session: "s-1", Stream: node.Stdout, Line: &empty, Cut: 7})).To(MatchJSON(`{"event":"output","session":"s-1","stream":"stdout","line":"","cut":7}`))
	g.Expect(said(Event{Event: EventNote, Session: "s-1", Message: "Nothing"})).To(MatchJSON(`{"event":"note","session":"s-1","message":"Nothing"}`))
}

// TestNamesAndIDs: a session is told by its name, as all commands have it, and once with the id
// that its caller gave it.
func TestNamesAndIDs(t *testing.T) {
	g := NewWithT(t)
	var out, words bytes.Buffer
	people := &teller{out: &out, err: &words}
	told := func(e Event) string {
		out.Reset()
		e.Session, e.Name, e.Message = "mine-0001", "agent-x", "what happens"
		people.tell(e)
		return out.String()
	}
	people.output(node.Line{Session: "mine-0001", Name: "agent-x", Stream: node.Stdout, Text: "hello"})
	g.Expect(words.String()).To(Equal("agent-x | hello\n"))
	g.Expect(told(Event{Event: EventSession})).To(HaveSuffix("  agent-x (mine-0001)  what happens\n"))
	g.Expect(told(Event{Event: EventSession})).To(HaveSuffix("  agent-x  what happens\n"))
	g.Expect(told(Event{Event: EventDeleted})).To(HaveSuffix("  agent-x  what happens\n"))
	g.Expect(told(Event{Event: EventSession})).To(HaveSuffix("  agent-x (mine-0001)  what happens\n"), "it is another one")
}

// TestABreachIsTold once for each reason: it is what costs most on AWS.
func TestABreachIsTold(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	n := &narrator{teller: &teller{out: &out}, last: map[types.UID]string{}, breach: map[types.UID]string{}}
	session := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{UID: "u", Name: "s"}}
	says := func(status metav1.ConditionStatus, reason string) string {
		out.Reset()
		session.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionPingContract, Status: status, Reason: reason, Message: "It costs."}}
		n.changed(session)
		return out.String()
	}
	g.Expect(says(metav1.ConditionTrue, v1alpha1.ReasonTimestampMissing)).To(BeEmpty(), "which is no breach")
	g.Expect(says(metav1.ConditionFalse, v1alpha1.ReasonTimestampAdvances)).To(HaveSuffix("  s  PingContract TimestampAdvances: It costs.\n"))
	g.Expect(says(metav1.ConditionFalse, v1alpha1.ReasonTimestampAdvances)).To(BeEmpty())
	g.Expect(says(metav1.ConditionFalse, v1alpha1.ReasonStatusUnknown)).To(HaveSuffix("  s  PingContract StatusUnknown: It costs.\n"))
}
