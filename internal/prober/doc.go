// Package prober is the heartbeat: it asks thousands of agents GET /ping, or MCP
// servers MCP's ping, each once in a period and always at the same moment of it, keeps a
// lifecycle.Pulse of each in memory, and tells only about changes.
//
//	Track, Forget                               notify(key)
//	     │                                           ▲ only if Pulse.Tells
//	     ▼                                           │
//	  entries ──> wheel ──> asker ──> line ──────────┴─> Pulse ──> Pulse(key, uid)
//	  (a session   (100     (loop or   (one kept               └──> Outage()
//	   each)       slots)   goroutines) connection)
//
// On Linux the asker is one goroutine with epoll. Elsewhere, and where a Pinger
// is given, each ping has a goroutine while it is out. Both read and judge an
// answer by the same code.
//
// What it promises:
//   - An agent that is slow, dead or hostile costs itself only: one connection
//     and one question outstanding, with a deadline; it is read in few pieces,
//     however small it sends them.
//   - A ping that could not be made for a reason of our own (no place, no
//     descriptor, a starved or stopped process) is missed: it never counts as a
//     failure of the agent.
//   - An answer counts only while the entry that asked is still the one tracked.
//     Connections belong to an entry, never to a pool by address, so that
//     whoever gets the address next is not taken for the agent before.
//   - It keeps no connection to an agent that serves one at a time (beside).
//   - No lock is held over I/O, notify or Options.Observe.
//
// What it never does: read or write Kubernetes objects, decide what a pulse
// means for a session, log, or follow an agent's answer anywhere. It dials
// what it is told to, short of addresses that can be no pod's (see
// HTTPPinger): that an address is the session's own pod's, and not the node's,
// is for the caller to know.
package prober
