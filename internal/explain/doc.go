// Package explain tells in sentences what a session or a runtime is, why, what comes next
// and what would change that: pure functions of objects and a time. Times are told in the
// zone of that time. What agents and tenants wrote is bounded and printable in all of it.
package explain
