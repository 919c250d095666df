package local

import (
	"slices"
	"time"

	"k8s.io/utils/clock"
)

const (
	// quiet is how long nothing must change until what has changed is taken: editors and
	// compilers write several files, and each more than once.
	quiet = 300 * time.Millisecond
	// longest is how long that is waited for: an agent may write without a pause.
	longest = 3 * time.Second
)

// change is a file that has changed.
type change struct {
	name string // for people
	path string
	in   *root // where git may ignore it; nil if it counts in any case
}

// burst are changes that are taken together.
type burst struct {
	changes []change
	clock   clock.Clock
	timer   clock.Timer // when they are taken
	last    time.Time   // when they are at the latest
}

func (b *burst) add(changes []change) {
	if len(changes) == 0 {
		return
	}
	if len(b.changes) == 0 {
		b.last = b.clock.Now().Add(longest)
	}
	for _, one := range changes {
		if !slices.Contains(b.changes, one) && len(b.changes) < mostFolders {
			b.changes = append(b.changes, one)
		}
	}
	b.timer.Reset(min(quiet, b.last.Sub(b.clock.Now())))
}
