package explain_test

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// now is three o'clock at night.
var now = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)

var tools = explain.Tools{Self: "kubectl agentsession", Kubectl: "kubectl"}

func ago(d time.Duration) metav1.Time         { return metav1.NewTime(now.Add(-d)) }
func agoPtr(d time.Duration) *metav1.Time     { return new(ago(d)) }
func micro(d time.Duration) *metav1.MicroTime { return new(metav1.NewMicroTime(now.Add(-d))) }

// told is a condition that the operator wrote two minutes ago.
func told(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: ago(2 * time.Minute)}
}

func ready(reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if reason == "Active" || reason == "Idle" || reason == v1alpha1.ReasonFlapping {
		status = metav1.ConditionTrue
	}
	return told(v1alpha1.ConditionReady, status, reason, message)
}

// contracted is the condition PingContract as the operator writes it.
func contracted(reason, detail string) metav1.Condition {
	finding := lifecycle.Finding(reason)
	switch {
	case reason == v1alpha1.ReasonPingUnknown:
		return told(v1alpha1.ConditionPingContract, metav1.ConditionUnknown, reason, "The agent has not answered a ping yet.")
	case finding.Conforms():
		return told(v1alpha1.ConditionPingContract, metav1.ConditionTrue, reason, finding.Message(detail))
	}
	return told(v1alpha1.ConditionPingContract, metav1.ConditionFalse, reason, finding.Message(detail))
}

var (
	notStuck = told(v1alpha1.ConditionStuck, metav1.ConditionFalse, v1alpha1.ReasonNotStuck, "The session is not busy for longer than spec.stuckDetection allows.")
	off      = told(v1alpha1.ConditionStuck, metav1.ConditionFalse, v1alpha1.ReasonDetectionOff, "spec.stuckDetection is not set.")
)

type change func(*v1alpha1.AgentSession)

// session is one of the runtime echo.
func session(state v1alpha1.SessionState, changes ...change) *v1alpha1.AgentSession {
	s := &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Name: "research", Namespace: "team-a", CreationTimestamp: ago(70 * time.Minute), Generation: 1},
		Spec: v1alpha1.AgentSessionSpec{
			RuntimeRef: &v1alpha1.RuntimeRef{Name: "echo"}, DesiredState: v1alpha1.DesiredRunning, RuntimeSessionID: "research-" + strings.Repeat("0", 30),
		},
		Status: v1alpha1.AgentSessionStatus{
			State: state, Activation: 1, ObservedGeneration: 1,
			Conditions: []metav1.Condition{ready(string(state), ""), contracted(v1alpha1.ReasonPingConforms, ""), off},
			Runtime:    &v1alpha1.ActivationRuntime{AgentRuntimeVersion: 3, ProtocolConfiguration: lifecycle.ProtocolOf(v1alpha1.ProtocolConfiguration{})},
		},
	}
	for _, c := range changes {
		c(s)
	}
	return s
}

// with puts a condition in the place of another of its type.
func with(c metav1.Condition) change {
	return func(s *v1alpha1.AgentSession) {
		for i := range s.Status.Conditions {
			if s.Status.Conditions[i].Type == c.Type {
				s.Status.Conditions[i] = c
			}
		}
	}
}

// running has a pod of some age whose agent answers.
func running(age time.Duration) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.Pod = &v1alpha1.PodStatus{Name: fmt.Sprintf("research-%d", s.Status.Activation), UID: "p", IP: "10.0.0.7", Node: "n1", CreatedAt: ago(age)}
		if s.CreationTimestamp.After(s.Status.Pod.CreatedAt.Time) {
			s.CreationTimestamp = ago(age + time.Second)
		}
		s.Status.HealthyAt = agoPtr(age - 3*time.Second)
		s.Status.PingStatus, s.Status.PingStatusSince = "Healthy", agoPtr(age-3*time.Second)
		s.Status.Usage = &v1alpha1.Usage{CountedAt: ago(age - 3*time.Second)}
		s.Status.NextStop = &v1alpha1.NextStop{At: ago(age - 8*time.Hour), Reason: v1alpha1.StopMaxLifetime}
		for i := range s.Status.Conditions {
			if c := &s.Status.Conditions[i]; c.Type == v1alpha1.ConditionReady && c.Message == "" {
				c.Message = "The agent answers pings."
			}
		}
	}
}

func stored(s *v1alpha1.AgentSession) {
	s.Status.Storage = &v1alpha1.StorageStatus{PersistentVolumeClaim: "research", UID: "c"}
}

func stopsNext(in time.Duration, reason v1alpha1.StopReason) change {
	return func(s *v1alpha1.AgentSession) { s.Status.NextStop = &v1alpha1.NextStop{At: ago(-in), Reason: reason} }
}

// idleFor is without work since then, when a call ended.
func idleFor(d time.Duration) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.IdleSince, s.Status.Traffic = agoPtr(d), &v1alpha1.Traffic{LastInvocationAt: micro(d)}
		s.Status.Usage = &v1alpha1.Usage{CountedAt: ago(d), ActiveSeconds: 600}
		stopsNext(15*time.Minute-d, v1alpha1.StopIdleTimeout)(s)
	}
}

func busyFor(d time.Duration) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.PingStatus, s.Status.PingStatusSince = "HealthyBusy", agoPtr(d)
		s.Status.Usage = &v1alpha1.Usage{CountedAt: ago(d)}
	}
}

func called(s *v1alpha1.AgentSession) {
	s.Status.Traffic = &v1alpha1.Traffic{LastInvocationAt: micro(20 * time.Minute), InUseUntil: micro(-5 * time.Minute)}
	if s.Status.PingStatus == "Healthy" {
		s.Status.Usage = &v1alpha1.Usage{CountedAt: ago(90 * time.Second)}
	}
}

// starts has a pod that was made a while ago, and whose agent has not answered.
func starts(age time.Duration) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.Pod = &v1alpha1.PodStatus{Name: "research-1", UID: "p", CreatedAt: ago(age)}
		s.Status.NextStop = &v1alpha1.NextStop{At: ago(age - 10*time.Minute), Reason: v1alpha1.StopStartFailed}
		with(contracted(v1alpha1.ReasonPingUnknown, ""))(s)
	}
}

// stopped has ended for a reason, ten minutes ago, after 50 minutes.
func stopped(reason v1alpha1.StopReason, message string) change {
	return func(s *v1alpha1.AgentSession) {
		s.Status.LastTermination = &v1alpha1.Termination{
			Reason: reason, Message: message, Activation: s.Status.Activation, PingStatus: "Healthy", DueAt: agoPtr(10*time.Minute + 2*time.Second), At: agoPtr(10 * time.Minute),
		}
		s.Status.History = append([]v1alpha1.PastActivation{{
			Reason: reason, Message: message, Activation: s.Status.Activation, From: agoPtr(time.Hour), Until: ago(10 * time.Minute), ActiveSeconds: 1800, IdleSeconds: 1190,
		}}, s.Status.History...)
		if reason == v1alpha1.StopStartFailed || reason == v1alpha1.StopStartTimeout {
			s.Status.History[0].ActiveSeconds, s.Status.History[0].IdleSeconds = 0, 0
		}
	}
}

func detects(action v1alpha1.StuckAction) change {
	return func(s *v1alpha1.AgentSession) {
		s.Spec.StuckDetection = &v1alpha1.StuckDetection{AfterSeconds: 7200, Action: action}
		with(notStuck)(s)
	}
}

func clocked(c v1alpha1.IdleClock) change {
	return func(s *v1alpha1.AgentSession) { s.Status.Runtime.Ping.IdleClock = c }
}

// ofTemplate has no runtime: a gateway does not call it.
func ofTemplate(s *v1alpha1.AgentSession) {
	s.Spec.RuntimeRef, s.Spec.RuntimeSessionID = nil, ""
	s.Status.Runtime, s.Status.Traffic = nil, nil
}

func event(at time.Duration, kind, reason, message string) corev1.Event {
	return corev1.Event{Type: kind, Reason: reason, Message: message, EventTime: metav1.NewMicroTime(now.Add(-at))}
}

// stops are what the operator says of each reason of a stop.
var stops = map[v1alpha1.StopReason]string{
	v1alpha1.StopIdleTimeout:  "No work for 15m0s: the agent answers Healthy and no invocation is in flight",
	v1alpha1.StopMaxLifetime:  "The compute has lived for 8h0m0s; nothing extends its maximal lifetime, not even an agent that is HealthyBusy",
	v1alpha1.StopRequested:    "spec.desiredState is Stopped",
	v1alpha1.StopUnhealthy:    "At least 15 pings in a row failed: GET http://10.0.0.7:8080/ping: connection refused",
	v1alpha1.StopStartTimeout: "The agent was not healthy within 2m0s of the start of its container: connection refused (it must listen on the port that is asked, on all addresses and not on 127.0.0.1 only)",
	v1alpha1.StopStartFailed:  `The agent's container did not start within 10m0s of the creation of its pod (spec.provisioningTimeoutSeconds): the image "agent:1" of the agent (container "agent") cannot be had: ImagePullBackOff: Back-off pulling image. Look at its name, and at the pull secrets`,
	v1alpha1.StopStuckBusy:    "HealthyBusy for 2h0m0s, which is more than spec.stuckDetection.afterSeconds allows (2h0m0s), and spec.stuckDetection.action is Stop",
	v1alpha1.StopAgentExited:  `The agent (container "agent") exited with code 1: Error. Its last words: KeyError: 'MODEL'`,
	v1alpha1.StopComputeLost:  "The pod was evicted: The node was low on resource: memory",
}

// troubles are the reasons of the condition Ready that are no states, of a session in a
// state, with what the operator says.
var troubles = map[string]struct {
	state   v1alpha1.SessionState
	message string
}{
	v1alpha1.ReasonPodRefused:           {"Starting", `pods "research-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=10, limited: pods=10`},
	v1alpha1.ReasonPodNotMade:           {"Starting", `The pod could not be created, which is tried again: failed calling webhook "policy.example": connection refused.`},
	v1alpha1.ReasonPodNameTaken:         {"Starting", `A pod named research-1 is there, and is not this session's.`},
	v1alpha1.ReasonStorageRefused:       {"Starting", `The API server refused the session's storage: persistentvolumeclaims "research" is forbidden: exceeded quota: small`},
	v1alpha1.ReasonStorageNameTaken:     {"Starting", `A PersistentVolumeClaim named research is there and is not this session's; delete it, or this session`},
	v1alpha1.ReasonAddressRefused:       {"Starting", `The pod's address 127.0.0.1 is loopback, which is not asked.`},
	v1alpha1.ReasonRuntimeNotFound:      {"Starting", `There is no AgentRuntime "echo" in the namespace.`},
	v1alpha1.ReasonUnreadable:           {"Starting", `spec.template cannot be read: json: cannot unmarshal string into Go value`},
	v1alpha1.ReasonUnschedulable:        {"Starting", "The agent's container has not started yet: no node takes the pod: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.."},
	v1alpha1.ReasonStoragePending:       {"Starting", `The agent's container has not started yet: the session's storage, PersistentVolumeClaim research, has no volume (Pending): the StorageClass "fast" has made none: it is not there, or its provisioner is not, or takes its time. kubectl events --for pvc/research tells more.`},
	v1alpha1.ReasonImagePullFailed:      {"Starting", `The agent's container has not started yet: the image "agent:1" of the agent (container "agent") cannot be had: ErrImagePull: not found. Look at its name, and at the pull secrets.`},
	v1alpha1.ReasonContainerConfigError: {"Starting", `The agent's container has not started yet: the agent (container "agent") cannot be made as the template wants it: secret "api-keys" not found. Make what is missing, or take it out of the template.`},
	v1alpha1.ReasonContainerCreateError: {"Starting", `The agent's container has not started yet: its node cannot start the agent (container "agent"): context deadline exceeded.`},
	v1alpha1.ReasonContainerCrashing:    {"Starting", `The agent's container has not started yet: sidecar "proxy" ends again and again, at last with code 2: Error. Its last words: no route.`},
	v1alpha1.ReasonNoGoodAnswer:         {"Starting", "The agent's container has started, and the agent is not healthy yet: GET /ping was answered 404."},
	v1alpha1.ReasonMassFailure:          {"Idle", "The agent has not answered for 15 pings or more, and is not stopped for that: most agents were silent at the same time, so the fault may be the network's."},
	v1alpha1.ReasonFlapping:             {"Idle", "The agent answers pings. Its status changes so often that what is said of it may be 3m0s old."},
}

// answers are the findings of PingContract, with what was answered.
var answers = map[string]string{
	v1alpha1.ReasonPingConforms: "", v1alpha1.ReasonPingUnknown: "", v1alpha1.ReasonPingMCP: "", v1alpha1.ReasonTimestampMissing: "",
	v1alpha1.ReasonTimestampMilliseconds: "", v1alpha1.ReasonTimestampUnusable: "", v1alpha1.ReasonTimestampInFuture: "",
	v1alpha1.ReasonTimestampAdvances: "", v1alpha1.ReasonTimestampFrozen: "",
	v1alpha1.ReasonPingTooSlow: "GET /ping was not answered within 2s", v1alpha1.ReasonPingNotOK: "GET /ping was answered 503",
	v1alpha1.ReasonPingSaysUnhealthy: `GET /ping was answered with 503 and the status "Unhealthy"`,
	v1alpha1.ReasonPingMalformed:     "GET /ping was answered in no HTTP", v1alpha1.ReasonStatusUnknown: `GET /ping was answered with the status "ok"`,
	v1alpha1.ReasonPingNotJSON: `GET /ping was answered "pong"`, v1alpha1.ReasonPingEncoded: "GET /ping was answered with Content-Encoding gzip",
	v1alpha1.ReasonPingTooLarge: "GET /ping was answered with more than 4096 bytes", v1alpha1.ReasonPingByteOrderMark: "GET /ping was answered with a byte order mark",
}

// sessions are what is explained, by the name of the golden text.
func sessions() map[string]explain.Known {
	known := map[string]*v1alpha1.AgentSession{
		"state-Starting": session("Starting", starts(20*time.Second), with(ready("Starting", `The agent's container has not started yet: the agent (container "agent") waits for images, volumes and the network of the pod (ContainerCreating): kubectl events --for pod/research-1 tells what is slow or missing.`))),
		"state-Active":   session("Active", running(time.Hour), busyFor(40*time.Minute)),
		"state-Idle":     session("Idle", running(time.Hour), idleFor(9*time.Minute)),
		"state-Stopping": session("Stopping", running(time.Hour), stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) {
			s.Status.NextStop, s.Status.History = nil, nil
			s.Status.LastTermination.At, s.Status.LastTermination.DueAt = nil, agoPtr(4*time.Second)
		}),
		"state-Stopped": session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout])),

		"new": session("", func(s *v1alpha1.AgentSession) {
			s.Status, s.CreationTimestamp = v1alpha1.AgentSessionStatus{}, ago(time.Second)
		}),
		"new-and-nobody-looks": session("", func(s *v1alpha1.AgentSession) { s.Status = v1alpha1.AgentSessionStatus{} }),
		"starting-agent-not-there-yet": session("Starting", starts(50*time.Second), stopsNext(80*time.Second, v1alpha1.StopStartTimeout),
			with(ready("Starting", "The agent's container has started, and the agent is not healthy yet: connection refused."))),
		"starting-is-to-stop": session("Starting", starts(20*time.Second), with(ready("Starting", "The agent's container has not started yet.")), func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped }),
		"starting-again-beside-the-last": session("Stopping", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) {
			s.Spec.Activation, s.Status.History, s.Status.LastTermination.At, s.Status.LastTermination.DueAt = 2, nil, nil, agoPtr(4*time.Second)
			with(ready("Stopping", `The compute is being taken away. The next one waits: the volume "data" of pod research-1 cannot be shared with another.`))(s)
		}),
		"active-called":                   session("Active", running(time.Hour), called),
		"active-both":                     session("Active", running(time.Hour), busyFor(40*time.Minute), called),
		"active-no-more":                  session("Active", running(time.Hour), func(s *v1alpha1.AgentSession) { s.Status.Traffic = &v1alpha1.Traffic{InUseUntil: micro(time.Second)} }),
		"active-may-get-stuck":            session("Active", running(time.Hour), busyFor(40*time.Minute), detects(v1alpha1.StuckReport)),
		"active-will-be-stopped-as-stuck": session("Active", running(time.Hour), busyFor(40*time.Minute), detects(v1alpha1.StuckStop), stopsNext(80*time.Minute, v1alpha1.StopStuckBusy)),
		"active-strict":                   session("Active", running(time.Hour), busyFor(time.Minute), clocked(v1alpha1.IdleClockAgentCoreStrict)),
		"active-and-too-old":              session("Active", running(8*time.Hour+3*time.Minute), busyFor(time.Minute), stopsNext(-3*time.Minute, v1alpha1.StopMaxLifetime)),
		"active-and-too-old-unsaid":       session("Active", running(8*time.Hour+3*time.Minute), busyFor(time.Minute), func(s *v1alpha1.AgentSession) { s.Status.NextStop = nil }),
		"active-is-to-stop":               session("Active", running(time.Hour), busyFor(time.Minute), func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped }),
		"active-is-replaced":              session("Active", running(time.Hour), busyFor(time.Minute), func(s *v1alpha1.AgentSession) { s.Spec.Activation = 2 }),
		"idle-by-the-operators-clock":     session("Idle", running(time.Hour), idleFor(9*time.Minute), clocked(v1alpha1.IdleClockObserved)),
		"idle-in-its-first-second": session("Idle", running(time.Second), func(s *v1alpha1.AgentSession) { // status has the first ping rounded up
			s.Status.HealthyAt, s.Status.PingStatusSince, s.Status.IdleSince = agoPtr(-time.Second), agoPtr(-time.Second), agoPtr(-time.Second)
			s.Status.Usage = &v1alpha1.Usage{CountedAt: ago(0)}
		}, stopsNext(15*time.Minute+time.Second, v1alpha1.StopIdleTimeout)),
		"idle-since-its-start": session("Idle", running(2*time.Minute), func(s *v1alpha1.AgentSession) { s.Status.IdleSince = s.Status.HealthyAt }, stopsNext(13*time.Minute, v1alpha1.StopIdleTimeout)),
		"idle-and-due":         session("Idle", running(time.Hour), idleFor(15*time.Minute+8*time.Second)),
		"idle-and-long-due":    session("Idle", running(time.Hour), idleFor(25*time.Minute)),
		"idle-and-what-it-reserved": session("Idle", running(time.Hour), idleFor(9*time.Minute), func(s *v1alpha1.AgentSession) {
			s.Status.Reserved = &v1alpha1.Reserved{
				MilliCPU: 500, MemoryMiB: 1536, // since 9 minutes: 270 CPU-seconds, 810 GB-seconds
				Active: v1alpha1.ResourceTime{MilliCPUSeconds: 300_000, MemoryMiBSeconds: 921_600},
				Idle:   v1alpha1.ResourceTime{MilliCPUSeconds: 10_250, MemoryMiBSeconds: 31_488},
				Other:  v1alpha1.ResourceTime{MilliCPUSeconds: 1_500, MemoryMiBSeconds: 4_608},
			}
		}),
		"idle-of-a-template":     session("Idle", running(time.Hour), idleFor(9*time.Minute), ofTemplate),
		"idle-says-busy":         session("Idle", running(time.Hour), busyFor(20*time.Minute), idleFor(16*time.Minute), detects(v1alpha1.StuckReport), clocked(v1alpha1.IdleClockAgentCoreStrict), stopsNext(time.Minute, v1alpha1.StopIdleTimeout)),
		"idle-scaled":            session("Idle", running(time.Minute), idleFor(30*time.Second), func(s *v1alpha1.AgentSession) { s.Status.TimeScale = 12 }, stopsNext(45*time.Second, v1alpha1.StopIdleTimeout)),
		"idle-and-being-deleted": session("Idle", running(time.Hour), idleFor(9*time.Minute), func(s *v1alpha1.AgentSession) { s.DeletionTimestamp = agoPtr(time.Second) }),
		"stopped-and-never-ran": session("Stopped", func(s *v1alpha1.AgentSession) {
			s.Spec.DesiredState, s.Status.Activation = v1alpha1.DesiredStopped, 0
		}),
		"stopped-and-given-up": session("Stopped", stopped(v1alpha1.StopStartFailed, "exceeded quota: small (given up: spec.desiredState is Stopped)"), func(s *v1alpha1.AgentSession) {
			s.Spec.DesiredState, s.Status.LastTermination.DueAt, s.Status.History[0].From = v1alpha1.DesiredStopped, nil, nil
		}),
		"stopped-by-a-scaled-limit":   session("Stopped", stopped(v1alpha1.StopStartTimeout, strings.Replace(stops[v1alpha1.StopStartTimeout], "2m0s", "20s", 1)), func(s *v1alpha1.AgentSession) { s.Status.TimeScale = 8 }),
		"stopped-and-woken":           session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) { s.Spec.Activation = 2 }),
		"stopped-and-to-be-deleted":   session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = new(int32(86400)) }),
		"stopped-and-not-deleted":     session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = new(int32(300)) }),
		"stopped-with-storage":        session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), stored),
		"stopped-and-storage-with-it": session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), stored, func(s *v1alpha1.AgentSession) { s.Spec.TTLSecondsAfterStopped = new(int32(86400)) }),
		"idle-with-storage":           session("Idle", running(time.Hour), idleFor(9*time.Minute), stored),
		"stopped-twice-over":          session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]), func(s *v1alpha1.AgentSession) { s.Spec.DesiredState = v1alpha1.DesiredStopped }),
		"stuck-BusyTooLong": session("Active", running(4*time.Hour), busyFor(3*time.Hour), detects(v1alpha1.StuckReport), with(told(v1alpha1.ConditionStuck, metav1.ConditionTrue, v1alpha1.ReasonBusyTooLong,
			`The agent is busy for longer than it should be: HealthyBusy for 2h0m0s; its oldest task is "index" of 2h10m0s. It costs until its maximal lifetime; set spec.desiredState to Stopped to end it.`))),
		"stuck-TaskForgotten": session("Active", running(4*time.Hour), busyFor(10*time.Minute), detects(v1alpha1.StuckReport), with(told(v1alpha1.ConditionStuck, metav1.ConditionTrue, v1alpha1.ReasonTaskForgotten,
			`The agent is busy for longer than it should be: the task "index" has ended by the agent's own journal, and was not completed. It costs until its maximal lifetime; set spec.desiredState to Stopped to end it.`))),
		"unreadable": session("Stopped", func(s *v1alpha1.AgentSession) { s.Unreadable = "spec.template: cannot unmarshal" }),
	}
	for reason, message := range stops {
		known["stop-"+string(reason)] = session("Stopped", stopped(reason, message), func(s *v1alpha1.AgentSession) {
			if reason == v1alpha1.StopRequested {
				s.Spec.DesiredState = v1alpha1.DesiredStopped
			}
		})
	}
	for reason, row := range troubles {
		s := session(row.state, with(ready(reason, row.message)))
		switch {
		case row.state == "Idle":
			running(time.Hour)(s)
			idleFor(9 * time.Minute)(s)
		case reason == v1alpha1.ReasonPodNotMade:
			stopsNext(8*time.Minute, v1alpha1.StopStartFailed)(s)
		case !lifecycle.Refuses(reason) || reason == v1alpha1.ReasonAddressRefused:
			starts(time.Minute)(s)
			if reason == v1alpha1.ReasonAddressRefused || reason == v1alpha1.ReasonNoGoodAnswer {
				stopsNext(75*time.Second, v1alpha1.StopStartTimeout)(s)
			}
		}
		known["ready-"+reason] = s
	}
	for reason, detail := range answers {
		s := session("Active", running(time.Hour), busyFor(40*time.Minute), with(contracted(reason, detail)))
		switch reason {
		case v1alpha1.ReasonTimestampAdvances:
			s = session("Idle", running(time.Hour), with(contracted(reason, detail)))
		case v1alpha1.ReasonPingMCP:
			s = session("Idle", running(time.Hour), idleFor(9*time.Minute), with(contracted(reason, detail)), func(s *v1alpha1.AgentSession) {
				s.Status.Runtime.ProtocolConfiguration.ServerProtocol = v1alpha1.ProtocolMCP
			})
		case v1alpha1.ReasonPingUnknown:
			s = session("Starting", starts(20*time.Second))
		}
		known["ping-"+reason] = s
	}
	all := map[string]explain.Known{}
	for name, s := range known {
		all[name] = explain.Known{Session: s, Tools: tools}
	}
	fresh := session("Starting", starts(4*time.Second), with(ready("Starting", "The pod was made; the agent's container has not started yet.")))
	all["starting-its-agent-runs"] = explain.Known{Session: fresh, Tools: tools, Pod: podOf(fresh, "n1", corev1.ContainerStatus{
		Name: "agent", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(3 * time.Second)}},
	})}
	all["starting-a-moment-ago"] = explain.Known{Session: fresh, Tools: tools, Pod: podOf(fresh, "")}
	laptop := tools
	laptop.Laptop = true
	unheard := known["stop-StartTimeout"].DeepCopy()
	unheard.Status.LastTermination.Message = "The agent was not healthy within 2m0s of the start of its container: connection refused " +
		"(it must listen at the port that PORT in its environment names, which is another for each session; in a container at the contract's port, on all addresses of it)"
	for name, s := range map[string]*v1alpha1.AgentSession{
		"new": known["new"], "starting": fresh, "busy": known["state-Active"], "stopped": known["state-Stopped"],
		"unheard": unheard, "silent": known["ready-NoGoodAnswer"],
	} {
		all["laptop-"+name] = explain.Known{Session: s, Tools: laptop}
	}
	old := session("Starting", starts(time.Minute), with(ready("Starting", "The pod was made; the agent's container has not started yet.")))
	all["starting-without-a-scheduler"] = explain.Known{Session: old, Tools: tools, Pod: podOf(old, "")}
	all["long-life"] = longLife()
	all["hostile"] = hostile()
	return all
}

// podOf is the pod of a session's compute.
func podOf(s *v1alpha1.AgentSession, node string, containers ...corev1.ContainerStatus) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "agent"}}}, Status: corev1.PodStatus{ContainerStatuses: containers}}
	pod.Name, pod.UID, pod.CreationTimestamp = s.Status.Pod.Name, s.Status.Pod.UID, s.Status.Pod.CreatedAt
	return pod
}

// longLife has more moments than a time line shows, and Events of all kinds.
func longLife() explain.Known {
	s := session("Idle", running(30*time.Minute), idleFor(9*time.Minute), func(s *v1alpha1.AgentSession) {
		s.CreationTimestamp, s.Status.Activation, s.Status.Pod.Name = ago(30*time.Hour), 11, "research-11"
		for i := range 10 {
			end := time.Duration(i+1) * 3 * time.Hour
			s.Status.History = append(s.Status.History, v1alpha1.PastActivation{
				Reason: v1alpha1.StopIdleTimeout, Message: stops[v1alpha1.StopIdleTimeout], Activation: int32(10 - i), From: agoPtr(end + 40*time.Minute), Until: ago(end), ActiveSeconds: 900, IdleSeconds: 1490,
			})
		}
	})
	repeated := event(25*time.Minute, "Warning", "PodRefused", "exceeded quota: small")
	repeated.Series = &corev1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(now.Add(-20 * time.Minute))}
	old := corev1.Event{Reason: "Idle", Message: "The session has no work: the agent answers Healthy", FirstTimestamp: ago(9 * time.Minute), Count: 1}
	return explain.Known{Session: s, Tools: tools, Events: []corev1.Event{
		old, event(29*time.Minute, "Normal", "Active", "The session has work: the agent answers HealthyBusy"),
		event(30*time.Minute, "Normal", "Starting", "Activation 11 starts"), event(50*time.Minute, "Normal", "IdleTimeout", "Activation 10 is stopped: "+stops[v1alpha1.StopIdleTimeout]), repeated,
	}}
}

// hostile has texts that would take a terminal over.
func hostile() explain.Known {
	bad := strings.Repeat("\x1b[2J\u202e\n", 400)
	s := session("Stopped", stopped(v1alpha1.StopAgentExited, bad), with(contracted(v1alpha1.ReasonStatusUnknown, bad)))
	s.Status.PingStatus = bad
	return explain.Known{Session: s, Tools: tools, Events: []corev1.Event{event(time.Minute, "Warning", bad, bad)}}
}

func runtime(changes ...func(*v1alpha1.AgentRuntime)) *v1alpha1.AgentRuntime {
	r := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Name: "echo", Namespace: "team-a"}}
	r.Status.AgentRuntimeArn, r.Status.AgentRuntimeVersion = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/echo-abcdefghij", 3
	r.Status.Conditions = []metav1.Condition{
		told(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVersionRecorded, "Sessions start with version 3, or with that of their endpoint."),
		told(v1alpha1.ConditionSessionsStart, metav1.ConditionTrue, v1alpha1.ReasonHealthy, "The youngest compute of a session was healthy."),
	}
	for _, c := range changes {
		c(r)
	}
	return r
}

func turned(kind, reason, message string) func(*v1alpha1.AgentRuntime) {
	return func(r *v1alpha1.AgentRuntime) {
		for i := range r.Status.Conditions {
			if r.Status.Conditions[i].Type == kind {
				r.Status.Conditions[i] = told(kind, metav1.ConditionFalse, reason, message)
			}
		}
	}
}

// tried has a runtime's versions be tried.
func tried(status metav1.ConditionStatus, reason, message string) func(*v1alpha1.AgentRuntime) {
	return func(r *v1alpha1.AgentRuntime) {
		r.Status.Conditions = append(r.Status.Conditions, told(v1alpha1.ConditionValidated, status, reason, message))
	}
}

// noneValid is a runtime none of whose versions has started.
func noneValid(r *v1alpha1.AgentRuntime) {
	turned(v1alpha1.ConditionReady, v1alpha1.ReasonNoValidVersion, "The sessions of the endpoint DEFAULT cannot start: no version was tried with success (see the condition Validated).")(r)
}

// runtimes are the same of runtimes.
func runtimes() map[string]explain.Agent {
	one := *session("Stopped", stopped(v1alpha1.StopIdleTimeout, stops[v1alpha1.StopIdleTimeout]))
	two := *session("Stopped", stopped(v1alpha1.StopStartFailed, stops[v1alpha1.StopStartFailed]))
	crashed := *session("Stopped", stopped(v1alpha1.StopAgentExited, stops[v1alpha1.StopAgentExited]))
	two.Name, crashed.Name = "other", "other"
	busy, idle := *session("Active", running(time.Hour), busyFor(time.Minute)), *session("Idle", running(time.Hour), idleFor(time.Minute))
	return map[string]explain.Agent{
		"runtime-new":              {Runtime: runtime(func(r *v1alpha1.AgentRuntime) { r.Status = v1alpha1.AgentRuntimeStatus{} }), Tools: tools},
		"runtime-without-sessions": {Runtime: runtime(), Tools: tools},
		"runtime-at-work":          {Runtime: runtime(func(r *v1alpha1.AgentRuntime) { r.Spec.MaxSessions = new(int32(2)) }), Sessions: []v1alpha1.AgentSession{busy, idle, one}, Tools: tools},
		"runtime-StartFailed": {
			Runtime:  runtime(turned(v1alpha1.ConditionSessionsStart, "StartFailed", `The AgentSession "other" did not start: `+stops[v1alpha1.StopStartFailed])),
			Sessions: []v1alpha1.AgentSession{one, two}, Tools: tools, Events: []corev1.Event{event(time.Minute, "Warning", "StartFailed", `The AgentSession "other" did not start`)},
		},
		"runtime-AgentExited": {
			Runtime:  runtime(turned(v1alpha1.ConditionSessionsStart, "AgentExited", `The AgentSession "other" did not start: `+stops[v1alpha1.StopAgentExited])),
			Sessions: []v1alpha1.AgentSession{crashed}, Tools: tools, Events: []corev1.Event{event(time.Minute, "Warning", "AgentExited", `The AgentSession "other" did not start: `+stops[v1alpha1.StopAgentExited])},
		},
		"runtime-PodRefused":       {Runtime: runtime(turned(v1alpha1.ConditionSessionsStart, v1alpha1.ReasonPodRefused, `The AgentSession "other" cannot start: exceeded quota`)), Tools: tools},
		"runtime-Trying":           {Runtime: runtime(noneValid, tried(metav1.ConditionUnknown, v1alpha1.ReasonTrying, `Version 3 is tried by the AgentSession "echo-x".`)), Tools: tools},
		"runtime-tried-PodRefused": {Runtime: runtime(noneValid, tried(metav1.ConditionFalse, v1alpha1.ReasonPodRefused, "Version 3 was tried without success: exceeded quota")), Tools: tools},
		"runtime-TrialRefused":     {Runtime: runtime(noneValid, tried(metav1.ConditionFalse, v1alpha1.ReasonTrialRefused, "Version 3 was tried without success: The API server refused the session: exceeded quota")), Tools: tools},
		"runtime-WarmupFailed":     {Runtime: runtime(tried(metav1.ConditionFalse, v1alpha1.ReasonWarmupFailed, "Version 3 was tried without success: The warm-up hook: the answer was 500")), Tools: tools},
		"runtime-VersionNotFound":  {Runtime: runtime(turned(v1alpha1.ConditionReady, v1alpha1.ReasonVersionNotFound, "The sessions of the endpoint prod cannot start: "+lifecycle.NoVersion(9, 3, nil)+".")), Tools: tools},
		"runtime-VersionNameTaken": {Runtime: runtime(turned(v1alpha1.ConditionReady, v1alpha1.ReasonVersionNameTaken, "A ControllerRevision named echo-3 is there; if this AgentRuntime does not own it, delete it")), Tools: tools},
		"runtime-Unreadable":       {Runtime: runtime(turned(v1alpha1.ConditionReady, v1alpha1.ReasonUnreadable, "spec.template cannot be read"), func(r *v1alpha1.AgentRuntime) { r.Unreadable = "spec.template" }), Tools: tools},
	}
}

// texts are all explanations.
func texts() map[string]string {
	all := map[string]string{
		"gone": explain.Gone(now, "team-a", "research", []corev1.Event{
			event(50*time.Minute, "Normal", "Starting", "Activation 1 starts"), event(40*time.Minute, "Normal", "Idle", "The session has no work: the agent answers Healthy"),
			event(25*time.Minute, "Normal", "IdleTimeout", "Activation 1 is stopped: "+stops[v1alpha1.StopIdleTimeout]),
			event(24*time.Minute, "Normal", "Stopped", "Activation 1 is gone (IdleTimeout: "+stops[v1alpha1.StopIdleTimeout]+"). Set spec.activation to 2 to wake it."),
		}, tools).String(),
		"gone-after-a-crash": explain.Gone(now, "team-a", "research", []corev1.Event{
			event(50*time.Minute, "Normal", "Starting", "Activation 1 starts"),
			event(25*time.Minute, "Warning", "AgentExited", "Activation 1 is stopped: "+stops[v1alpha1.StopAgentExited]),
			event(24*time.Minute, "Normal", "Stopped", "Activation 1 is gone (AgentExited: "+stops[v1alpha1.StopAgentExited]+"). Set spec.activation to 2 to wake it."),
		}, tools).String(),
		"gone-without-a-trace": explain.Gone(now, "team-a", "research", nil, tools).String(),
	}
	for name, k := range sessions() {
		all[name] = explain.Session(now, k).String()
	}
	for name, a := range runtimes() {
		all[name] = explain.Runtime(now, a).String()
	}
	return all
}
