package dashboard

import (
	"cmp"
	"container/list"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// reader knows what one page has not been sent yet. It belongs to its feed, whose lock it
// goes by. What it keeps is bounded by what there is and what its page was sent.
type reader struct {
	feed *feed
	// pending are the items that are to be sent, the oldest change first.
	pending *list.List
	// visible is what its page may be sent.
	visible *visibility
	waiting map[item]*list.Element
	sent    map[item]bool
	woken   chan struct{}
}

// message is what a page is sent of sessions and runtimes.
type message struct {
	Now          int64             `json:"now"`
	Reset        bool              `json:"reset"`
	Rows         []json.RawMessage `json:"rows"`
	Gone         []string          `json:"gone"`
	Runtimes     []json.RawMessage `json:"runtimes"`
	RuntimesGone []string          `json:"runtimesGone"`
	More         bool              `json:"more"`
}

func (m *message) empty() bool {
	return len(m.Rows)+len(m.Gone)+len(m.Runtimes)+len(m.RuntimesGone) == 0
}

// join makes a reader that was sent nothing yet.
func (f *feed) join(s *visibility) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &reader{feed: f, visible: s, pending: list.New(), waiting: map[item]*list.Element{}, sent: map[item]bool{}, woken: make(chan struct{}, 1)}
	for _, i := range f.all() {
		r.add(i)
	}
	f.readers[r] = struct{}{}
	return r
}

// grant has a reader see more.
func (r *reader) grant(now *visibility) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	before := r.visible
	r.visible = now
	for _, i := range r.feed.all() {
		if !before.sees(i) || i.runtime && !before.seesSessions(i.namespace()) {
			r.add(i)
		}
	}
}

// all are the items in the order in which a page gets them: the runtimes first, and of the
// sessions first those that somebody should look at.
func (f *feed) all() []item {
	all := make([]item, 0, len(f.runtimes)+len(f.sessions))
	for key := range f.runtimes {
		all = append(all, item{true, key})
	}
	for key := range f.sessions {
		all = append(all, item{false, key})
	}
	rank := func(i item) int {
		switch {
		case i.runtime:
			return 0
		case len(f.sessions[i.key].needs) > 0:
			return 1
		}
		return 2
	}
	slices.SortFunc(all, func(a, b item) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.key, b.key)) })
	return all
}

func (r *reader) close() {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	delete(r.feed.readers, r)
}

// add has an item be sent, if its page may see it. One that waits already keeps its place, and
// is sent as it is then.
func (r *reader) add(i item) {
	if !r.visible.sees(i) {
		return
	}
	at := r.waiting[i]
	switch there := r.feed.has(i); {
	case at == nil && (there || r.sent[i]):
		r.waiting[i] = r.pending.PushBack(i)
		r.wake()
	case at != nil && !there && !r.sent[i]: // it came and went
		r.pending.Remove(at)
		delete(r.waiting, i)
	}
}

func (r *reader) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

func (f *feed) has(i item) bool {
	if i.runtime {
		return f.runtimes[i.key] != nil
	}
	return f.sessions[i.key] != nil
}

// take takes what waits: so many items at most, and no more once they are so many bytes.
func (r *reader) take(items, bytes int) message {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	m := message{Now: ms(f.now()), Rows: []json.RawMessage{}, Gone: []string{}, Runtimes: []json.RawMessage{}, RuntimesGone: []string{}}
	for at := r.pending.Front(); at != nil && items > 0 && bytes > 0; at = r.pending.Front() {
		i := r.pending.Remove(at).(item) //nolint:forcetypeassert // it holds nothing else
		delete(r.waiting, i)
		items--
		bytes -= m.put(r, i)
		if f.has(i) {
			r.sent[i] = true
		} else {
			delete(r.sent, i)
		}
	}
	m.More = r.pending.Len() > 0
	return m
}

// put adds an item as it is now, and returns about how many bytes that takes.
func (m *message) put(r *reader, i item) int {
	f := r.feed
	switch there := f.has(i); {
	case !there && i.runtime:
		m.RuntimesGone = append(m.RuntimesGone, i.key)
		return len(i.key)
	case !there:
		m.Gone = append(m.Gone, i.key)
		return len(i.key)
	case i.runtime:
		var t *tally // which tells of sessions
		if r.visible.seesSessions(i.namespace()) {
			t = f.tallies[i.key]
		}
		text, _ := json.Marshal(agentOf(f.runtimes[i.key], t)) // of these types it does not fail
		m.Runtimes = append(m.Runtimes, text)
		return len(text)
	}
	row := f.sessions[i.key].row
	m.Rows = append(m.Rows, row)
	return len(row)
}

// state is whether all kinds were listed, and what is in the way; empty if nothing is.
func (r *reader) state() (listed bool, trouble string) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(f.troubles)) {
		if text := f.troubles[what]; !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return f.listed[kindSessions], strings.Join(all, "; ")
}
