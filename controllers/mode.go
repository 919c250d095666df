package controllers

// mode is what a reconciler does of the work: who asks the agents.
type mode int

const (
	// central asks all agents, and does all the rest.
	central mode = iota
	// delegating asks nobody, and does all the rest: processes on the nodes ask.
	delegating
	// onNode asks the agents of one node, and reports what they say. It creates and
	// deletes nothing.
	onNode
)

func (r *AgentSessionReconciler) mode() mode {
	switch {
	case r.Node != "":
		return onNode
	case r.Prober == nil:
		return delegating
	}
	return central
}
