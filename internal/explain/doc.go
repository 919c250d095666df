// Package explain says in sentences what a session is, why, what comes next, what would
// change that, and what AgentCore would do: pure functions of objects and a moment. What
// agents and tenants wrote is cut and made printable.
package explain
