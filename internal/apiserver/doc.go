// Package apiserver is how operator and gateway see the API server: which kinds they use
// there (Kinds), what their caches keep of the objects that tenants write (Slim), and
// whether it answers (Watched).
//
// What it never does: decide anything about a session.
package apiserver
