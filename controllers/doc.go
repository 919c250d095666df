// Package controllers is the hands of the operator: a session is observed,
// its fate is decided, one thing is done, and what happened is reported.
//
//	AgentSession, Pod ──watch──> work queue ──> Reconcile
//	prober (changes only) ─────────┘              │
//	                                              ├─ observe.go   objects, pulse, traffic -> lifecycle.Facts
//	                                              ├─ lifecycle.Decide
//	                                              ├─ act.go       create the pod, delete it, delete the session
//	                                              └─ report.go    one status patch if something changed, then the event
//
// Who writes what: the operator writes pods and the status, except
// status.traffic, which is the gateway's (a lease on a compute that is gone is
// taken off). Every status patch carries the
// resourceVersion that the decision was made on; a conflict means that
// somebody used the session meanwhile, and it is decided again.
//
// Nothing here decides: a rule that is needed here belongs in
// internal/lifecycle.
package controllers
