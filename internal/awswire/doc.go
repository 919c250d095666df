// Package awswire is what AgentCore's two planes have in common on the wire: errors in
// the shapes that AWS's clients read, and ARNs.
package awswire
