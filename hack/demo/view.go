package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// view is all that the live view shows at a moment.
type view struct {
	story *story
	news  []news
	began time.Time
	now   time.Time
}

// news is something that happened, shown below the sessions.
type news struct {
	at time.Time
	// session that it is about; empty if it is about none.
	session string
	kind    newsKind
	text    string
}

type newsKind int

const (
	newsEvent   newsKind = iota // the operator says it
	newsWarning                 // the same, and it is bad
	newsCommand                 // the demo does it
	newsChange                  // a status changed; the live view shows it above
	newsTick                    // an expectation happened; the live view ticks it above
	newsTrouble                 // the demo itself is in trouble
)

// minNews is how many lines of news there are at least.
const minNews = 3

// lines renders the view for a terminal of that size.
func (v view) lines(width, height int) []line {
	all := []line{v.title(), nil, v.header()}
	for _, p := range v.story.plots {
		all = append(all, v.row(p))
	}
	all = append(all, nil)
	for _, p := range v.story.plots {
		all = append(all, v.expectations(p)...)
	}
	all = append(all, nil)
	all = append(all, v.latest(width, max(height-1-len(all), minNews))...)
	for i := range all {
		all[i] = all[i].cut(width)
	}
	return all[:min(len(all), max(height-1, 1))] // the sessions come first
}

func (v view) title() line {
	l := line{{bold, "AgentSession"}, {plain, "  " + clockOf(v.now.Sub(v.began))}}
	if v.story.scale > 1 {
		l = append(l, span{dim, fmt.Sprintf("  the operator's durations are divided by %d", v.story.scale)})
	}
	return append(l, span{dim, "  Ctrl-C ends"})
}

// widths of the columns, for 80 characters in all.
const (
	wideName   = 12
	wideState  = 14
	widePing   = 13
	wideNumber = 5
	wideNext   = 20
	wideSays   = 35
)

func (v view) header() line {
	return line{{dim, pad("SESSION", wideName) + pad("STATE", wideState) + pad("PING", widePing) +
		pad("ACT.", wideNumber) + pad("NEXT STOP", wideNext) + "LAST STOP"}}
}

func (v view) row(p *plot) line {
	if p.seen == nil {
		return line{{plain, pad(p.session, wideName)}, {dim, "-"}}
	}
	status := &p.seen.Status
	state, ping, last := string(status.State), status.PingStatus, ""
	stateInk := inkOf(status.State)
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck) && status.State == v1alpha1.StateActive {
		state, stateInk = state+", Stuck", red
	}
	if status.LastTermination != nil {
		last = string(status.LastTermination.Reason)
	}
	pingInk := plain
	if ping == string(contract.HealthyBusy) {
		pingInk = yellow
	}
	number := ""
	if status.Activation > 0 {
		number = strconv.Itoa(int(status.Activation))
	}
	return line{
		{plain, pad(p.session, wideName)},
		{stateInk, pad(orDash(state), wideState)},
		{pingInk, pad(orDash(ping), widePing)},
		{plain, pad(orDash(number), wideNumber)},
		{plain, pad(orDash(countdown(status.NextStop, v.now)), wideNext)},
		{plain, orDash(last)},
	}
}

func inkOf(state v1alpha1.SessionState) ink {
	switch state {
	case v1alpha1.StateActive:
		return yellow
	case v1alpha1.StateIdle:
		return green
	case v1alpha1.StateStarting, v1alpha1.StateStopping:
		return plain
	case v1alpha1.StateStopped:
		return dim
	}
	return plain
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// countdown to the next stop, and its reason.
func countdown(next *v1alpha1.NextStop, now time.Time) string {
	if next == nil {
		return ""
	}
	return clockOf(next.At.Sub(now)) + " " + string(next.Reason)
}

// clockOf is a duration as minutes and seconds, rounded up as countdowns are;
// nothing is negative.
func clockOf(d time.Duration) string {
	seconds := int(max(d+time.Second-1, 0) / time.Second)
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// expectations of one session, ticked when they happened.
func (v view) expectations(p *plot) []line {
	lines := make([]line, 0, len(p.steps))
	for i, s := range p.steps {
		name := ""
		if i == 0 {
			name = p.session
		}
		mark, words := span{dim, "· "}, span{dim, pad(s.says, wideSays+2)}
		switch {
		case i < p.next:
			mark, words.ink = span{green, "✓ "}, plain
		case i == p.next && p.wrong != "":
			mark, words.ink = span{red, "✗ "}, red
		}
		l := line{{plain, pad(name, wideName)}, mark, words}
		if i < p.next {
			l = append(l, span{dim, "at " + clockOf(s.at.Sub(v.began))})
		}
		lines = append(lines, l)
	}
	return lines
}

// latest are the last news that fit. Commands are shown in full.
func (v view) latest(width, room int) []line {
	var lines []line
	for _, n := range slices.Backward(v.news) {
		if n.kind == newsChange || n.kind == newsTick {
			continue
		}
		shown := n.lines(width)
		if len(lines)+len(shown) > room {
			break
		}
		lines = append(shown, lines...)
	}
	return lines
}

const wideTime = 9

func (n news) lines(width int) []line {
	at := span{dim, pad(n.at.Format(time.TimeOnly), wideTime)}
	if n.kind != newsCommand {
		return []line{{at, {plain, pad(n.session, wideName)}, {n.ink(), n.text}}}
	}
	var lines []line
	parts := wrap("$ "+n.text, width-wideTime-2, 4)
	for i, part := range parts {
		if i > 0 {
			at.text = pad("", wideTime)
		}
		if i < len(parts)-1 {
			part += ` \`
		}
		lines = append(lines, line{at, {bold, part}})
	}
	return lines
}

func (n news) ink() ink {
	switch n.kind {
	case newsWarning:
		return yellow
	case newsTrouble:
		return red
	case newsCommand:
		return bold
	case newsTick:
		return green
	case newsEvent, newsChange:
		return plain
	}
	return plain
}

// plainLine is the news where there is no terminal: nothing is cut.
func (n news) plainLine() string {
	mark := map[newsKind]string{
		newsEvent: "event", newsWarning: "warning", newsCommand: "$", newsChange: "status", newsTick: "✓", newsTrouble: "trouble",
	}[n.kind]
	if n.kind == newsCommand {
		return n.at.Format(time.TimeOnly) + " $ " + n.text
	}
	return fmt.Sprintf("%s %s %s %s", n.at.Format(time.TimeOnly), pad(mark, 7), pad(n.session, 10), n.text)
}

// change says in one line what a status is.
func change(status *v1alpha1.AgentSessionStatus) string {
	s := fmt.Sprintf("%s, ping %s, activation %d", orDash(string(status.State)), orDash(status.PingStatus), status.Activation)
	if next := status.NextStop; next != nil {
		s += fmt.Sprintf(", next stop %s %s", next.At.Local().Format(time.TimeOnly), next.Reason)
	}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStuck) {
		s += ", Stuck"
	}
	if last := status.LastTermination; last != nil {
		s += ", last stop " + string(last.Reason)
	}
	return s
}
