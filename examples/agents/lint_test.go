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
// once it is called.
func TestLint(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for args, row := range map[string]struct{ payload, finds string }{
		"echo":                 {`{}`, ""},
		"research --grace=1s":  {`{"seconds":1}`, ""},
		"manual --grace=1s":    {`{"seconds":1}`, ""},
		"journal --grace=1s":   {`{"seconds":1}`, ""},
		"stream":               {`{"text":"a b c d","pause":0.5}`, ""},
		"plain":                {`{}`, "stamp-missing (note)"},
		"forgetful":            {"", ""},
		"forgetful --grace=1s": {`{}`, "busy-to-the-end (warning)"},
	} {
		o := lint.Options{
			Base: start(t, strings.Fields(args)...), Invoke: row.payload != "", Payload: []byte(row.payload), SessionID: "lint-" + strings.Repeat("0", 40),
			Period: time.Second, For: 6 * time.Second, Slow: time.Minute, Wait: time.Minute, Elsewhere: []netip.Addr{},
		}
		all.Go(func() {
			seen, err := lint.Watch(t.Context(), o)
			if err != nil {
				t.Errorf("%s: %v", args, err)
				return
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
