package explain_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

var update = flag.Bool("update", false, "write the golden texts anew: read them aloud then")

// now is in the morning of a day, in a zone of its own.
var now = time.Date(2026, 11, 29, 3, 0, 0, 0, time.FixedZone("", 3600))

// at is a moment that many seconds from now.
func at(seconds int) *metav1.Time {
	t := metav1.NewTime(now.Add(time.Duration(seconds) * time.Second))
	return &t
}

type change = func(*v1alpha1.AgentSession)

// session is one in a state.
func session(state v1alpha1.SessionState, changes ...change) *v1alpha1.AgentSession {
	s := &v1alpha1.AgentSession{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "research"}, Spec: v1alpha1.AgentSessionSpec{DesiredState: v1alpha1.DesiredRunning}}
	s.Status = v1alpha1.AgentSessionStatus{State: state, Activation: 3, LifecycleConfiguration: &v1alpha1.LifecycleConfiguration{IdleRuntimeSessionTimeout: 900, MaxLifetime: 28800}}
	for _, one := range changes {
		one(s)
	}
	return s
}

func running(s *v1alpha1.AgentSession) {
	s.Status.Pod = &v1alpha1.PodStatus{Name: "research-3", Node: "worker-2", IP: "10.0.0.7", CreatedAt: *at(-3600)}
	s.Status.PingStatus, s.Status.PingStatusSince, s.Status.HealthyAt = "Healthy", at(-300), at(-3590)
}

func next(reason v1alpha1.StopReason, in int) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.NextStop = &v1alpha1.NextStop{At: *at(in), Reason: reason}
	}
}

func ended(reason v1alpha1.StopReason, message string) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.LastTermination = &v1alpha1.Termination{Reason: reason, Message: message, Activation: 3, DueAt: at(-70), At: at(-60)}
		if s.Status.State == v1alpha1.StateStopping {
			s.Status.LastTermination.At = nil
		}
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
	}
}

// sessions has every state and every reason of a stop.
func sessions() map[string]*v1alpha1.AgentSession {
	list := map[string]*v1alpha1.AgentSession{
		"new": session("", func(s *v1alpha1.AgentSession) { s.Status = v1alpha1.AgentSessionStatus{} }),
		"starting": session(v1alpha1.StateStarting, func(s *v1alpha1.AgentSession) {
			s.Status.Pod = &v1alpha1.PodStatus{Name: "research-3", CreatedAt: *at(-20)}
		}, next(v1alpha1.StopStartFailed, 580),
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonImagePullFailed, `The image of the container "agent" cannot be had: "no such host".`)),
		"starting, container runs": session(v1alpha1.StateStarting, running, next(v1alpha1.StopStartTimeout, 100),
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "Starting", "The agent has not answered a ping yet.")),
		"refused": session(v1alpha1.StateStarting, condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodRefused, `The API server refused the pod: exceeded quota: team.`)),
		"active": session(v1alpha1.StateActive, running, next(v1alpha1.StopMaxLifetime, 25200), func(s *v1alpha1.AgentSession) {
			s.Status.PingStatus = "HealthyBusy"
			until := metav1.NewMicroTime(now.Add(5 * time.Minute))
			s.Status.Traffic = &v1alpha1.Traffic{InUseUntil: &until}
		}, condition(v1alpha1.ConditionStuck, metav1.ConditionTrue, v1alpha1.ReasonBusyTooLong, "The agent has been HealthyBusy for 2h. Its oldest task: \"index\", 2h.")),
		"active, a call": session(v1alpha1.StateActive, running, next(v1alpha1.StopMaxLifetime, 25200), func(s *v1alpha1.AgentSession) {
			until := metav1.NewMicroTime(now.Add(5 * time.Minute))
			s.Status.Traffic = &v1alpha1.Traffic{InUseUntil: &until}
		}),
		"active, stuck": session(v1alpha1.StateActive, running, next(v1alpha1.StopStuckBusy, 600), func(s *v1alpha1.AgentSession) { s.Status.PingStatus = "HealthyBusy" }),
		"idle": session(v1alpha1.StateIdle, running, next(v1alpha1.StopIdleTimeout, 600), func(s *v1alpha1.AgentSession) {
			s.Status.IdleSince, s.Status.TimeScale, s.Status.Pod.CreatedAt = at(-300), 12, *at(-310)
			s.Status.History = []v1alpha1.PastActivation{
				{Reason: v1alpha1.StopMaxLifetime, Message: "It lived for 8h0m0s, whatever it did.", Activation: 2, From: at(-40000), Until: *at(-11200), ActiveSeconds: 28000, IdleSeconds: 700},
				{Reason: v1alpha1.StopStartFailed, Message: "The API server refused the pod.", Activation: 1, Until: *at(-90000)},
			}
		}, condition(v1alpha1.ConditionPingContract, metav1.ConditionFalse, v1alpha1.ReasonTimestampMilliseconds, "time_of_last_update is in milliseconds.")),
		"idle, to stop":    session(v1alpha1.StateIdle, running, next(v1alpha1.StopIdleTimeout, 600), func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped }),
		"idle, fails":      session(v1alpha1.StateIdle, running, next(v1alpha1.StopUnhealthy, 20)),
		"idle, to replace": session(v1alpha1.StateIdle, running, next(v1alpha1.StopIdleTimeout, 600), func(s *v1alpha1.AgentSession) { s.Spec.Activation = 4 }),
		"stopping":         session(v1alpha1.StateStopping, running, ended(v1alpha1.StopIdleTimeout, "No work for 15m0s.")),
		"stopped, deleted after": session(v1alpha1.StateStopped, ended(v1alpha1.StopIdleTimeout, "No work for 15m0s."), func(s *v1alpha1.AgentSession) {
			day := int32(86400)
			s.Spec.TTLSecondsAfterStopped = &day
		}),
		"stopped, hostile": session(v1alpha1.StateStopped, ended(v1alpha1.StopAgentExited, "exited: \x1b[31mred\n"+strings.Repeat("x", 5000))),
	}
	for _, reason := range constants("StopReason") {
		list["stopped, "+reason] = session(v1alpha1.StateStopped, ended(v1alpha1.StopReason(reason), "What the operator said."), func(s *v1alpha1.AgentSession) {
			if reason == string(v1alpha1.StopRequested) {
				s.Spec.DesiredState = v1alpha1.DesiredStopped
			}
		})
	}
	return list
}

// constants are the values of a type of the API.
func constants(kind string) (values []string) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "../../api/v1alpha1/agentsession_status.go", nil, 0)
	if err != nil {
		panic(err)
	}
	for _, declared := range file.Decls {
		list, ok := declared.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range list.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || value.Type == nil {
				continue
			}
			if name, is := value.Type.(*ast.Ident); is && name.Name == kind {
				text, _ := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
				values = append(values, text)
			}
		}
	}
	return values
}

func expectGolden(t *testing.T, name, text string) {
	t.Helper()
	g := NewWithT(t)
	path := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "").Replace(name)+".golden")
	if *update {
		g.Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
	}
	golden, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred(), "go test ./internal/explain -update writes it")
	g.Expect(text).To(Equal(string(golden)))
}

func TestSessions(t *testing.T) {
	events := []explain.Event{{At: now.Add(-time.Minute), Reason: "Idle", Note: "The session has no work."}, {At: now.Add(-time.Hour), Reason: "Starting", Note: "Activation 3 starts"}}
	for name, one := range sessions() {
		t.Run(name, func(t *testing.T) { expectGolden(t, name, explain.Session(one, events, now)) })
	}
	t.Run("gone", func(t *testing.T) { expectGolden(t, "gone", explain.Gone("team", "research", events, now)) })
	t.Run("never there", func(t *testing.T) {
		expectGolden(t, "never there", explain.Gone("team", "research", nil, now))
	})
}

func TestRuntimes(t *testing.T) {
	agent := func(changes ...func(*v1alpha1.AgentRuntime)) *v1alpha1.AgentRuntime {
		r := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "echo"}}
		for _, one := range changes {
			one(r)
		}
		return r
	}
	recorded := func(r *v1alpha1.AgentRuntime) {
		r.Status.AgentRuntimeArn, r.Status.AgentRuntimeVersion = "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/echo-abcdefghij", 4
	}
	fails := func(r *v1alpha1.AgentRuntime) {
		r.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVersionRecorded, Message: "Sessions start with version 4."},
			{Type: v1alpha1.ConditionSessionsStart, Status: metav1.ConditionFalse, Reason: "StartFailed", Message: `The AgentSession "echo-1" did not start: OutOfmemory`},
		}
	}
	var list []v1alpha1.AgentSession
	for _, name := range []string{"active", "idle", "stopped, AgentExited", "stopped, IdleTimeout", "new"} {
		list = append(list, *sessions()[name])
	}
	for i := range 4 {
		one := sessions()["stopped, MaxLifetime"]
		one.Status.LastTermination.At = at(-i * 1000)
		list = append(list, *one)
	}
	expectGolden(t, "runtime, new", explain.Runtime(agent(), nil, nil, now))
	expectGolden(t, "runtime, unused", explain.Runtime(agent(recorded), nil, nil, now))
	expectGolden(t, "runtime, fails", explain.Runtime(agent(recorded, fails), list, []explain.Event{{At: now, Reason: "StartFailed", Note: "A start failed"}}, now))
}

// TestEveryStateAndReason: whoever adds one writes what it means.
func TestEveryStateAndReason(t *testing.T) {
	g := NewWithT(t)
	states, foreseen := map[string]bool{}, map[string]bool{}
	for _, one := range sessions() {
		states[string(one.Status.State)] = true
		if one.Status.NextStop != nil {
			foreseen[string(one.Status.NextStop.Reason)] = true
		}
	}
	g.Expect(constants("SessionState")).To(HaveLen(5))
	for _, state := range constants("SessionState") {
		g.Expect(states).To(HaveKey(state), "a golden text")
	}
	g.Expect(constants("StopReason")).To(HaveLen(9))
	for _, reason := range constants("StopReason") {
		text := explain.Session(sessions()["stopped, "+reason], nil, now)
		g.Expect(text).To(MatchRegexp(`Reason: `+reason+`\. \S`), "what it means")
		g.Expect(text).To(MatchRegexp(reason+`: \S`), "what AgentCore does")
	}
	for _, reason := range []string{"IdleTimeout", "MaxLifetime", "StartFailed", "StartTimeout", "Unhealthy", "StuckBusy"} { // by the doc of nextStop.reason
		g.Expect(foreseen).To(HaveKey(reason), "a golden text of what puts it off")
	}
}
