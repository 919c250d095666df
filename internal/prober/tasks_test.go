package prober

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

var telling = contract.Tasks{ActiveCount: 1, RunningJobs: []contract.RunningTask{{Name: "index", Duration: time.Minute}}}

func askable(tasks func(ctx context.Context, t Target, token string) (contract.Tasks, error)) *Prober {
	return New(Options{
		Pinger: PingFunc(func(context.Context, Target) lifecycle.Answer { return busy }),
		Tasks:  tasks,
	})
}

func TestAskTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var failing, another atomic.Bool
		var asked atomic.Int32
		p := askable(func(_ context.Context, target Target, token string) (contract.Tasks, error) {
			asked.Add(1)
			g.Expect(target.Key).To(Equal(agent(1).Key))
			g.Expect(token).To(Equal("secret"))
			time.Sleep(100 * time.Millisecond)
			if failing.Load() {
				return contract.Tasks{}, errors.New("404")
			}
			if another.Load() {
				return contract.Tasks{RunningJobs: []contract.RunningTask{{Name: "another"}}}, nil
			}
			return telling, nil
		})
		one := agent(1)
		p.AskTasks(t.Context(), one.Key, one.UID, "secret") // not started
		var told atomic.Int32
		stop := start(t, p, func(types.NamespacedName) { told.Add(1) })
		synctest.Wait()
		p.AskTasks(t.Context(), one.Key, one.UID, "secret") // not tracked
		p.Track(one, lifecycle.Pulse{})
		p.AskTasks(t.Context(), one.Key, "another pod", "secret")
		time.Sleep(3 * time.Second) // with the first pings
		g.Expect(p.Work(one.Key, one.UID)).To(Equal(lifecycle.Work{}))

		before := told.Load()
		p.AskTasks(t.Context(), one.Key, one.UID, "secret")
		p.AskTasks(t.Context(), one.Key, one.UID, "secret") // once at a time
		time.Sleep(101 * time.Millisecond)
		g.Expect(asked.Load()).To(BeEquivalentTo(1))
		g.Expect(told.Load()).To(Equal(before + 1))
		work := p.Work(one.Key, one.UID)
		g.Expect(work.Oldest.Name).To(Equal("index"))
		g.Expect(work.Answered()).To(BeTrue())
		g.Expect(p.Work(one.Key, "another pod")).To(Equal(lifecycle.Work{}))

		p.AskTasks(t.Context(), one.Key, one.UID, "secret")
		time.Sleep(101 * time.Millisecond)
		g.Expect(told.Load()).To(Equal(before+1), "the task only grew older")

		failing.Store(true)
		p.AskTasks(t.Context(), one.Key, one.UID, "secret")
		time.Sleep(101 * time.Millisecond)
		g.Expect(told.Load()).To(Equal(before+1), "it did not tell, which says nothing")
		after := p.Work(one.Key, one.UID)
		g.Expect(after.Oldest.Name).To(Equal("index"))
		g.Expect(after.Answered()).To(BeFalse())
		g.Expect(after.AskedAt.Sub(after.ToldAt)).To(BeNumerically("~", 101*time.Millisecond, time.Millisecond))

		failing.Store(false)
		another.Store(true)
		p.AskTasks(t.Context(), one.Key, one.UID, "secret")
		synctest.Wait()
		p.Forget(one.Key)
		time.Sleep(101 * time.Millisecond)
		g.Expect(told.Load()).To(Equal(before+1), "it is gone")
		p.Track(one, lifecycle.Pulse{})
		g.Expect(p.Work(one.Key, one.UID)).To(Equal(lifecycle.Work{}), "another entry knows nothing")
		stop()
		p.AskTasks(t.Context(), one.Key, one.UID, "secret") // ended
	})
}

// TestTasksAreOfTheAddressThatWasAsked: what the old one still tells, and what it
// told before, is of nobody.
func TestTasksAreOfTheAddressThatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		p := askable(func(context.Context, Target, string) (contract.Tasks, error) {
			time.Sleep(100 * time.Millisecond)
			return telling, nil
		})
		start(t, p, ignore)
		synctest.Wait()
		for _, move := range []func(*Target){
			func(t *Target) { t.UID = "another pod" },
			func(t *Target) { t.Addr = netip.MustParseAddrPort("192.0.2.7:8080") },
		} {
			target := agent(1)
			p.Track(target, lifecycle.Pulse{})
			for _, wait := range []time.Duration{101 * time.Millisecond, 50 * time.Millisecond} { // told, and about to
				p.AskTasks(t.Context(), target.Key, target.UID, "secret")
				time.Sleep(wait)
			}
			g.Expect(p.Work(target.Key, target.UID).Oldest.Name).To(Equal("index"))
			move(&target)
			p.Track(target, lifecycle.Pulse{})
			time.Sleep(100 * time.Millisecond)
			g.Expect(p.Work(target.Key, target.UID)).To(Equal(lifecycle.Work{}))
			p.Forget(target.Key)
		}
	})
}

// TestAgentsThatHangLeaveRoomToAskOthers: in half of the places.
func TestAgentsThatHangLeaveRoomToAskOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		const hanging = 3 * maxAsking
		hangs := map[types.NamespacedName]bool{}
		var asked atomic.Int32
		p := askable(func(ctx context.Context, target Target, _ string) (contract.Tasks, error) {
			asked.Add(1)
			if hangs[target.Key] {
				<-ctx.Done()
				return contract.Tasks{}, ctx.Err()
			}
			return telling, nil
		})
		start(t, p, ignore)
		synctest.Wait()
		for i := range hanging + 1 {
			hangs[agent(i).Key] = i < hanging
			p.Track(agent(i), lifecycle.Pulse{})
		}
		for range hanging / maxAsking {
			for i := range hanging {
				p.AskTasks(t.Context(), agent(i).Key, agent(i).UID, "secret")
			}
			time.Sleep(tasksTimeout + time.Millisecond)
		}
		// Whoever hung before gets half of the places.
		asked.Store(0)
		for i := range maxAsking {
			p.AskTasks(t.Context(), agent(i).Key, agent(i).UID, "secret")
		}
		honest := agent(hanging)
		p.AskTasks(t.Context(), honest.Key, honest.UID, "secret")
		synctest.Wait()
		g.Expect(asked.Load()).To(BeEquivalentTo(maxAsking/2 + 1))
		g.Expect(p.Work(honest.Key, honest.UID).Oldest.Name).To(Equal("index"))
	})
}

func TestAskTasksIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var out, top atomic.Int32
		p := askable(func(ctx context.Context, _ Target, _ string) (contract.Tasks, error) {
			top.Store(max(top.Load(), out.Add(1)))
			<-ctx.Done()
			out.Add(-1)
			return contract.Tasks{}, ctx.Err()
		})
		start(t, p, ignore)
		synctest.Wait()
		for i := range 100 {
			p.Track(agent(i), lifecycle.Pulse{})
			p.AskTasks(t.Context(), agent(i).Key, agent(i).UID, "secret")
		}
		time.Sleep(tasksTimeout + time.Millisecond)
		g.Expect(top.Load()).To(BeEquivalentTo(maxAsking))
		g.Expect(out.Load()).To(BeZero(), "each ends with its time")
		p.AskTasks(t.Context(), agent(99).Key, agent(99).UID, "secret")
		synctest.Wait()
		g.Expect(out.Load()).To(BeEquivalentTo(1), "and leaves its place")
	})
}

func TestFetchTasks(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	good := `{"active_count":1,"running_jobs":[{"name":"index","duration":60}]}`
	for name, row := range map[string]struct {
		serve func(*server, *net.TCPConn)
		want  string // a part of the error; none if empty
	}{
		"good":                {once(ok(good)), ""},
		"good, to the end":    {func(s *server, c *net.TCPConn) { once(head+"\r\n"+good)(s, c) }, "timeout"},
		"not there":           {once("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "answered 404"},
		"forbidden":           {once("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), "answered 403"},
		"redirect":            {once("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/tasks\r\nContent-Length: 0\r\n\r\n"), "answered 302"},
		"101":                 {once("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "answered 101"},
		"garbage":             {once(ok("tasks? none")), "not a JSON object"},
		"too large":           {once(ok(`"` + strings.Repeat("x", contract.MaxTasksBytes) + `"`)), "more than 65536 bytes"},
		"body without end":    {endless(head+"\r\n", strings.Repeat("x", 1024)), "more than 65536 bytes"},
		"headers without end": {endless(head, "X: y\r\n"), "read the answer"},
		"compressed unasked":  {once(strings.Replace(ok(zipped(good)), "\r\n", "\r\nContent-Encoding: gzip\r\n", 1)), "not UTF-8"},
		"marks of chunks":     {endless(head+"Transfer-Encoding: chunked\r\n\r\n", "1;"+strings.Repeat("x", 1024)+"\r\n \r\n"), "too much non-data"},
		"drip":                {drip(head+"\r\n", "x"), "timeout"},
		"nothing":             {func(_ *server, c *net.TCPConn) { drain(c) }, "timeout"},
		"FIN":                 {func(s *server, c *net.TCPConn) { finAfter("")(s, c) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := listen(t, "127.0.0.1", row.serve)
			timeout := patient
			if row.want == "timeout" {
				timeout = hasty
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			got, err := FetchTasks(ctx, Target{Addr: s.addr}, "secret")
			if row.want != "" {
				g.Expect(err).To(MatchError(ContainSubstring(row.want)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(telling))
			g.Expect(s.requests).To(ConsistOf(And(
				HavePrefix(fmt.Sprintf("GET /tasks HTTP/1.1\r\nHost: localhost:%d\r\n", s.addr.Port())), ContainSubstring("\r\nAuthorization: Bearer secret\r\n"))))
		})
	}
}

func TestFetchTasksRefuses(t *testing.T) {
	g := NewWithT(t)
	s := listen(t, "127.0.0.1", once(ok(`{}`)))
	for _, token := range []string{"", "a b", "a\r\nX: y", "a\x7f", "ä"} {
		_, err := FetchTasks(t.Context(), Target{Addr: s.addr}, token)
		g.Expect(err).To(MatchError(ContainSubstring("token")))
	}
	_, err := FetchTasks(t.Context(), Target{Addr: netip.MustParseAddrPort("169.254.169.254:80")}, "secret")
	g.Expect(err).To(MatchError(ContainSubstring("not an address of a pod")))
	made, _ := s.counts()
	g.Expect(made).To(BeZero())
}
