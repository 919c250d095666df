package explain

import (
	"fmt"
	"time"
)

// span says how long something is, in two units at most.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < day:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	}
	return twoUnits(d, day, "d", time.Hour, "h")
}

func twoUnits(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d %s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return text
}

// briefStop says it as a column of a table has it.
func briefStop(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", d/day)
}

// clock says when a moment is, with its day if that is another than now's.
func clock(now, at time.Time) string {
	at = at.In(now.Location())
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

// past says when something was.
func past(now, at time.Time) string {
	at = happened(now, at)
	return fmt.Sprintf("%s (%s ago)", clock(now, at), span(now.Sub(at)))
}

// happened is when something was: not later than now, though status has some moments rounded
// up to the second.
func happened(now, at time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return at
}

// future says when something will be. What should have been is an operator's to do.
func future(now, at time.Time) string {
	if late := now.Sub(at); late >= 0 {
		return fmt.Sprintf("at %s, which was %s ago: look whether an operator runs", clock(now, at), span(late))
	}
	return fmt.Sprintf("at %s, in %s", clock(now, at), span(at.Sub(now)))
}
