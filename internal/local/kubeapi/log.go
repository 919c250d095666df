package kubeapi

import (
	"slices"
	"sync"
)

// The past that watches can begin at, for each resource.
const (
	logLength = 1000
	logBytes  = 16 << 20
)

// revisions count the writes to all resources, as etcd does: the resource versions of two
// objects of one server are never equal.
type revisions struct {
	mu   sync.Mutex
	last uint64
}

// change is one write. An object that is new has no before, one that is gone no after.
type change struct {
	key           string
	revision      uint64
	before, after []byte
}

func (c change) size() int { return len(c.before) + len(c.after) }

// log is what has changed of a resource, as far back as it is kept. It is not safe for
// concurrent use.
type log struct {
	changes []change
	bytes   int
	// forgotten is the revision of the last change that is not kept.
	forgotten uint64
	// grown is closed at the next change.
	grown chan struct{}
}

func (l *log) append(c change) {
	l.changes = append(l.changes, c)
	l.bytes += c.size()
	for len(l.changes) > logLength || l.bytes > logBytes && len(l.changes) > 1 {
		l.bytes -= l.changes[0].size()
		l.forgotten = l.changes[0].revision
		l.changes[0] = change{}
		l.changes = l.changes[1:]
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// after returns the changes since a revision; false if some of them are not kept.
func (l *log) after(revision uint64) ([]change, bool) {
	if revision < l.forgotten {
		return nil, false
	}
	first, _ := slices.BinarySearchFunc(l.changes, revision, func(c change, r uint64) int {
		if c.revision <= r {
			return -1
		}
		return 1
	})
	return slices.Clone(l.changes[first:]), true
}
