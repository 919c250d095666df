// Package agentruntime is what an agent written in Go links: the container
// contract of AWS Bedrock AgentCore Runtime, as AWS's own SDKs serve it for
// Python and TypeScript. One and the same image runs under AgentSession on
// Kubernetes and on AgentCore. The package knows nothing of either, and needs
// the standard library and a WebSocket library only.
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
// An answer that comes piece by piece, as Server-Sent Events, is an iterator:
//
//	app.Entrypoint(agentruntime.SSE(func(ctx context.Context, in Question) iter.Seq2[Token, error] { ... }))
//
// One that is not JSON is a [Response]. [App.WebSocket] serves /ws, and
// [App.EntrypointHTTP] takes the server of another library, for MCP and A2A:
// see [Protocol].
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
// must see to the second itself, best in a defer: completing twice does no harm,
// while a task that is never completed keeps the session busy, at its owner's
// cost, until its maximum lifetime. [MaxDuration] is a deadline for a task.
//
// # Ping status
//
// /ping answers
//
//  1. the forced status if there is one ([App.ForcePingStatus]), else
//  2. what the custom handler says ([App.PingHandler]), if there is one and it
//     works, else
//  3. HealthyBusy while there are tasks and Healthy otherwise.
//
// An invocation in flight does not make the agent busy, as in AWS's SDKs, unless
// Options.BusyWhileInvoking is set. time_of_last_update is the second in which
// the status last changed, never the time of the ping: an agent that stamps
// every ping is never idle. For busy dependencies and scarce resources there are
// ready-made handlers: [AnyBusy], [BusyWhile], [BusyAboveMemory], [BusyAboveCPU]
// and [Sampled].
//
// # Journal
//
// [App.RecordEvent] notes an event together with the ping status of that moment.
// An event that says that a task has ended while the task is still noted is how
// a forgotten one is found. With Options.Introspection GET /tasks and GET
// /events show tasks and events, to kubectl port-forward and to the operator,
// which names the task in the session's condition Stuck.
//
// # Contexts
//
// [SessionID], [RequestID], [Headers], [TraceContext], [WorkloadAccessToken] and
// [OAuth2CallbackURL] read what came with the invocation; [App.Logger] puts the
// ids into every line. The context of an invocation ends when its client goes. A
// task outlives the invocation that started it. The contexts of both are
// cancelled with [ErrStopping] shortly before the end of the grace period.
//
// # The end
//
// When the context of [App.Run] ends, new invocations are refused with 503,
// what runs may finish, and /ping goes on answering. See [App.Drain] for the
// clock.
//
// # Coming from Python or TypeScript
//
//	Python                                 TypeScript                  here
//	BedrockAgentCoreApp()                  new BedrockAgentCoreApp()   New(Options{})
//	BedrockAgentCoreApp(debug=True)        none                        Options.Debug
//	@app.entrypoint                        invocationHandler           Entrypoint(JSON(fn))
//	yield in the entrypoint                async generator             Entrypoint(SSE(fn))
//	return a Response                      none                        return a Response
//	raise HTTPException                    none                        return an *HTTPError
//	@app.websocket                         websocketHandler            WebSocket
//	@app.ping                              pingHandler                 PingHandler
//	@app.async_task                        asyncTask                   AsyncTask, Go
//	add_async_task, complete_async_task    addAsyncTask, ...           AddAsyncTask, CompleteAsyncTask
//	get_async_task_info                    getAsyncTaskInfo            TaskInfo
//	get_current_ping_status                getCurrentPingStatus        GetCurrentPingStatus
//	force_ping_status                      none                        ForcePingStatus
//	clear_forced_ping_status               none                        ClearForcedPingStatus
//	context.session_id                     context.sessionId           SessionID(ctx)
//	context.request_headers                context.headers             Headers(ctx)
//	BedrockAgentCoreContext.get_...        context.requestId, ...      RequestID(ctx), WorkloadAccessToken(ctx), ...
//	context.request.headers                none                        TraceContext(ctx)
//	app.logger                             context.log                 Logger()
//	app.run(port=..., host=...)            app.run()                   Run(ctx), Options.Addr
//
// # Differences from AWS's SDKs
//
// On purpose; everything else is the same on the wire, which `make conformance`
// holds against the real SDK for Python.
//
//	                     AWS                                   here
//	status stamp         when a ping notices the change        when the status changes
//	first stamp          Python: the first ping                New
//	stamp with custom    TypeScript: frozen                    as ever
//	  handler
//	custom handler that  Python: waited for, and Healthy,      the automatic status within 100 ms,
//	  blocks, is async     stamped now, for what is no         logged once
//	  or returns junk      string; TypeScript: passed on
//	/ping                Python: starves behind 40 handlers    waits for nobody
//	address              Python: loopback outside Docker       all addresses
//	request body limit   Python: none, TypeScript: 1 MiB       100,000,000 bytes, as the platform; 413
//	NaN, UTF-16, byte    Python: taken                         400: they are no JSON
//	  order marks
//	wrong type in JSON   Python: the handler's affair          400, as TypeScript with a schema
//	result not JSON      Python: its str()                     500
//	streams              TypeScript: only if the request       always, as Python
//	                       accepts them, else 406
//	client that leaves   Python: the producer is parked        the producer's context ends
//	  a stream             until garbage is collected
//	error_type           Python: RuntimeError                  the type in Go: *errors.errorString
//	/ws, other origins   accepted                              refused with 403
//	/ws without handler  Python: 403 without a body            403 with a reason
//	debug actions        Python: to everybody                  from inside the pod, or with a token
//	  with a list        Python: 500                           passed to the handler
//	/invocations/        Python: redirected                    404
//	task ids             Python: random, may be negative       1, 2, 3, ... as in TypeScript
//	task metadata        kept, never shown                     in TaskInfo
//	/ping of A2A, AG-UI  Python: without the stamp             with it
//	stop                 none                                  graceful
package agentruntime
