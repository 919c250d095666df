// Package dashboard is the page to look at: it serves one embedded page, and the stream and
// the answers that the page asks for.
//
//	AgentSessions, AgentRuntimes ── list and watch ──> feed ── what changed ──> reader ──> stream
//
// The feed keeps one entry of each object. A reader, one for each open page, keeps only which
// entries its page has not been sent yet, so the newest state wins and a slow page costs no
// memory. The words are internal/explain's.
//
// What it never does: decide anything about a session, or use other rights than those of the
// client that it was given.
package dashboard
