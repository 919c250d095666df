// Package node stands in for a node where an API server has none (envtest):
// it plays the kubelet for pods of sessions, and the agents in them. Each pod
// gets an address of its own in 127.0.0.0/8, so that thousands of agents need
// one process and one listener, and no traffic leaves loopback.
//
// It runs no containers. What a real kubelet does is tested on a real node, by
// test/e2e.
package node
