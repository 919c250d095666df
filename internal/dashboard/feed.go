package dashboard

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/explain"
)

// item names what a page is sent: a session, or a runtime.
type item struct {
	runtime bool
	key     string
}

// entry is a session that is there.
type entry struct {
	session *v1alpha1.AgentSession // without its template
	line    []turn
	needs   []explain.Need
	row     json.RawMessage
}

// feed is what there is, and tells readers what changes.
type feed struct {
	now func() time.Time

	mu       sync.Mutex
	sessions map[string]*entry
	runtimes map[string]*v1alpha1.AgentRuntime // without their templates
	tallies  map[string]*tally                 // by runtime, whether that is there or not
	readers  map[*reader]struct{}
	// listed are the kinds that were listed once, and troubles what cannot be read now, and why.
	listed   map[string]bool
	troubles map[string]string
}

// The kinds of objects that are watched.
const (
	kindSessions = "AgentSessions"
	kindRuntimes = "AgentRuntimes"
)

func newFeed(now func() time.Time) *feed {
	return &feed{
		now: now, sessions: map[string]*entry{}, runtimes: map[string]*v1alpha1.AgentRuntime{}, tallies: map[string]*tally{},
		readers: map[*reader]struct{}{}, listed: map[string]bool{}, troubles: map[string]string{},
	}
}

// setSession takes in a session as it is now.
func (f *feed) setSession(session *v1alpha1.AgentSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keepSession(session)
}

func (f *feed) keepSession(session *v1alpha1.AgentSession) {
	key := keyOf(session)
	old := f.sessions[key]
	if old != nil && old.session.UID == session.UID && old.session.ResourceVersion == session.ResourceVersion {
		return
	}
	e := &entry{session: session}
	if old != nil {
		f.uncount(old.session)
		if old.session.UID == session.UID {
			e.line = old.line
		}
	}
	f.count(session, 1)
	f.sessions[key] = e
	f.write(e)
	f.changed(item{key: key})
}

// write has an entry's row say what it is now.
func (f *feed) write(e *entry) {
	now := f.now()
	since := explain.RowOf(now, e.session).SinceAt
	if e.line == nil {
		e.line = pastOf(now, e.session, since)
	}
	e.line = extend(e.line, now, since, e.session.Status.State)
	r := rowOf(now, e.session, e.line)
	e.needs = r.Needs
	e.row, _ = json.Marshal(r) // of these types it does not fail
}

// dropSession takes a session out.
func (f *feed) dropSession(key string, uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removeSession(key, uid)
}

func (f *feed) removeSession(key string, uid types.UID) {
	e := f.sessions[key]
	if e == nil || uid != "" && e.session.UID != uid {
		return
	}
	f.uncount(e.session)
	delete(f.sessions, key)
	f.changed(item{key: key})
}

// setSessions takes in all sessions that there are.
func (f *feed) setSessions(all []*v1alpha1.AgentSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := make(map[string]bool, len(all))
	for _, session := range all {
		here[keyOf(session)] = true
		f.keepSession(session)
	}
	for key := range f.sessions {
		if !here[key] {
			f.removeSession(key, "")
		}
	}
	f.isListed(kindSessions)
}

func (f *feed) uncount(session *v1alpha1.AgentSession) { f.count(session, -1) }

// count counts a session n times at its runtime.
func (f *feed) count(session *v1alpha1.AgentSession, n int) {
	if session.Spec.RuntimeRef == nil {
		return
	}
	key := session.Namespace + "/" + session.Spec.RuntimeRef.Name
	t := f.tallies[key]
	if t == nil {
		t = newTally()
		f.tallies[key] = t
	}
	if t.count(session, n); t.sessions == 0 {
		delete(f.tallies, key)
	}
	if f.runtimes[key] != nil {
		f.changed(item{runtime: true, key: key})
	}
}

func (f *feed) setRuntime(runtime *v1alpha1.AgentRuntime) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keepRuntime(runtime)
}

func (f *feed) keepRuntime(runtime *v1alpha1.AgentRuntime) {
	key := runtime.Namespace + "/" + runtime.Name
	if old := f.runtimes[key]; old != nil && old.UID == runtime.UID && old.ResourceVersion == runtime.ResourceVersion {
		return
	}
	f.runtimes[key] = runtime
	f.changed(item{runtime: true, key: key})
}

func (f *feed) dropRuntime(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removeRuntime(key)
}

func (f *feed) removeRuntime(key string) {
	if f.runtimes[key] != nil {
		delete(f.runtimes, key)
		f.changed(item{runtime: true, key: key})
	}
}

func (f *feed) setRuntimes(all []*v1alpha1.AgentRuntime) {
	f.mu.Lock()
	defer f.mu.Unlock()
	here := make(map[string]bool, len(all))
	for _, runtime := range all {
		here[runtime.Namespace+"/"+runtime.Name] = true
		f.keepRuntime(runtime)
	}
	for key := range f.runtimes {
		if !here[key] {
			f.removeRuntime(key)
		}
	}
	f.isListed(kindRuntimes)
}

// look writes anew what time alone has changed: a stop that is late, a crash loop that is over.
func (f *feed) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for key, e := range f.sessions {
		if !slices.Equal(e.needs, needsOf(explain.Needs(now, e.session))) {
			f.write(e)
			f.changed(item{key: key})
		}
	}
}

// changed tells all readers.
func (f *feed) changed(i item) {
	for r := range f.readers {
		r.add(i)
	}
}

// namespaces are those that have sessions, and those that have runtimes.
func (f *feed) namespaces() (sessions, runtimes map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sessions, runtimes = map[string]bool{}, map[string]bool{}
	for _, e := range f.sessions {
		sessions[e.session.Namespace] = true
	}
	for _, runtime := range f.runtimes {
		runtimes[runtime.Namespace] = true
	}
	return sessions, runtimes
}

func (f *feed) setListed(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isListed(kind)
}

func (f *feed) isListed(kind string) {
	if !f.listed[kind] {
		f.listed[kind] = true
		f.wake()
	}
}

// trouble says that something cannot be read, or with an empty text that it can be again.
func (f *feed) trouble(what, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.troubles[what] == text {
		return
	}
	if f.troubles[what] = text; text == "" {
		delete(f.troubles, what)
	}
	f.wake()
}

func (f *feed) wake() {
	for r := range f.readers {
		r.wake()
	}
}

// lineOf is the time line of a session that was read just now.
func (f *feed) lineOf(session *v1alpha1.AgentSession) []turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	since := explain.RowOf(now, session).SinceAt
	if e := f.sessions[keyOf(session)]; e != nil && e.session.UID == session.UID {
		return extend(slices.Clone(e.line), now, since, session.Status.State)
	}
	return pastOf(now, session, since)
}

// ofRuntime is what is known of a runtime's sessions, to who may see those.
func (f *feed) ofRuntime(runtime *v1alpha1.AgentRuntime, s *visibility) (sessions []v1alpha1.AgentSession, a agent, versions []version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !s.seesSessions(runtime.Namespace) {
		return nil, agentOf(runtime, nil), versionsOf(runtime, nil)
	}
	for _, e := range f.sessions {
		if ref := e.session.Spec.RuntimeRef; ref != nil && ref.Name == runtime.Name && e.session.Namespace == runtime.Namespace {
			sessions = append(sessions, *e.session)
		}
	}
	t := f.tallies[runtime.Namespace+"/"+runtime.Name]
	return sessions, agentOf(runtime, t), versionsOf(runtime, t)
}
