// Package kubeapi is a Kubernetes API in this process, for a laptop: it has what the
// operator, the gateway and kubectl use, and keeps it in memory.
//
// The semantics are Kubernetes' own code: the registry and the request handlers of
// k8s.io/apiserver, and the handler of custom resources of k8s.io/apiextensions-apiserver
// with the project's CustomResourceDefinitions. Its own are the storage below them
// (table, in the place of etcd), a garbage collector, and strategies for the few kinds
// that are built in.
//
//	request ─> token ─> handlers ─> registry ─> view (codec) ─> table ─> log ─> watches
//
// What it never does: run anything, listen on other addresses than loopback, or keep
// anything after its end.
package kubeapi
