package main

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentsession/agentsession/internal/lint"
)

// TestLint: of the agents only the one that forgets is found to do anything wrong, and only
// once it is called, and started twice only one's time of its start.
func TestLint(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for args, row := range map[string]struct{ payload, finds string }{
		"echo":                 {`{}`, "made-at-start (note)"},
		"research --grace=1s":  {`{"seconds":1}`, ""},
		"manual --grace=1s":    {`{"seconds":1}`, ""},
		"journal --grace=1s":   {`{"seconds":1}`, ""},
		"stream":               {`{"text":"a b c d","pause":0.5}`, ""},
		"plain":                {`{}`, "stamp-missing (note)"},
		"forgetful":            {"", ""},
		"forgetful --grace=1s": {`{}`, "busy-to-the-end (warning)"},
	} {
		o := lint.Options{
			Invoke: row.payload != "", Payload: []byte(row.payload), SessionID: "lint-" + strings.Repeat("0", 40), SecondID: "lint-" + strings.Repeat("1", 40),
			Started: time.Now(), Period: time.Second, For: 6 * time.Second, Slow: time.Minute, Wait: time.Minute, Elsewhere: []netip.Addr{},
		}
		again := o
		o.Base = start(t, strings.Fields(args)...)
		again.Started, again.SessionID, again.SecondID = time.Now(), "lint-"+strings.Repeat("2", 40), "lint-"+strings.Repeat("3", 40)
		again.Base = start(t, strings.Fields(args)...)
		all.Go(func() {
			seen, err := lint.Watch(t.Context(), o)
			if err != nil {
				t.Errorf("%s: %v", args, err)
				return
			}
			if again.Invoke {
				lint.Again(t.Context(), &seen, again)
			}
			report := lint.Judge(args, &seen)
			var found []string
			for _, f := range report.Findings {
				found = append(found, f.ID+" ("+string(f.Severity)+")")
			}
			if strings.Join(found, ", ") != row.finds {
				t.Errorf("%s: found %v, and not %q\n%s", args, found, row.finds, report.Text())
			}
		})
	}
}
