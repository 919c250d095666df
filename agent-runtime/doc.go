// Package agentruntime is what an agent written in Go links: the container
// contract of AWS Bedrock AgentCore Runtime, as AWS's own SDKs serve it for
// Python and TypeScript. One and the same image runs under AgentSession on
// Kubernetes and on AgentCore. The package needs the standard library only and
// knows nothing of either.
//
// # Five minutes
//
// An agent is an [App] with an entrypoint. Its invocations are JSON in and
// JSON out:
//
//	app := agentruntime.New(agentruntime.Options{})
//	app.Entrypoint(agentruntime.JSON(func(ctx context.Context, in Question) (Answer, error) {
//		return Answer{Text: "You asked: " + in.Text}, nil
//	}))
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//	defer stop()
//	err := app.Run(ctx)
//
// That serves POST /invocations and GET /ping on 0.0.0.0:8080, logs JSON lines
// to standard error, and stops gracefully.
//
// # Tasks
//
// The platform knows when an invocation is in flight. It cannot know of work
// that goes on after the answer: unless the agent says so, the session counts
// as idle and its compute is taken away in the middle of that work. A task is
// how the agent says so; while there is one, /ping answers HealthyBusy:
//
//	app.Go(ctx, "index", func(ctx context.Context) error { ... }) // in the background
//	err := app.AsyncTask(ctx, "index", func(ctx context.Context) error { ... }) // here
//
// Both complete the task whatever happens, a panic included. Work that has no
// function of its own uses [App.AddAsyncTask] and [App.CompleteAsyncTask], and
// must see to the second itself: a task that is never completed keeps the
// session busy, at its owner's cost, until its maximum lifetime.
//
// # Ping status
//
// /ping answers the forced status if there is one ([App.ForcePingStatus]), else
// HealthyBusy while there are tasks and Healthy otherwise. An invocation in
// flight does not make the agent busy, as in AWS's SDKs. time_of_last_update is
// the second in which the status last changed, never the time of the ping: an
// agent that stamps every ping is never idle.
//
// # Contexts
//
// [SessionID] and [RequestID] read what came with the invocation; [App.Logger]
// puts both into every line. The context of an invocation ends when its client
// goes. A task outlives the invocation that started it. The contexts of both
// are cancelled with [ErrStopping] shortly before the end of the grace period.
//
// # The end
//
// When the context of [App.Run] ends, new invocations are refused with 503,
// what runs may finish, and /ping goes on answering. See [App.Drain] for the
// clock.
//
// # Differences from AWS's SDKs
//
//	                     AWS                                   here
//	status stamp         when a ping notices the change        when the status changes
//	first stamp          Python: the first ping                New
//	/ping                Python: starves behind 40 handlers    waits for nobody
//	address              Python: loopback outside Docker       0.0.0.0:8080
//	request body limit   Python: none, TypeScript: 1 MiB       100,000,000 bytes, as the platform; 413
//	wrong type in JSON   Python: the handler's affair          400, as the TypeScript SDK with a schema
//	result not JSON      Python: its str()                     500
//	task ids             Python: random, may be negative       1, 2, 3, ... as in TypeScript
//	task metadata        kept, never shown                     in TaskInfo
//	stop                 none                                  graceful
package agentruntime
