package explain

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/agentsession/agentsession/internal/lifecycle"
)

// maxText is how many bytes of what somebody else wrote are shown.
const maxText = 600

// text collects an explanation: parts with a heading, and lines.
type text struct {
	strings.Builder
	now time.Time
}

// part begins one.
func (t *text) part(heading string) { _, _ = fmt.Fprintf(t, "\n%s\n", heading) }

// say adds a line to the part.
func (t *text) say(format string, args ...any) { _, _ = fmt.Fprintf(t, "  "+format+"\n", args...) }

// quote is what somebody else wrote.
func quote(s string) string { return lifecycle.Cut(lifecycle.Printable(s), maxText) }

// sentence is what somebody else wrote, with its full stop.
func sentence(s string) string { return strings.TrimRight(quote(s), ". ") + "." }

// clock is a moment, in the zone of now; with its day if that is another.
func (t *text) clock(at time.Time) string {
	at = at.In(t.now.Location())
	if at.Format(time.DateOnly) == t.now.Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

// moment is a moment and how far it is.
func (t *text) moment(at metav1.Time) string {
	if away := at.Sub(t.now); away >= time.Second { // the API keeps seconds, and rounds some up
		return fmt.Sprintf("%s, in %s", t.clock(at.Time), duration.HumanDuration(away))
	}
	return fmt.Sprintf("%s, %s ago", t.clock(at.Time), duration.HumanDuration(max(0, t.now.Sub(at.Time))))
}

// seconds is a length of time.
func seconds(n int64) string { return duration.HumanDuration(time.Duration(n) * time.Second) }
