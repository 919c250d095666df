package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const namespace = "agentsession-demo"

// kubectl is the command as a user types it.
func (o order) kubectl() string { return kubectlPatch(o.session, o.patch) }

func kubectlPatch(session, patch string) string {
	return fmt.Sprintf("kubectl -n %s patch ags %s --type=merge -p '%s'", namespace, session, patch)
}

// summary says what happened and why, in 80 characters.
func (v view) summary() []line {
	lines := []line{
		{{bold, "What happened, and why"}},
		nil,
		{{dim, v.columns("SESSION", "AT", "WHAT", "RULE")}},
	}
	var cited []source
	for _, p := range v.story.plots {
		for i, s := range p.steps[:p.next] {
			name := ""
			if i == 0 {
				name = p.session
			}
			lines = append(lines, text(v.columns(name, clockOf(s.at.Sub(v.began)), s.says+v.figure(p, s.rule), s.rule.name+cite(&cited, s.rule.source))))
		}
	}
	lines = append(lines, nil)
	for i, s := range cited {
		lines = append(lines, line{{dim, fmt.Sprintf("[%d] %s", i+1, s)}})
	}
	if v.story.scale > 1 {
		lines = append(lines, line{{dim, fmt.Sprintf("Durations are those of the manifests, divided by %d.", v.story.scale)}})
	}
	return append(append(lines, nil), v.lateness()...)
}

func (v view) columns(session, at, what, rule string) string {
	return pad(session, 10) + pad(at, 5) + pad(what, wideSays) + rule
}

// figure is how long a step waited by its rule.
func (v view) figure(p *plot, r rule) string {
	if r.seconds == nil {
		return ""
	}
	return fmt.Sprintf(" after %.3g s", float64(r.seconds(p.seen))/float64(v.story.scale))
}

// cite numbers the sources in the order in which they are first named.
func cite(cited *[]source, s source) string {
	if s == ownRule {
		return " (only here)"
	}
	i := slices.Index(*cited, s)
	if i < 0 {
		i = len(*cited)
		*cited = append(*cited, s)
	}
	return fmt.Sprintf(" [%d]", i+1)
}

// lateness of each stop, as status tells it: in whole seconds, and to the end
// of the pod, not to its deletion.
func (v view) lateness() []line {
	lines := []line{
		{{bold, "How late the stops were"}},
		{{dim, "From due to pod gone, as in status, in whole seconds. The agent's own shutdown"}},
		{{dim, "is in it; the operator's part alone is in its metrics."}},
		nil,
	}
	for _, p := range v.story.plots {
		if p.seen == nil || p.seen.Status.LastTermination == nil {
			continue
		}
		lines = append(lines, text(pad(p.session, 10)+termination(p.seen.Status.LastTermination)))
	}
	return lines
}

func termination(last *v1alpha1.Termination) string {
	s := pad(string(last.Reason), 15)
	if last.DueAt == nil || last.At == nil {
		return s + "no times in status"
	}
	return s + fmt.Sprintf("due %s  gone %s  +%d s", last.DueAt.Local().Format(time.TimeOnly), last.At.Local().Format(time.TimeOnly),
		int(last.At.Sub(last.DueAt.Time).Seconds()))
}

// demoDown takes away what make demo has made, and nobody's own cluster.
const demoDown = "make demo-down"

// goOn are the commands to go on with. setup are those that a shell needs
// first.
func (v view) goOn(setup []string, borrowed bool) []line {
	lines := []line{{{bold, "The cluster stays up"}}, nil}
	if borrowed {
		lines = []line{{{bold, "The sessions stay"}}, nil}
	}
	next := int32(2)
	if p := v.story.plot("research"); p != nil && p.seen != nil {
		next = p.seen.Status.Activation + 1
	}
	for _, command := range setup {
		lines = append(lines, text("  "+command))
	}
	for _, c := range []struct{ command, does string }{
		{"kubectl get ags -A -w", "watch them"},
		{"kubectl -n " + namespace + " describe ags forgetful", "why, and when"},
		{kubectlPatch("research", fmt.Sprintf(`{"spec":{"activation":%d}}`, next)), "wake it"},
		{demoDown, "take the cluster away"},
	} {
		if borrowed && c.command == demoDown {
			continue
		}
		l := line{{plain, "  " + c.command}, {dim, "   # " + c.does}}
		if len(c.command) > 70 {
			l = l[:1] // the terminal breaks it anyhow
		}
		lines = append(lines, l)
	}
	return lines
}

// failure says what went wrong, what was seen and where to look.
func (v view) failure() []line {
	var lines []line
	for _, p := range v.story.plots {
		switch {
		case p.wrong != "":
			lines = append(lines, line{{red, "✗ " + p.session + ": " + p.wrong}})
		case p.next < len(p.steps) && !v.story.wrong():
			lines = append(lines, line{{red, fmt.Sprintf("✗ %s: the time is over (%s), and it was not: %s", p.session, clockOf(v.now.Sub(v.began)), p.steps[p.next].says)}})
		default:
			continue
		}
		lines = append(lines, text("  last seen: "+p.lastSeen()))
		if hint := v.hint(p); hint != "" {
			lines = append(lines, text("  "+hint))
		}
		lines = append(lines, text("  look at:   kubectl -n "+namespace+" describe ags "+p.session))
	}
	for _, n := range v.news {
		if n.kind == newsWarning || n.kind == newsTrouble {
			lines = append(lines, line{{yellow, "  " + strings.TrimSpace(n.plainLine())}})
		}
	}
	return append(lines,
		text("  look at:   kubectl -n "+namespace+" get pods,events"),
		text("  look at:   kubectl -n agentsession-system logs -l app.kubernetes.io/component=operator --tail=-1"))
}

func (p *plot) lastSeen() string {
	if p.seen == nil {
		return "nothing"
	}
	s := change(&p.seen.Status)
	if c := meta.FindStatusCondition(p.seen.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		s += fmt.Sprintf("; Ready=%s: %s", c.Status, c.Message)
	}
	return s
}

// hint is for machines that are slower than the demo's scaled time allows.
func (v view) hint(p *plot) string {
	if p.seen == nil || p.seen.Status.LastTermination == nil {
		return ""
	}
	limit := func(scale int) time.Duration {
		policy := lifecycle.PolicyOf(&v1alpha1.AgentSessionSpec{}, scale)
		return map[v1alpha1.StopReason]time.Duration{
			v1alpha1.StopStartFailed: policy.Provisioning, v1alpha1.StopStartTimeout: policy.StartTimeout,
		}[p.seen.Status.LastTermination.Reason]
	}
	scale := int(v.story.scale)
	if limit(scale) == 0 {
		return ""
	}
	slower := max(scale/2, 1)
	for slower > 1 && limit(slower) == limit(scale) {
		slower /= 2
	}
	return fmt.Sprintf("If this machine took longer than %s to start it, try: go run ./hack/demo --time-scale=%d", limit(scale), slower)
}
