// Package lifecycle holds the rules of a session's life: when it starts, when
// it is active or idle, when and why its compute is stopped.
//
// Everything here is a pure function of facts and a time. There is no client,
// no clock, no goroutine and no logger: a rule is a sentence in
// docs/design.md, a function in rules.go and rows of a table in its test.
//
//	pings ──> Pulse ─┐
//	traffic ─────────┼─> Facts ─> Decide(now, Facts) ─> Verdict
//	pod, spec, status┘                                  (state, action, why, when to look again)
package lifecycle
