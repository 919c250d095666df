package explain

import (
	"fmt"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// commands are what is of use now.
func (l *life) commands() (list []Command) {
	name := fmt.Sprintf("%s -n %s", l.Session.Name, l.Session.Namespace)
	add := func(does, format string, values ...any) {
		list = append(list, Command{fmt.Sprintf(format, values...), does})
	}
	pod := l.status.Pod
	switch l.status.State {
	case "":
		add("see whether an operator runs", "%s get pods -n agentsession-system", l.Tools.Kubectl)
	case v1alpha1.StateStarting:
		if pod != nil {
			add("see what its pod waits for", "%s events -n %s --for pod/%s", l.Tools.Kubectl, l.Session.Namespace, pod.Name)
			add("read what its agent writes", "%s logs -n %s %s --all-containers --tail=50", l.Tools.Kubectl, l.Session.Namespace, pod.Name)
		}
		add("give the start up", "%s stop %s", l.Tools.Self, name)
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		if pod != nil {
			add("read what its agent writes", "%s logs -n %s %s --all-containers --tail=50 --follow", l.Tools.Kubectl, l.Session.Namespace, pod.Name)
		}
		if lifecycle.StopByHand(l.Session).Not == "" {
			add("stop it now", "%s stop %s", l.Tools.Self, name)
		}
	case v1alpha1.StateStopping, v1alpha1.StateStopped:
	}
	if lifecycle.WakeByHand(l.Session).Not == "" {
		does := "start it again, with fresh memory"
		if lifecycle.Living(l.status.State) {
			does = "take the stop back"
		}
		add(does, "%s wake %s", l.Tools.Self, name)
	}
	if ref := l.Session.Spec.RuntimeRef; ref != nil {
		add("see how its runtime's other sessions do", "%s explain runtime/%s -n %s", l.Tools.Self, ref.Name, l.Session.Namespace)
	}
	add("watch what becomes of it", "%s watch %s", l.Tools.Self, name)
	return list
}
