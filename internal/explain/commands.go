package explain

import (
	"fmt"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// isName tells whether a name may be one of Kubernetes' objects: the schema takes others in
// places, and a shell would take them for more.
func isName(name string) bool {
	return name != "" && name[0] != '-' &&
		!strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' })
}

// names are those of the compute's pod, of which kubectl shows logs and Events, and of the runtime;
// empty where there is none, or none that may stand in a command.
func (l *life) names() (pod, agent string) {
	if l.status.Pod != nil && !l.Tools.Laptop && isName(l.status.Pod.Name) {
		pod = l.status.Pod.Name
	}
	if ref := l.Session.Spec.RuntimeRef; ref != nil && isName(ref.Name) {
		agent = ref.Name
	}
	return pod, agent
}

// output says where on a laptop is what the agent writes.
func (l *life) output() []string {
	if !l.Tools.Laptop || l.status.Pod == nil {
		return nil
	}
	return []string{"What its agent writes is in the output of `agentsession local`, with the session before each line."}
}

// ofPod are the commands that show what a pod waits for, and what its agent writes.
func (l *life) ofPod(pod string) []Command {
	if pod == "" {
		return nil
	}
	logs := Command{fmt.Sprintf("%s logs -n %s %s --all-containers --tail=50", l.Tools.Kubectl, l.Session.Namespace, pod), "read what its agent writes"}
	if l.status.State != v1alpha1.StateStarting {
		logs.Line += " --follow"
		return []Command{logs}
	}
	return []Command{{fmt.Sprintf("%s events -n %s --for pod/%s", l.Tools.Kubectl, l.Session.Namespace, pod), "see what its pod waits for"}, logs}
}

// commands are what is of use now.
func (l *life) commands() (list []Command) {
	name := fmt.Sprintf("%s -n %s", l.Session.Name, l.Session.Namespace)
	add := func(does, format string, values ...any) {
		list = append(list, Command{fmt.Sprintf(format, values...), does})
	}
	pod, agent := l.names()
	switch l.status.State {
	case "":
		if !l.Tools.Laptop {
			add("see whether an operator runs", "%s get pods -n agentsession-system", l.Tools.Kubectl)
		}
	case v1alpha1.StateStarting:
		list = append(list, l.ofPod(pod)...)
		if lifecycle.StopByHand(l.Session).Not == "" {
			add("give the start up", "%s stop %s", l.Tools.Self, name)
		}
	case v1alpha1.StateActive, v1alpha1.StateIdle:
		list = append(list, l.ofPod(pod)...)
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
	if agent != "" {
		add("see how its runtime's other sessions do", "%s explain runtime/%s -n %s", l.Tools.Self, agent, l.Session.Namespace)
	}
	add("watch what becomes of it", "%s watch %s", l.Tools.Self, name)
	return list
}

// Quoted is a word as a shell takes it.
func Quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@+=,", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
