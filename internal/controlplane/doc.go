// Package controlplane is AgentCore's control plane: operations that make, show, change and
// delete runtimes and their endpoints, backed by AgentRuntime objects and nothing else. What
// kubectl makes, AWS's clients see, and the other way round.
//
// It serves calls whose caller is known. The listener, and who calls, is the gateway's.
package controlplane
