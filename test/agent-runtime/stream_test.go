package agentruntime_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

type count struct {
	To int `json:"to"`
}

func counting(made chan<- int) agentruntime.Handler {
	return agentruntime.SSE(func(ctx context.Context, in count) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for n := range in.To {
				select {
				case made <- n:
				case <-ctx.Done():
				}
				if !yield(n, nil) {
					return
				}
			}
		}
	})
}

// begin posts an invocation and returns its answer before it has ended.
func (a *agent) begin(ctx context.Context, t *testing.T, body string) *http.Response {
	t.Helper()
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/invocations", strings.NewReader(body))
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// Each piece is with the client before the next is made: made has no room, and
// nobody takes the second before the first has been read.
func TestCheck10Streaming(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	made := make(chan int)
	a.Entrypoint(counting(made))
	response := a.begin(t.Context(), t, `{"to":3}`)
	g.Expect(response.StatusCode).To(Equal(http.StatusOK))
	g.Expect(response.Header.Get("Content-Type")).To(Equal("text/event-stream; charset=utf-8"))
	reader := bufio.NewReader(response.Body)
	for _, want := range []string{"data: 0\n", "data: 1\n", "data: 2\n"} {
		g.Eventually(made).Should(Receive())
		g.Expect(reader.ReadString('\n')).To(Equal(want))
		g.Expect(reader.ReadString('\n')).To(Equal("\n"))
	}
	_, err := reader.ReadByte()
	g.Expect(err).To(Equal(io.EOF), "no [DONE]")
	g.Eventually(a.log.String).Should(ContainSubstring("Invocation completed"))
}

func TestCheck11ErrorInAStream(t *testing.T) {
	for name, row := range map[string]struct {
		last func() (any, error)
		want string
	}{
		"error": {
			func() (any, error) { return nil, errors.New("mid") },
			`{"error":"mid","error_type":"*errors.errorString","message":"An error occurred during streaming"}`,
		},
		"panic": {
			func() (any, error) { panic("mid") },
			`{"error":"panic: mid","error_type":"*agentruntime.PanicError","message":"An error occurred during streaming"}`,
		},
		"no JSON": {
			func() (any, error) { return make(chan int), nil },
			`{"error":"encode the result: json: unsupported type: chan int","error_type":"*fmt.wrapError","message":"An error occurred during streaming"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a := newAgent(t)
			a.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
				return agentruntime.Stream(func(yield func(any, error) bool) {
					_ = yield("<a>", nil) && yield(map[string]int{"b": 1}, nil) && yield(row.last()) && yield("never", nil)
				}), nil
			})
			got := a.invoke(t, `{}`)
			g.Expect(got.code).To(Equal(http.StatusOK))
			g.Expect(got.body).To(Equal("data: \"<a>\"\n\ndata: {\"b\":1}\n\ndata: " + row.want + "\n\n"))
			g.Eventually(a.log.String).Should(ContainSubstring("Invocation failed"))
			g.Expect(a.invoke(t, `{}`).code).To(Equal(http.StatusOK), "and the agent lives")
		})
	}
}

func TestPayloadThatDoesNotFitAStream(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	a.Entrypoint(counting(nil))
	got := a.invoke(t, `{"to":"many"}`)
	g.Expect(got.code).To(Equal(http.StatusBadRequest))
	g.Expect(got.body).To(ContainSubstring("Invalid request body format"))
}

// The producer waits for something that never comes: only its context tells it
// that nobody listens any more.
func TestClientThatLeavesAStream(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	ended := make(chan error, 1)
	a.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		return agentruntime.Stream(func(yield func(any, error) bool) {
			yield("first", nil)
			<-ctx.Done()
			ended <- ctx.Err()
			yield(nil, ctx.Err())
		}), nil
	})
	ctx, leave := context.WithCancel(t.Context())
	response := a.begin(ctx, t, `{}`)
	g.Expect(bufio.NewReader(response.Body).ReadString('\n')).To(Equal("data: \"first\"\n"))
	leave()
	g.Eventually(ended).Should(Receive(MatchError(context.Canceled)))
	g.Eventually(a.log.String).Should(ContainSubstring("Invocation left by its client"))
	g.Expect(a.log.String()).NotTo(ContainSubstring(`"ERROR"`))
}

// A producer that never looks at its context is told by yield.
func TestProducerThatGoesOnIsStopped(t *testing.T) {
	g := NewWithT(t)
	a := newAgent(t)
	stopped := make(chan struct{})
	a.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
		return agentruntime.Stream(func(yield func(any, error) bool) {
			for yield("more", nil) {
			}
			close(stopped)
		}), nil
	})
	ctx, leave := context.WithCancel(t.Context())
	_, err := bufio.NewReader(a.begin(ctx, t, `{}`).Body).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	leave()
	g.Eventually(stopped).Should(BeClosed())
}
