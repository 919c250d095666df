package dashboard

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// fill gives a feed so many sessions of ten runtimes, with a past as sessions have it.
func fill(f *feed, count int) {
	now := f.now()
	var agents []*v1alpha1.AgentRuntime
	for i := range 10 {
		agents = append(agents, &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("agent-%d", i), UID: types.UID(strconv.Itoa(i))}})
	}
	f.setRuntimes(agents)
	all := make([]*v1alpha1.AgentSession, 0, count)
	for i := range count {
		all = append(all, sessionAt(now, i, 1, v1alpha1.StateIdle))
	}
	f.setSessions(all)
}

// sessionAt is a session as it came into a state just now.
func sessionAt(now time.Time, number, version int, state v1alpha1.SessionState) *v1alpha1.AgentSession {
	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }
	name := fmt.Sprintf("agent-%d-%020d", number%10, number)
	return &v1alpha1.AgentSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: strconv.Itoa(version), CreationTimestamp: at(24 * time.Hour)},
		Spec:       v1alpha1.AgentSessionSpec{RuntimeRef: &v1alpha1.RuntimeRef{Name: fmt.Sprintf("agent-%d", number%10)}, RuntimeSessionID: "session-" + name},
		Status: v1alpha1.AgentSessionStatus{
			State: state, Activation: 3, PingStatus: "Healthy", HealthyAt: new(at(20 * time.Minute)),
			Pod:      &v1alpha1.PodStatus{Name: name + "-3", UID: "pod", Node: "node-1", CreatedAt: at(21 * time.Minute)},
			NextStop: &v1alpha1.NextStop{At: at(-15 * time.Minute), Reason: v1alpha1.StopIdleTimeout},
			Usage:    &v1alpha1.Usage{ActiveSeconds: 100, IdleSeconds: 1000, CountedAt: at(0)},
			History: []v1alpha1.PastActivation{
				{Reason: v1alpha1.StopIdleTimeout, Activation: 2, From: new(at(50 * time.Minute)), Until: at(30 * time.Minute), Message: "No work for 15m0s"},
				{Reason: v1alpha1.StopIdleTimeout, Activation: 1, From: new(at(3 * time.Hour)), Until: at(2 * time.Hour), Message: "No work for 15m0s"},
			},
		},
	}
}

// screen is a page that remembers what it was sent.
type screen struct {
	mu       sync.Mutex // for those who read while it is sent more
	header   http.Header
	bytes    int
	messages []time.Time
	rows     map[string]string // as they were sent
	runtimes map[string]agent
	troubles []string
	resets   int
	// slow is how long it takes to read a message.
	slow atomic.Int64
}

func newScreen() *screen {
	return &screen{header: http.Header{}, rows: map[string]string{}, runtimes: map[string]agent{}}
}

func (s *screen) Header() http.Header { return s.header }
func (s *screen) WriteHeader(int)     {}
func (s *screen) Flush()              {}

func (s *screen) Write(text []byte) (int, error) {
	time.Sleep(time.Duration(s.slow.Load()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += len(text)
	name, data, _ := bytes.Cut(text, []byte("\ndata: "))
	switch string(name) {
	case "event: rows":
		s.messages = append(s.messages, time.Now())
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			return 0, err
		}
		s.take(m)
	case "event: trouble":
		s.troubles = append(s.troubles, strings.TrimSpace(string(data)))
	}
	return len(text), nil
}

func (s *screen) take(m message) {
	if m.Reset {
		s.resets++
		clear(s.rows)
	}
	for _, text := range m.Rows {
		_, rest, _ := strings.Cut(string(text), `{"key":"`)
		key, _, _ := strings.Cut(rest, `"`)
		s.rows[key] = string(text)
	}
	for _, text := range m.Runtimes {
		var a agent
		if err := json.Unmarshal(text, &a); err != nil {
			panic(err)
		}
		s.runtimes[a.Key] = a
	}
	for _, key := range m.Gone {
		delete(s.rows, key)
	}
	for _, key := range m.RuntimesGone {
		delete(s.runtimes, key)
	}
}

// UnmarshalJSON reads [at, "state"].
func (t *turn) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &[]any{&t.at, &t.state}) }

func (s *screen) row(key string) (r row) {
	if err := json.Unmarshal([]byte(s.rows[key]), &r); err != nil {
		panic(err)
	}
	return r
}

// pass lets time pass, until nothing is under way.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// open has a feed be shown on a screen, until the test's bubble ends.
func open(t *testing.T, f *feed, s *screen) *reader {
	t.Helper()
	r := f.join(nil)
	go (&stream{reader: r, w: s, control: http.NewResponseController(s)}).run(t.Context())
	return r
}

// TestTenThousandSessions: what is sent is bounded in bytes and messages while 200 sessions
// change in a second, nobody is forgotten, and in the end the page shows what is.
func TestTenThousandSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		fill(f, 10_000)
		s := newScreen()
		open(t, f, s)
		synctest.Wait()
		g.Expect(s.rows).To(HaveLen(10_000))
		g.Expect(s.runtimes).To(HaveLen(10))
		g.Expect(s.messages).To(HaveLen(21), "of 500 rows each")
		g.Expect(s.resets).To(Equal(1))
		g.Expect(s.bytes).To(BeNumerically("<", 10_000*1024), "about 0.6 KiB a session")
		t.Logf("the first %d sessions: %d bytes", len(s.rows), s.bytes)

		const seconds = 30
		first, shown, states := s.bytes, len(s.messages), []v1alpha1.SessionState{v1alpha1.StateActive, v1alpha1.StateIdle}
		for i := range seconds * 200 {
			f.setSession(sessionAt(time.Now(), i*7919%10_000, 2+i, states[i%2]))
			time.Sleep(time.Second / 200)
		}
		synctest.Wait()
		t.Logf("200 changes/s: %d bytes/s, %.1f messages/s", (s.bytes-first)/seconds, float64(len(s.messages)-shown)/seconds)
		g.Expect(s.bytes - first).To(BeNumerically("<=", (seconds+1)*bytesPerSecond+2*4096))
		g.Expect(len(s.messages) - shown).To(BeNumerically("<=", 2*seconds+1))

		f.look()              // finds nothing
		pass(3 * time.Minute) // nothing happens
		g.Expect(s.rows).To(HaveLen(10_000))
		f.mu.Lock()
		defer f.mu.Unlock()
		for key, e := range f.sessions {
			if got := s.rows[key]; got != string(e.row) {
				t.Fatalf("%s is shown as %s, and is %s", key, got, e.row)
			}
		}
	})
}

// TestCompressed: what a page that takes gzip is sent is the same, all of it readable before the stream has ended,
// and the first sight of 10,000 sessions is less than a tenth of their bytes.
func TestCompressed(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	f := newFeed(func() time.Time { return now })
	fill(f, 10_000)
	first := func(compressed bool) *wire {
		p := &wire{header: http.Header{}}
		r := f.join(nil)
		defer r.close()
		s := newStream(r, p, compressed)
		g.Expect(s.first(t.Context())).To(BeTrue())
		p.early = p.Len()
		s.close()
		g.Expect(s.err).NotTo(HaveOccurred())
		return p
	}
	plain, small := first(false), first(true)
	g.Expect(plain.header).NotTo(HaveKey("Content-Encoding"))
	g.Expect(small.header.Get("Content-Encoding")).To(Equal("gzip"))
	t.Logf("the first 10000 sessions: %d bytes, compressed %d", plain.Len(), small.Len())
	g.Expect(small.Len()).To(BeNumerically("<", plain.Len()/10))

	early, err := gunzip(small.Bytes()[:small.early])
	g.Expect(err).To(MatchError(io.ErrUnexpectedEOF), "it is not the end yet")
	all, err := gunzip(small.Bytes())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(early, all)).To(BeTrue())
	g.Expect(all).To(HaveLen(plain.Len()))
	s := newScreen()
	for message := range bytes.SplitAfterSeq(all, []byte("\n\n")) {
		_, err := s.Write(message)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(s.rows).To(HaveLen(10_000))
}

// wire keeps what a page is sent.
type wire struct {
	bytes.Buffer
	header http.Header
	early  int // how much of it came before the end
}

func (w *wire) Header() http.Header { return w.header }
func (w *wire) WriteHeader(int)     {}
func (w *wire) Flush()              {}

func gunzip(text []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestNobodyStarves: of sessions that change all the time, each is sent again and again.
func TestNobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		const count = 300 // of which 100 can be sent in a second
		fill(f, count)
		s := newScreen()
		open(t, f, s)
		synctest.Wait()
		begun := time.Now()
		for version := 2; time.Since(begun) < 30*time.Second; version++ {
			for i := range count {
				f.setSession(sessionAt(time.Now(), i, version, v1alpha1.StateActive))
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		oldest := time.Now().UnixMilli()
		for key := range s.rows {
			oldest = min(oldest, s.row(key).Since)
		}
		g.Expect(time.Since(time.UnixMilli(oldest))).To(BeNumerically("<", 10*time.Second))
	})
}

// TestASlowPage keeps nothing back but names, sees the newest state, and never what came and
// went meanwhile.
func TestASlowPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		fill(f, 100)
		s := newScreen()
		r := open(t, f, s)
		synctest.Wait()
		s.slow.Store(int64(20 * time.Minute)) // it hangs at the next message
		f.setSession(sessionAt(time.Now(), 0, 2, v1alpha1.StateActive))
		time.Sleep(time.Minute)
		for i := range 5000 {
			session := sessionAt(time.Now(), 1000+i, 1, v1alpha1.StateIdle)
			f.setSession(session)
			f.setSession(sessionAt(time.Now(), 1, 2+i, v1alpha1.StateActive))
			f.dropSession(keyOf(session), session.UID)
		}
		gone := sessionAt(time.Now(), 2, 1, v1alpha1.StateIdle)
		f.dropSession(keyOf(gone), gone.UID)
		f.mu.Lock()
		waiting := slices.Collect(maps.Keys(r.waiting))
		g.Expect(r.pending.Len()).To(Equal(len(waiting)))
		f.mu.Unlock()
		g.Expect(len(waiting)).To(BeNumerically("<=", 2+10), "two sessions, and the runtimes")
		s.slow.Store(0)
		pass(time.Hour)
		g.Expect(s.rows).To(HaveLen(99))
		g.Expect(s.rows).NotTo(HaveKey(keyOf(gone)))
		g.Expect(s.row(keyOf(sessionAt(time.Now(), 1, 1, ""))).State).To(Equal("Active"))
	})
}

// TestWhatIsInTheWay is shown, before anything else is known too, and that it is over.
func TestWhatIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		s := newScreen()
		open(t, f, s)
		f.trouble(kindSessions, "the cluster cannot be reached")
		f.trouble(kindRuntimes, "the cluster cannot be reached")
		synctest.Wait()
		g.Expect(s.troubles).To(HaveExactElements(ContainSubstring(`"text":"the cluster cannot be reached"`)))
		g.Expect(s.resets).To(BeZero())
		f.trouble(kindSessions, "")
		f.trouble(kindRuntimes, "")
		f.setSessions(nil)
		synctest.Wait()
		g.Expect(s.troubles).To(HaveExactElements(Not(BeEmpty()), ContainSubstring(`"text":""`)))
		g.Expect(s.resets).To(Equal(1), "also without any session")
		f.trouble(kindSessions, "gone again")
		pass(time.Second)
		g.Expect(s.troubles).To(HaveLen(3))
	})
}

// TestRuntimesCount their sessions, whichever of them comes first.
func TestRuntimesCount(t *testing.T) {
	g := NewWithT(t)
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	f := newFeed(func() time.Time { return now })
	one, two := sessionAt(now, 1, 1, v1alpha1.StateIdle), sessionAt(now, 11, 1, v1alpha1.StateStopped)
	two.Status.Runtime = &v1alpha1.ActivationRuntime{AgentRuntimeVersion: 2}
	f.setSessions([]*v1alpha1.AgentSession{one, two})
	fill := &v1alpha1.AgentRuntime{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "agent-1"}}
	fill.Status.AgentRuntimeVersion = 3
	f.setRuntimes([]*v1alpha1.AgentRuntime{fill})
	counts := func() agent {
		sessions, a, versions := f.ofRuntime(fill, nil)
		g.Expect(sessions).To(HaveLen(a.Sessions))
		g.Expect(versions[0]).To(Equal(version{Version: 3, Endpoints: []string{"DEFAULT"}}))
		return a
	}
	a := counts()
	g.Expect([]int{a.Sessions, a.Idle, a.Stopped, a.Active}).To(Equal([]int{2, 1, 1, 0}))
	g.Expect(a.Ends).To(Equal([]end{{"IdleTimeout", 4}}))
	f.setSession(sessionAt(now, 1, 2, v1alpha1.StateActive))
	f.dropSession(keyOf(two), "another")
	a = counts()
	g.Expect([]int{a.Sessions, a.Idle, a.Stopped, a.Active}).To(Equal([]int{2, 0, 1, 1}))
	f.dropSession(keyOf(two), two.UID)
	f.setSessions(nil)
	a = counts()
	g.Expect(a.Sessions).To(BeZero())
	g.Expect(a.Ends).To(BeEmpty())
	g.Expect(f.tallies).To(BeEmpty())
}

// TestTimeAlone makes a stop late, which is sent without any change of the session.
func TestTimeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		f := newFeed(time.Now)
		fill(f, 1)
		s := newScreen()
		open(t, f, s)
		synctest.Wait()
		key := keyOf(sessionAt(time.Now(), 0, 1, ""))
		g.Expect(s.row(key).Needs).To(BeEmpty())
		time.Sleep(17 * time.Minute)
		f.look()
		pass(time.Second)
		g.Expect(s.row(key).Needs).To(HaveExactElements(HaveField("Kind", BeEquivalentTo("lateStop"))))
		g.Expect(s.row(key).Alarm).To(BeTrue())
	})
}

// BenchmarkFirstSight is what it takes to send a page 10,000 sessions, as they are and compressed.
func BenchmarkFirstSight(b *testing.B) {
	f := newFeed(time.Now)
	fill(f, 10_000)
	for _, compressed := range []bool{false, true} {
		b.Run(fmt.Sprintf("gzip=%t", compressed), func(b *testing.B) {
			sent := 0
			b.ReportAllocs()
			for b.Loop() {
				s := &sink{header: http.Header{}}
				r := f.join(nil)
				newStream(r, s, compressed).first(b.Context())
				r.close()
				sent = s.bytes
			}
			b.ReportMetric(float64(sent), "bytes/page")
		})
	}
}

// BenchmarkChange is what a change of one of 10,000 sessions takes, with 32 pages open.
func BenchmarkChange(b *testing.B) {
	f := newFeed(time.Now)
	fill(f, 10_000)
	for range maxStreams {
		f.join(nil)
	}
	for i := 0; b.Loop(); i++ {
		f.setSession(sessionAt(time.Now(), i%10_000, 2+i, v1alpha1.StateActive))
	}
}

// sink counts what it is sent.
type sink struct {
	header http.Header
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Flush()              {}
func (s *sink) Write(text []byte) (int, error) {
	s.bytes += len(text)
	return len(text), nil
}
