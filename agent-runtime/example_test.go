package agentruntime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

type Question struct {
	Text string `json:"text"`
}

type Answer struct {
	Text string `json:"text"`
}

// A whole agent.
func Example() {
	app := agentruntime.New(agentruntime.Options{})
	app.Entrypoint(agentruntime.JSON(func(_ context.Context, in Question) (Answer, error) {
		return Answer{Text: "You asked: " + in.Text}, nil
	}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := app.Run(ctx); err != nil {
		slog.Error("Agent stopped", "error", err)
		os.Exit(1)
	}
}

func ExampleJSON() {
	app := agentruntime.New(quiet)
	app.Entrypoint(agentruntime.JSON(func(_ context.Context, in Question) (Answer, error) {
		if in.Text == "" {
			return Answer{}, &agentruntime.HTTPError{Code: 422, Message: "text is missing"}
		}
		return Answer{Text: "You asked: " + in.Text}, nil
	}))

	fmt.Println(post(app, `{"text":"why?"}`))
	fmt.Println(post(app, `{}`))
	fmt.Println(post(app, `{"text":5}`))
	fmt.Println(post(app, `why?`))
	// Output:
	// 200 {"text":"You asked: why?"}
	// 422 {"error":"text is missing"}
	// 400 {"error":"Invalid request body format","details":"json: cannot unmarshal number into Go struct field Question.text of type string"}
	// 400 {"error":"Invalid JSON","details":"invalid character 'w' looking for beginning of value"}
}

// Work that goes on after the answer: Go notes the task before the invocation
// is answered, and completes it whatever happens.
func ExampleApp_Go() {
	app := agentruntime.New(quiet)
	finish, finished := make(chan struct{}), make(chan struct{})
	app.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		app.Go(ctx, "research", func(context.Context) error {
			defer close(finished)
			<-finish
			return nil
		})
		return "started", nil
	})

	fmt.Println(post(app, `{}`))
	fmt.Println(app.GetCurrentPingStatus())
	close(finish)
	<-finished
	// Output:
	// 200 "started"
	// HealthyBusy
}

// Work that the caller waits for. A panic becomes an error.
func ExampleApp_AsyncTask() {
	app := agentruntime.New(quiet)
	err := app.AsyncTask(context.Background(), "research", func(context.Context) error {
		fmt.Println(app.GetCurrentPingStatus())
		var results []string
		fmt.Println(results[0])
		return nil
	})
	fmt.Println(err)
	fmt.Println(app.GetCurrentPingStatus())
	// Output:
	// HealthyBusy
	// panic: runtime error: index out of range [0] with length 0
	// Healthy
}

// Tasks that begin in one place and end in another, here with a safety net: the
// task is completed by whichever path the function is left.
func ExampleApp_AddAsyncTask() {
	app := agentruntime.New(quiet)
	index := func(file string) error {
		task := app.AddAsyncTask("index", map[string]any{"file": file})
		defer app.CompleteAsyncTask(task)
		fmt.Println(app.GetCurrentPingStatus(), app.TaskInfo().RunningJobs[0].Metadata)
		return io.ErrUnexpectedEOF
	}
	fmt.Println(index("a.txt"))
	fmt.Println(app.GetCurrentPingStatus())
	// Output:
	// HealthyBusy map[file:a.txt]
	// unexpected EOF
	// Healthy
}

// An answer piece by piece. Each piece is with the client before the next is
// made; when the client goes, yield returns false and the context ends.
func ExampleSSE() {
	app := agentruntime.New(quiet)
	app.Entrypoint(agentruntime.SSE(func(_ context.Context, in Question) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for word := range strings.FieldsSeq(in.Text) {
				if !yield(word, nil) {
					return
				}
			}
		}
	}))
	fmt.Println(post(app, `{"text":"once upon"}`))
	// Output:
	// 200 data: "once"
	//
	// data: "upon"
}

// An answer that is not JSON.
func ExampleResponse() {
	app := agentruntime.New(quiet)
	app.Entrypoint(func(context.Context, agentruntime.Request) (any, error) {
		return agentruntime.Response{
			Header: http.Header{"Content-Type": {"text/csv"}},
			Body:   strings.NewReader("a,b"),
		}, nil
	})
	fmt.Println(post(app, `{}`))
	// Output:
	// 200 a,b
}

// The agent's own idea of its status, here of a queue that it works on. One that
// fails leaves the status to the tasks.
func ExampleApp_PingHandler() {
	app := agentruntime.New(quiet)
	depth := 2000
	app.PingHandler(func(ctx context.Context) (agentruntime.Status, error) {
		if depth > 1000 {
			return agentruntime.HealthyBusy, nil
		}
		return app.AutomaticPingStatus(ctx) // GetCurrentPingStatus would ask this handler
	})
	fmt.Println(app.GetCurrentPingStatus())
	depth = 0
	fmt.Println(app.GetCurrentPingStatus())
	// Output:
	// HealthyBusy
	// Healthy
}

// Ready-made handlers, put together: busy while there are tasks, while memory is
// scarce, or while a queue is backed up. Each is asked until one is busy.
func ExampleAnyBusy() {
	app := agentruntime.New(quiet)
	queue := 2000
	app.PingHandler(agentruntime.AnyBusy(
		app.AutomaticPingStatus,
		agentruntime.BusyAboveMemory(0.85),
		agentruntime.BusyWhile(func(context.Context) (bool, error) { return queue > 1000, nil }),
	))
	fmt.Println(app.GetCurrentPingStatus())
	// Output: HealthyBusy
}

// A check that takes longer than a ping may wait: it runs every 10 seconds, in
// the background, and pings hear its last answer.
func ExampleSampled() {
	app := agentruntime.New(quiet)
	ask := func(context.Context) (bool, error) { return true, nil } // a request to a database
	app.PingHandler(agentruntime.Sampled(10*time.Second, agentruntime.BusyWhile(ask)))
	fmt.Println(app.GetCurrentPingStatus())
	// Output: HealthyBusy
}

// An echo.
func ExampleApp_WebSocket() {
	app := agentruntime.New(agentruntime.Options{})
	app.WebSocket(func(ctx context.Context, conn *websocket.Conn) error {
		for {
			kind, message, err := conn.Read(ctx)
			if err != nil {
				return err // the client has closed, or is gone
			}
			if err := conn.Write(ctx, kind, message); err != nil {
				return err
			}
		}
	})
}

// The event is recorded after the task was completed, so its ping status is what
// follows. HealthyBusy here would mean that a task was forgotten.
func ExampleApp_RecordEvent() {
	events := agentruntime.Options{Logger: quiet.Logger, Events: printer{}}
	app := agentruntime.New(events)
	task := app.AddAsyncTask("index", nil)
	app.RecordEvent(context.Background(), agentruntime.EventTaskStarted, slog.Any("task", task))
	app.CompleteAsyncTask(task)
	app.RecordEvent(context.Background(), agentruntime.EventTaskCompleted, slog.Any("task", task), slog.Int("files", 3))
	// Output:
	// TASK_STARTED HealthyBusy map[task:1]
	// TASK_COMPLETED Healthy map[files:3 task:1]
}

// printer is an EventSink; most write to a database.
type printer struct{}

func (printer) WriteEvent(_ context.Context, e agentruntime.Event) error {
	_, err := fmt.Fprintln(os.Stdout, e.Status, e.PingStatus, e.Attrs)
	return err
}

// A status for what is not a task: here an agent that must not be taken away
// while a person types.
func ExampleApp_ForcePingStatus() {
	app := agentruntime.New(quiet)
	app.ForcePingStatus(agentruntime.HealthyBusy)
	fmt.Println(app.GetCurrentPingStatus())
	app.ClearForcedPingStatus()
	fmt.Println(app.GetCurrentPingStatus())
	// Output:
	// HealthyBusy
	// Healthy
}

// The agent's own log lines carry the ids of session and request too.
func ExampleApp_Logger() {
	lines := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{}
			}
			return a
		},
	})
	app := agentruntime.New(agentruntime.Options{
		Logger: slog.New(lines),
	})
	app.Entrypoint(func(ctx context.Context, _ agentruntime.Request) (any, error) {
		app.Logger().InfoContext(ctx, "Thinking")
		return nil, nil
	})
	post(app, `{}`)
	// Output:
	// level=INFO msg=Thinking sessionId=session-of-the-example requestId=1
	// level=INFO msg="Invocation completed" sessionId=session-of-the-example requestId=1
}

// TaskInfo as JSON.
func ExampleApp_TaskInfo() {
	app := agentruntime.New(quiet)
	info, _ := json.Marshal(app.TaskInfo())
	fmt.Println(string(info))
	// Output:
	// {"active_count":0,"running_jobs":[]}
}

// quiet keeps the log out of the examples.
var quiet = agentruntime.Options{Logger: slog.New(slog.DiscardHandler)}

// post is what a caller of the agent sees.
func post(app *agentruntime.App, body string) string {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "/invocations", strings.NewReader(body))
	request.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "session-of-the-example")
	request.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", "1")
	app.Handler().ServeHTTP(recorder, request)
	return fmt.Sprintf("%d %s", recorder.Code, recorder.Body)
}
