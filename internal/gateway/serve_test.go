package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// pipes is a listener whose connections have no buffers, and time of their own.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// dial opens a connection and writes on it.
func (p *pipes) dial(text string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		_, err := io.WriteString(ours, text)
		return ours, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// ask makes a call that needs nothing but the gateway.
func (p *pipes) ask(e *WithT) *http.Response {
	e.THelper()
	conn, err := p.dial(call0)
	e.Expect(err).NotTo(HaveOccurred())
	return answerOn(e, conn)
}

// call0 is a call that needs nothing but the gateway.
const call0 = "GET /openapi.yaml HTTP/1.1\r\nHost: a\r\n\r\n"

func answerOn(e *WithT, conn net.Conn) *http.Response {
	e.THelper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	e.Expect(err).NotTo(HaveOccurred())
	body, err := io.ReadAll(response.Body)
	e.Expect(err).NotTo(HaveOccurred())
	if response.StatusCode == http.StatusOK {
		e.Expect(body).To(Equal(openAPI))
	}
	return response
}

// serving runs a gateway in a bubble.
func serving(t *testing.T, o Options, test func(e *WithT, g *Gateway, p *pipes, end func(), ended <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		g, p, ended := New(o), newPipes(), make(chan error, 1)
		go func() { ended <- g.Serve(ctx, p) }()
		synctest.Wait()
		test(NewWithT(t), g, p, end, ended)
	})
}

func TestSlowCallersAreCutAndOthersServed(t *testing.T) {
	for name, row := range map[string]struct {
		head  string
		pause time.Duration // between two bytes
		after time.Duration
		code  int // 0: none is answered
	}{
		"head":            {"GET /openapi.yaml HTTP/1.1\r\nHost: a\r\nX-Slow: ", time.Second, headerTimeout, 0},
		"body":            {"POST /sessions/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", 10 * time.Second, bodyTimeout, http.StatusBadRequest},
		"body of no call": {"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", 10 * time.Second, bodyTimeout, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, Options{}, func(e *WithT, _ *Gateway, p *pipes, end func(), ended <-chan error) {
				slow, err := p.dial(row.head)
				e.Expect(err).NotTo(HaveOccurred())
				began := time.Now()
				var callers sync.WaitGroup
				defer callers.Wait()
				callers.Go(func() {
					for err := error(nil); err == nil; _, err = slow.Write([]byte(" ")) {
						time.Sleep(row.pause)
					}
				})
				callers.Go(func() {
					for time.Since(began) < row.after {
						e.Expect(p.ask(e).StatusCode).To(Equal(http.StatusOK))
						time.Sleep(row.pause)
					}
				})
				if row.code != 0 {
					e.Expect(answerOn(e, slow)).To(HaveField("StatusCode", row.code))
				}
				_, err = slow.Read(make([]byte, 1))
				e.Expect(err).To(Equal(io.EOF))
				e.Expect(time.Since(began)).To(BeNumerically("~", row.after, row.pause))
				end()
				e.Expect(<-ended).To(Succeed())
			})
		})
	}
}

func TestCallersWhoTakeNothingAreCut(t *testing.T) {
	serving(t, Options{}, func(e *WithT, _ *Gateway, p *pipes, end func(), ended <-chan error) {
		_, err := p.dial(call0)
		e.Expect(err).NotTo(HaveOccurred())
		began := time.Now()
		synctest.Wait()
		end()
		e.Expect(<-ended).To(Succeed(), "nothing is in flight")
		e.Expect(time.Since(began)).To(BeNumerically("~", callTimeout, time.Second))
	})
}

// What is told to end says so, serves those who do not know it yet, and lets end
// what is in flight.
func TestEndsWithoutCuttingACall(t *testing.T) {
	const delay = 5 * time.Second
	serving(t, Options{ShutdownDelay: delay}, func(e *WithT, g *Gateway, p *pipes, end func(), ended <-chan error) {
		e.Expect(g.Ready(nil)).To(Succeed())
		flight, err := p.dial(call0)
		e.Expect(err).NotTo(HaveOccurred())
		kept, err := p.dial(call0)
		e.Expect(err).NotTo(HaveOccurred())
		e.Expect(answerOn(e, kept).Close).To(BeFalse())

		end()
		synctest.Wait()
		e.Expect(g.Ready(nil)).To(MatchError(ContainSubstring("takes no calls")))
		_, err = io.WriteString(kept, call0)
		e.Expect(err).NotTo(HaveOccurred())
		e.Expect(answerOn(e, kept).Close).To(BeTrue(), "the next call is to go elsewhere")
		for range 5 {
			e.Expect(p.ask(e).StatusCode).To(Equal(http.StatusOK))
			time.Sleep(delay/5 - time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		_, err = p.dial(call0)
		e.Expect(err).To(MatchError(net.ErrClosed))

		time.Sleep(time.Minute)
		e.Expect(ended).NotTo(Receive())
		e.Expect(answerOn(e, flight).StatusCode).To(Equal(http.StatusOK))
		e.Expect(<-ended).To(Succeed())
	})
}

// Before it serves it is not ready: connections would wait.
func TestIsNotReadyBeforeItServes(t *testing.T) {
	NewWithT(t).Expect(New(Options{}).Ready(nil)).NotTo(Succeed())
}

// A deletion that is seen late cuts the calls of the session that was deleted, and not
// those of one that has its name since.
func TestADeletionCutsItsOwnCalls(t *testing.T) {
	g, r := NewWithT(t), &running{}
	old, present := sessionNo(1), sessionNo(1)
	present.UID = "another"
	cut := map[types.UID]error{}
	for _, session := range []*v1alpha1.AgentSession{old, present} {
		r.add(client.ObjectKeyFromObject(session), &run{uid: session.UID, cut: func(why error) { cut[session.UID] = why }})
	}
	r.delete(old)
	g.Expect(cut).To(HaveLen(1))
	g.Expect(cut).To(HaveKey(old.UID))
}
