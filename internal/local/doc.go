// Package local is the platform in one process, for a laptop: operator and gateway, the
// same packages as on a cluster, on an API in memory (kubeapi), and a node that runs
// processes (node).
//
// What it never does: decide anything about a session. It says what happened.
package local
