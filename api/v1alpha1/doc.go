// Package v1alpha1 is the API group runtime.agentsession.dev.
//
// A session is the named, lasting thing: an AgentSession. Its compute is the
// pod of one activation (1, 2, 3, ...); a stop takes the compute away and
// leaves the session, which can be woken as the next activation with fresh
// memory and fresh clocks. The operator pings the agent in the compute every
// 2 seconds; the agent answers Healthy, or HealthyBusy while background tasks
// run. A busy session is Active, one without work is Idle.
//
// Field names are AgentCore's where AgentCore has the field.
//
// +kubebuilder:object:generate=true
// +groupName=runtime.agentsession.dev
package v1alpha1
