// Package node plays a node on a laptop: the pods of sessions become processes of this
// user. It writes of them what a kubelet would, so that operator and gateway see no
// difference.
//
//	pod ─> [address:port of the contract] ─forward─> [127.0.0.1:PORT] process
//	      ─> sh: a guard that ends the process groups when this process is gone, however
//
// A pod has a loopback address of its own where the system has more than one (Linux). Its
// agent learns from PORT, and from {port} in its command, where it may listen: several
// cannot have port 8080. One that listens there all the same has one session at a time.
//
// A pod whose agent has no command is a container of its image, run by Docker or Podman in the
// foreground: a process as the others, whose port is published at PORT.
//
// What it never does: isolate a process, pull an image, or run other containers of a pod
// than the agent's.
package node
