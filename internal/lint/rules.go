package lint

// What is said in more than one rule.
const (
	costsUnhealthy = "AgentCore deems the compute unhealthy and takes it away, in the middle of work if there is any; callers get 424 (RuntimeClientError), and the next call begins with no memory."
	costsNeverBusy = "AgentCore documents the two statuses only. Any other answer of 200 is taken for an agent that is alive and never busy: one that works in the background is stopped at its idle timeout, in the middle of the work."
	costsStamp     = "The session counts as idle since another moment than it is, and is stopped too early or too late."

	usePython = "Leave /ping to BedrockAgentCoreApp of bedrock-agentcore, and mark work with @app.async_task."
	useTS     = "Leave /ping to BedrockAgentCoreApp of bedrock-agentcore, and mark work with app.asyncTask(...)."
	useGo     = "Leave /ping to agentruntime.App, and mark work with app.Go(ctx, name, fn)."
)

// Rules are all rules: those of the ping's answer, of its status, of its stamp, of work, of
// calls, of where the agent listens, and of what it makes when it starts.
func Rules() []Rule {
	var all []Rule
	for _, part := range [][]Rule{answerRules, statusRules, stampRules, workRules, callRules, addressRules, startRules} {
		all = append(all, part...)
	}
	return all
}

var answerRules = []Rule{
	{
		ID: "ping-refused", Severity: Error, look: lookRefused,
		Breach: "connections are refused, or closed without an answer", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Look why the process ends or stops accepting: an exception in a thread, os._exit, memory. Do not reload on changes of files (uvicorn --reload).",
			TypeScript: "Look why the process ends: an unhandled rejection ends Node.js. Handle it, or log it in process.on(\"unhandledRejection\").",
			Go:         "Look why the process ends: a panic in a goroutine of its own ends it. Start work with app.Go, which recovers it.",
		},
	},
	{
		ID: "ping-slow", Severity: Error, look: lookSlow,
		Breach: "GET /ping is answered slowly, or not at all", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Do no work in the ping handler: no I/O, no lock. Let the work set a variable that the handler reads.",
			TypeScript: "Do no work in pingHandler, and do not block the event loop (synchronous I/O, long loops): put that into a worker thread.",
			Go:         "Do no work in the ping handler, and take no lock in it that work holds.",
		},
	},
	{
		ID: "ping-blocked-by-call", Severity: Error, look: lookBlocked,
		Breach: "GET /ping is not answered in time while a call is", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Let blocking code run in a thread: a plain def as the entrypoint, or await asyncio.to_thread(...). A server of your own needs more than one thread.",
			TypeScript: "Give the event loop back: await what waits, and put what computes into a worker thread.",
			Go:         "Serve with net/http or agentruntime.App, which serve each request by itself, and hold no lock over a call that the ping takes.",
		},
	},
	{
		ID: "ping-not-http", Severity: Error, look: lookNotHTTP,
		Breach: "the answer to GET /ping is not HTTP/1.1, or is cut off", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Serve plain HTTP/1.1, without TLS: uvicorn without --ssl-*.",
			TypeScript: "Serve plain HTTP/1.1 with node:http, not node:https or node:http2.",
			Go:         "Serve plain HTTP/1.1: ListenAndServe, not ListenAndServeTLS.",
		},
	},
	{
		ID: "ping-missing", Severity: Error, look: failures(isMissing),
		Breach: "there is no GET /ping", Costs: "The compute never counts as healthy: after 120 s the start has failed, and the caller gets 424 (RuntimeClientError).",
		Mend: Mend{
			Python:     "BedrockAgentCoreApp serves it. In FastAPI: @app.get(\"/ping\") that returns {\"status\": \"Healthy\"}, at the root and not under a prefix.",
			TypeScript: "BedrockAgentCoreApp serves it. In Express: app.get(\"/ping\", (_, res) => res.json({status: \"Healthy\"})).",
			Go:         "agentruntime.App serves it. By hand: mux.HandleFunc(\"GET /ping\", ...). An MCP server is asked otherwise: --protocol MCP.",
		},
	},
	{
		ID: "ping-needs-login", Severity: Error, look: failures(isLogin),
		Breach: "GET /ping wants a login", Costs: "AgentCore asks without any. The compute never counts as healthy: after 120 s the start has failed, and the caller gets 424.",
		Mend: Mend{
			Python:     "Leave /ping out of the authentication middleware. Who calls is checked before the agent, by the runtime's authorizer.",
			TypeScript: "Register /ping before the middleware that authenticates.",
			Go:         "Wrap only the handler of calls, and not the whole mux, in what authenticates.",
		},
	},
	{
		ID: "ping-redirected", Severity: Error, look: failures(isRedirect),
		Breach: "GET /ping is answered with a redirect", Costs: "Only 200 is known to count as healthy; to https or to another host nobody follows within the compute.",
		Mend: Mend{
			Python:     "Serve /ping without a trailing slash, and leave out HTTPSRedirectMiddleware.",
			TypeScript: "Leave /ping out of what redirects to https, and set no strict routing with a trailing slash.",
			Go:         "Register \"GET /ping\", not \"GET /ping/\", and leave it out of what redirects to https.",
		},
	},
	{
		ID: "ping-rate-limited", Severity: Error, look: failures(isLimited),
		Breach: "GET /ping is answered with 429 when it is asked as often as AgentCore asks, every 2 s", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Exempt /ping from the limiter (slowapi: @limiter.exempt).",
			TypeScript: "Exempt /ping from the limiter (express-rate-limit: skip: (req) => req.path === \"/ping\").",
			Go:         "Wrap only the handler of calls in the limiter.",
		},
	},
	{
		ID: "ping-fails", Severity: Error, look: lookFailed,
		Breach: "GET /ping is answered with another code than 200", Costs: costsUnhealthy,
		Mend: Mend{
			Python:     "Catch what the ping handler raises, and answer 200 as long as the agent can be called. Whether a model or a database answers is no part of it.",
			TypeScript: "Catch what pingHandler throws, and answer 200 as long as the agent can be called.",
			Go:         "Answer 200 as long as the agent can be called; what it depends on is no part of that.",
		},
	},
	{
		ID: "mcp-ping-refused", Severity: Error, look: lookMCP,
		Breach: "the MCP server refuses MCP's ping", Costs: "AgentCore asks MCP servers so, without a login. The compute does not count as healthy, and callers get -32010.",
		Mend: Mend{
			Python:     "Serve streamable HTTP at /mcp without authentication before it: FastMCP's run(transport=\"streamable-http\"), stateless_http=True.",
			TypeScript: "Serve StreamableHTTPServerTransport at /mcp, for POST, and leave authentication to the runtime's authorizer.",
			Go:         "Serve mcp.NewStreamableHTTPHandler at /mcp, and leave authentication to the runtime's authorizer.",
		},
	},
	{
		ID: "host-refused", Severity: Warning, look: lookHost,
		Breach: "requests are refused for the host that they name",
		Costs:  "What AgentCore names in the header Host is not documented. If it is refused, the compute does not count as healthy, and every call fails: callers get 424 (RuntimeClientError), those of MCP servers -32010. This platform names localhost and the port.",
		Mend: Mend{
			Python:     "Name the address where an MCP server is made, FastMCP(host=\"0.0.0.0\"), and not in its settings afterwards: made for 127.0.0.1, its default, it serves local hosts only. Or pass transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False). In FastAPI: leave TrustedHostMiddleware out.",
			TypeScript: "createMcpExpressApp({host: \"0.0.0.0\"}): for 127.0.0.1, its default, it serves local hosts only. Leave allowedHosts and hostHeaderValidation out.",
			Go:         "mcp.NewStreamableHTTPHandler looks at Host where a connection comes over loopback, as one that is forwarded does: mcp.StreamableHTTPOptions{DisableLocalhostProtection: true}. By hand: patterns of http.ServeMux without a host.",
		},
	},
}

var statusRules = []Rule{
	{
		ID: "ping-says-unhealthy", Severity: Error, look: failures(isUnhealthy),
		Breach: "the agent says Unhealthy", Costs: "The contract has no such status and asks for a code of failure. " + costsUnhealthy,
		Mend: Mend{
			Python:     "Return PingStatus.HEALTHY or PingStatus.HEALTHY_BUSY only. Say in the answer to a call what is out of order.",
			TypeScript: "Return \"Healthy\" or \"HealthyBusy\" only. Say in the answer to a call what is out of order.",
			Go:         "Return agentruntime.Healthy or agentruntime.HealthyBusy only. Say in the answer to a call what is out of order.",
		},
	},
	{
		ID: "ping-status-unknown", Severity: Warning, look: lookStatus,
		Breach: "the status is not one of the contract's two words", Costs: costsNeverBusy,
		Mend: Mend{
			Python:     "Return {\"status\": \"Healthy\"}, and \"HealthyBusy\" while there is work, in exactly these letters. " + usePython,
			TypeScript: "Return {status: \"Healthy\"}, and \"HealthyBusy\" while there is work, in exactly these letters. " + useTS,
			Go:         "Answer {\"status\":\"Healthy\"}, and \"HealthyBusy\" while there is work, in exactly these letters. " + useGo,
		},
	},
	{
		ID: "ping-not-json", Severity: Warning, look: odd(isNotJSON),
		Breach: "the answer to GET /ping is not a JSON object", Costs: costsNeverBusy,
		Mend: Mend{Python: usePython, TypeScript: useTS, Go: useGo},
	},
	{
		ID: "ping-byte-order-mark", Severity: Warning, look: odd(isMarked),
		Breach: "the answer to GET /ping begins with a byte order mark", Costs: "JSON must not begin with one, and many parsers refuse it: what AgentCore's does is not known. " + costsNeverBusy,
		Mend: Mend{
			Python:     "Encode the answer with utf-8, not utf-8-sig.",
			TypeScript: "Write the answer with JSON.stringify, not from a file that was saved with a mark.",
			Go:         "Write the answer with encoding/json, not from a file that was saved with a mark.",
		},
	},
	{
		ID: "ping-encoded", Severity: Warning, look: odd(isEncoded),
		Breach: "the answer to GET /ping is compressed, which nobody asked for", Costs: costsNeverBusy,
		Mend: Mend{
			Python:     "Compress only for who accepts it (GZipMiddleware does), and nothing as small as this.",
			TypeScript: "Use compression() as it comes, which looks at Accept-Encoding; leave /ping out of what is precompressed.",
			Go:         "Compress only for who accepts it, and leave /ping out.",
		},
	},
	{
		ID: "ping-too-large", Severity: Warning, look: odd(isTooLarge),
		Breach: "the answer to GET /ping is larger than 4 KiB", Costs: "It is asked every 2 s, for as long as the session lives. " + costsNeverBusy,
		Mend: Mend{
			Python:     "Answer the status and the stamp, and tell what else there is under another path.",
			TypeScript: "Answer the status and the stamp, and tell what else there is under another path.",
			Go:         "Answer the status and the stamp, and tell what else there is under another path.",
		},
	},
	{
		ID: "ping-content-type", Severity: Warning, look: lookContentType,
		Breach: "the answer to GET /ping is JSON, and its Content-Type is not", Costs: "The contract wants application/json. A reader that goes by the type takes the answer for none: " + costsNeverBusy,
		Mend: Mend{
			Python:     "Return a dict (FastAPI, Flask) or JSONResponse, not a string.",
			TypeScript: "Use res.json(...) in Express, or set content-type in node:http.",
			Go:         "w.Header().Set(\"Content-Type\", \"application/json\") before the first Write.",
		},
	},
}

var stampRules = []Rule{
	{
		ID: "stamp-advances", Severity: Error, look: lookAdvances,
		Breach: "time_of_last_update moves on although the status stays the same", Costs: "The session never goes idle: it is kept, and paid for, until its maximal lifetime, 8 hours by default. Real fleets ran out of sessions by it.",
		Mend: Mend{
			Python:     "Keep the time when the status changed, and send that, not time.time() at each ping. A ping handler of BedrockAgentCoreApp must be a plain def that returns a PingStatus: an async one has this effect.",
			TypeScript: "Keep the time when the status changed, and send that, not Date.now() at each ping. " + useTS,
			Go:         "Keep the time when the status changed, and send that, not time.Now() at each ping. " + useGo,
		},
	},
	{
		ID: "stamp-frozen", Severity: Error, look: lookFrozen,
		Breach: "the status changed, and time_of_last_update did not", Costs: "Idleness is measured from that time: when the work ends the session counts as idle since long ago, and is stopped at once.",
		Mend: Mend{
			Python:     "Set the stamp where the status is set. " + usePython,
			TypeScript: "With a pingHandler, BedrockAgentCoreApp 0.4.4 never moves the stamp: leave the handler out, and mark work with app.asyncTask(...).",
			Go:         "Set the stamp where the status is set. " + useGo,
		},
	},
	{
		ID: "stamp-goes-back", Severity: Warning, look: lookGoesBack,
		Breach: "time_of_last_update goes back, as if several processes answered", Costs: costsStamp + " With several processes, one says busy and the next does not: work may be stopped.",
		Mend: Mend{
			Python:     "Run one process: uvicorn without --workers, gunicorn with -w 1.",
			TypeScript: "Run one process: no node:cluster, no pm2 -i.",
			Go:         "Keep one board of tasks in one process.",
		},
	},
	{
		ID: "stamp-milliseconds", Severity: Error, look: stamps(isMilliseconds),
		Breach: "time_of_last_update is in milliseconds", Costs: "The contract wants Unix seconds: this is a time far in the future, and the session would never go idle, or its busy status not count.",
		Mend: Mend{
			Python:     "int(time.time()), not * 1000.",
			TypeScript: "Math.floor(Date.now() / 1000).",
			Go:         "time.Now().Unix(), not UnixMilli().",
		},
	},
	{
		ID: "stamp-not-a-number", Severity: Error, look: stamps(isNotANumber),
		Breach: "time_of_last_update is not a number", Costs: "It counts as absent: a session was measured to be stopped at its idle timeout although its agent was busy.",
		Mend: Mend{
			Python:     "int(time.time()), not datetime.isoformat() or a string.",
			TypeScript: "Math.floor(Date.now() / 1000), not toISOString(). bedrock-agentcore before 2026-04-09 sent that: update it.",
			Go:         "An int64 of time.Now().Unix(); a time.Time becomes a string in JSON.",
		},
	},
	{
		ID: "stamp-out-of-range", Severity: Error, look: stamps(isOutOfRange),
		Breach: "time_of_last_update is negative, or no number can hold it", Costs: "It counts as absent: a session was measured to be stopped at its idle timeout although its agent was busy.",
		Mend: Mend{
			Python:     "int(time.time()) when the status changes; leave the field out before that is known.",
			TypeScript: "Math.floor(Date.now() / 1000) when the status changes; leave the field out before that is known.",
			Go:         "Unix() of a time that is set: that of the zero time.Time is negative.",
		},
	},
	{
		ID: "stamp-in-future", Severity: Warning, look: lookFuture,
		Breach: "time_of_last_update lies in the future", Costs: "The session does not go idle before that time. (Here it may be that two clocks differ.)",
		Mend: Mend{
			Python:     "time.time(), which is UTC; not time.mktime(...) of UTC, nor a naive datetime.utcnow().timestamp(). Look at the clock of the machine.",
			TypeScript: "Date.now(), which is UTC. Look at the clock of the machine.",
			Go:         "time.Now().Unix(), which is UTC. Look at the clock of the machine.",
		},
	},
	{
		ID: "stamp-missing", Severity: Note, look: lookMissingStamp,
		Breach: "there is no time_of_last_update", Costs: "It is optional for agents that are never busy. One that is HealthyBusy without it was measured to be stopped at its idle timeout, in the middle of the work, although the documentation says otherwise.",
		Mend: Mend{
			Python:     "Send \"time_of_last_update\": int(...) of when the status changed. " + usePython,
			TypeScript: "Send time_of_last_update: Math.floor(... / 1000) of when the status changed. " + useTS,
			Go:         "Send time_of_last_update, Unix() of when the status changed. " + useGo,
		},
	},
	{
		ID: "stamp-late", Severity: Warning, look: lookLateStamp,
		Breach: "there is no time_of_last_update before the status changes for the first time", Costs: "Until then idleness is measured by another clock than after it. " + costsStamp,
		Mend: Mend{
			Python:     "Begin with the time of the start: last_update = int(time.time()) where the module is loaded.",
			TypeScript: "Begin with the time of the start: let lastUpdate = Math.floor(Date.now() / 1000).",
			Go:         "Begin with the time of the start, not with the zero time.Time.",
		},
	},
}

var workRules = []Rule{
	{
		ID: "busy-to-the-end", Severity: Warning, look: lookBusy,
		Breach: "the agent says HealthyBusy from its last call to the end of the watch", Costs: "If the work is over, a task was forgotten: the session never goes idle, and is paid for until its maximal lifetime, 8 hours by default. If it is not, watch for longer (--for).",
		Mend: Mend{
			Python:     "Complete the task in a finally: app.complete_async_task(id). @app.async_task does so by itself.",
			TypeScript: "Complete the task in a finally: app.completeAsyncTask(id). app.asyncTask(fn) does so by itself.",
			Go:         "defer app.CompleteAsyncTask(id) where the task was added, or use app.Go, which does so by itself.",
		},
	},
}

var callRules = []Rule{
	{
		ID: "invocations-missing", Severity: Error, look: lookCallMissing,
		Breach: "calls are not served at the protocol's path", Costs: "Every call fails: the caller gets 424 (RuntimeClientError), without the agent's answer.",
		Mend: Mend{
			Python:     "@app.entrypoint serves POST /invocations. In FastAPI: @app.post(\"/invocations\"), at the root.",
			TypeScript: "new BedrockAgentCoreApp({invocationHandler}) serves POST /invocations. In Express: app.post(\"/invocations\", ...).",
			Go:         "app.Entrypoint serves POST /invocations. By hand: mux.HandleFunc(\"POST /invocations\", ...).",
		},
	},
	{
		ID: "invocations-fail", Severity: Error, look: lookCallFails,
		Breach: "the call fails", Costs: "Whatever is not 2xx is 424 (RuntimeClientError) for the caller, without the agent's answer: he cannot tell what was wrong.",
		Mend: Mend{
			Python:     "Catch what the entrypoint raises, and return what the caller should know with 200.",
			TypeScript: "Catch what invocationHandler throws, and return what the caller should know with 200.",
			Go:         "Return what the caller should know as a result, not as an error.",
		},
	},
	{
		ID: "session-header-lost", Severity: Warning, look: lookSession,
		Breach: "the agent does not see its session's header", Costs: "The header is all that names the session, and names of headers have no case: AWS's clients send two spellings. An agent that misses it finds no memory of its caller, or mixes callers up.",
		Mend: Mend{
			Python:     "Take context.session_id. In FastAPI: request.headers.get(...), which knows no case; not a dict of raw headers. Let a proxy before it pass the header on.",
			TypeScript: "Take context.sessionId. In Express: req.get(...) or req.headers[\"x-amzn-bedrock-agentcore-runtime-session-id\"], in lower case.",
			Go:         "Take agentruntime.SessionID(ctx). By hand: r.Header.Get(...), not r.Header[...].",
		},
	},
	{
		ID: "stream-buffered", Severity: Warning, look: lookStream,
		Breach: "the events of a stream come all at once", Costs: "The caller waits for the end, and AgentCore's limit for what has not begun to answer is 15 minutes, not the 60 of a stream.",
		Mend: Mend{
			Python:     "yield each event from an async generator, and leave out middleware that collects the body or compresses it.",
			TypeScript: "Yield each event from an async generator; in Express leave compression() out of it, or call res.flush().",
			Go:         "Use agentruntime.SSE. By hand: http.NewResponseController(w).Flush() after each event.",
		},
	},
}

var addressRules = []Rule{
	{
		ID: "loopback-only", Severity: Note, look: lookListens,
		Breach: "the agent listens on loopback alone", Costs: "Within a container nobody reaches it there: after 120 s the start has failed, and the caller gets 424 (RuntimeClientError).",
		Mend: Mend{
			Python:     "app.run() listens on 0.0.0.0 in Docker, and elsewhere where DOCKER_CONTAINER is set; or app.run(host=\"0.0.0.0\"), uvicorn --host 0.0.0.0.",
			TypeScript: "BedrockAgentCoreApp listens on 0.0.0.0. In Express: app.listen(8080, \"0.0.0.0\").",
			Go:         "agentruntime.Options{} listens on 0.0.0.0:8080. By hand: \":8080\", not \"localhost:8080\".",
		},
	},
}

var startRules = []Rule{
	{
		ID: "made-at-start", Severity: Warning, look: lookMadeAtStart,
		Breach: "a value that sessions should not share is made, or seeded, when the agent starts", Costs: "AgentCore restores sessions from one snapshot of an agent that has started: all of them have the same ids, credentials and times, and the next random numbers of a generator that was seeded before. One session's token is valid for another, and what is stored under such an id is overwritten.",
		Mend: Mend{
			Python:     "Make ids, and clients that hold credentials, in the entrypoint and not where the module is loaded. Take random numbers from secrets or uuid.uuid4(), which ask the kernel, and not from random.",
			TypeScript: "Make ids, and clients that hold credentials, in invocationHandler and not at the top of the module. crypto.randomUUID() keeps random bytes in store: pass {disableEntropyCache: true}.",
			Go:         "Make ids, and clients that hold credentials, in the handler and not in a package's variable, init or main. Use crypto/rand, not math/rand with a seed.",
		},
	},
}
