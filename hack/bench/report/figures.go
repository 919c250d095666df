package main

// bench is what the page shows of a benchmark, in this order.
type bench struct {
	size    string // the field that tells how large it was; none if it has one size
	figures []figure
}

// figure is a row of a table.
type figure struct {
	field  string
	text   string
	target target
}

// target is what a figure should be, which may depend on others of its line.
type target struct {
	text string
	met  func(float64, line) bool // nil if there is no target
}

func atMost(text string, limit float64) target {
	return target{"at most " + text, func(x float64, _ line) bool { return x <= limit }}
}

func atLeast(text string, limit float64) target {
	return target{"at least " + text, func(x float64, _ line) bool { return x >= limit }}
}

func below(text string, limit float64) target {
	return target{"below " + text, func(x float64, _ line) bool { return x < limit }}
}

var none = target{"0", func(x float64, _ line) bool { return x == 0 }}

// memory is bounded by what the operator holds empty, and by its sessions.
var memory = target{"at most 64 over the empty operator, and 16 KiB a session", func(x float64, l line) bool {
	return x-l.values["empty_rss_mib"] <= 64+l.values["sessions"]*16/1024
}}

var benches = map[string]bench{
	"ping": {"targets", []figure{
		{"cpu_us_per_probe", "CPU time of a ping, engine, µs", target{}},
		{"baseline_cpu_us_per_probe", "CPU time of a ping, baseline, µs", target{}},
		{"limit_cpu_us_per_probe", "CPU time of a ping, limit, µs", target{}},
		{"cpu_over_baseline", "CPU time, engine over baseline", atMost("0.5", 0.5)},
		{"cpu_over_limit", "CPU time, engine over limit", atMost("1.5", 1.5)},
		{"rss_mib", "memory, engine, MiB", target{}},
		{"baseline_rss_mib", "memory, baseline, MiB", target{}},
		{"limit_rss_mib", "memory, limit, MiB", target{}},
		{"rss_kib_per_target", "memory that an agent adds, engine, KiB", atMost("6", 6)},
		{"probes", "pings made", target{}},
		{"missed", "pings missed, by the engine's count", none},
		{"missed_at_agents", "pings missed, by the agents' count", none},
		{"failed", "pings failed", none},
		{"cadence_error_ms_p50", "cadence error, engine, median, ms", target{}},
		{"cadence_error_ms_p99", "cadence error, engine, p99, ms", atMost("20", 20)},
		{"baseline_cadence_error_ms_p99", "cadence error, baseline, p99, ms", target{}},
		{"limit_cadence_error_ms_p99", "cadence error, limit, p99, ms", target{}},
		{"late_ms_p50", "a ping after its moment, engine, median, ms", target{}},
		{"late_ms_p99", "a ping after its moment, engine, p99, ms", target{}},
		{"hostile_cadence_error_ms_p50", "hostile: cadence error of the others, median, ms", target{}},
		{"hostile_cadence_error_ms_p99", "hostile: cadence error of the others, p99, ms", target{}},
		{"hostile_over_healthy", "hostile: p99 over that of the healthy run", atMost("2", 2)},
		{"hostile_missed", "hostile: pings missed, of the others", none},
		{"hostile_cpu_us_per_probe", "hostile: CPU time of a ping, µs", target{}},
		{"hostile_rss_mib", "hostile: memory, MiB", target{}},
		{"mcp_cpu_us_per_probe", "MCP servers: CPU time of a ping, µs", target{}},
		{"mcp_cpu_over_http", "MCP servers: CPU time of a ping over that of GET /ping", target{}},
		{"mcp_cadence_error_ms_p99", "MCP servers: cadence error, p99, ms", target{}},
		{"mcp_missed_at_agents", "MCP servers: pings missed, by the servers' count", none},
		{"mcp_failed", "MCP servers: pings failed", none},
		{"mcp_rss_mib", "MCP servers: memory, MiB", target{}},
		{"turns", "turns", target{}},
		{"seconds", "time measured, engine, s", target{}},
	}},
	"operator": {"sessions", []figure{
		{"nodes", "nodes with a process that asks the agents there", target{}},
		{"create_to_pod_p50_ms", "session created to pod created, median, ms", target{}},
		{"create_to_pod_p99_ms", "session created to pod created, p99, ms", target{}},
		{"create_to_ready_p50_ms", "session created to ready, median, ms", target{}},
		{"create_to_ready_p99_ms", "session created to ready, p99, ms", target{}},
		{"sessions_ready_per_s", "sessions ready a second", target{}},
		{"raw_pods_per_s", "bare pods created a second", target{}},
		{"ready_over_raw", "sessions ready over bare pods", atLeast("0.7", 0.7)},
		{"raw_sessions_per_s", "the same writes by a bare client, sessions a second", target{}},
		{"ready_over_raw_sessions", "sessions ready over that", target{}},
		{"writes_per_session", "API writes until ready, a session", target{}},
		{"events_per_session", "Events until ready, a session", target{}},
		{"refused_writes", "writes that the API server refused", target{}},
		{"idle_writes_per_session_minute", "API writes while nothing changes, a session and minute", none},
		{"flapping", "agents that change their status all the time", target{}},
		{"flapping_writes_per_session_minute", "API writes for such an agent, a session and minute", atMost("20", 20)},
		{"flapping_events_per_session_minute", "Events for such an agent, a session and minute", target{}},
		{"flapping_idle_clock_off_s", "how far their idle clock is off at the end, s", none},
		{"watches", "watches that operator and nodes have open", target{}},
		{"cpu_cores_idle", "CPU while nothing changes, cores", target{}},
		{"node_cpu_cores_idle", "CPU while nothing changes, all nodes' processes, cores", target{}},
		{"empty_rss_mib", "memory without a session, MiB", target{}},
		{"rss_mib", "memory, MiB", memory},
		{"rss_kib_per_session", "memory that a session adds, KiB", target{}},
		{"node_empty_rss_mib", "memory without a session, a node's process, MiB", target{}},
		{"node_rss_mib", "memory, a node's process, MiB", target{}},
		{"stop_lateness_ms_p50", "stop after it is due, median, ms", target{}},
		{"stop_lateness_ms_p99", "stop after it is due, p99, ms", target{}},
		{"mass_stops", "sessions due at the same moment", target{}},
		{"mass_stop_last_s", "the last of them is stopped after, s", atMost("5, or the next", 5)},
		{"mass_stops_per_s", "stops a second, then", target{}},
		{"raw_deletes_per_s", "bare pods deleted a second", target{}},
		{"mass_stops_over_raw", "stops over bare deletions", atLeast("0.7", 0.7)},
		{"raw_stops_per_s", "the same writes by a bare client, stops a second", target{}},
		{"mass_stops_over_raw_stops", "stops over that", target{}},
	}},
	"writes": {"", []figure{
		{"writes_per_life", "API writes of a life: create, start, idle, stop", atMost("6", 6)},
		{"events_per_life", "Events of a life", atMost("4", 4)},
		{"idle_writes_per_session_minute", "API writes while nothing changes, a session and minute", none},
		{"lives", "lives", target{}},
		{"settled_sessions", "sessions in which nothing changes", target{}},
		{"pings_per_settled_session_minute", "pings of each in a minute", target{}},
	}},
	"gateway": {"", []figure{
		{"direct_rps", "calls a second, the agents alone", target{}},
		{"proxy_rps", "calls a second, a bare reverse proxy", target{}},
		{"gateway_rps", "calls a second, the gateway", target{}},
		{"gateway_over_proxy", "the gateway over the proxy", atLeast("0.6", 0.6)},
		{"direct_latency_us_p50", "a call, the agent alone, median, µs", target{}},
		{"added_latency_us_p50", "what the gateway adds to that, median, µs", target{}},
		{"added_latency_us_p99", "what the gateway adds to that, p99, µs", target{}},
		{"added_over_proxy_us_p50", "what it adds to a call by the proxy, median, µs", atMost("300", 300)},
		{"warm_first_byte_ms_p50", "first byte, of a session that is there, median, ms", target{}},
		{"warm_first_byte_ms_p99", "first byte, of a session that is there, p99, ms", target{}},
		{"cold_first_byte_ms_p50", "first byte, of a session that has to start, median, ms", target{}},
		{"cold_first_byte_ms_p99", "first byte, of a session that has to start, p99, ms", target{}},
		{"first_chunk_held_back_ms_p50", "first chunk of a stream, later than direct, median, ms", atMost("5", 5)},
		{"activity_writes_per_idle_timeout", "writes of a session in constant use, an idle timeout", atMost("4", 4)},
		{"activity_writes_per_session_hour", "that is, an hour with AgentCore's 900 s", target{}},
		{"empty_rss_mib", "memory without a stream, MiB", target{}},
		{"rss_mib_per_1000_streams", "memory of 1,000 open streams, MiB", atMost("64", 64)},
		{"callers", "callers at once", target{}},
		{"seconds", "time of a turn, s", target{}},
		{"turns", "turns of each kind", target{}},
	}},
	"agent": {"", []figure{
		{"ping_p99_ms_idle", "ping, nothing else to do, p99, ms", target{}},
		{"ping_p99_ms_blocked", "ping while 1,000 invocations block, p99, ms", target{}},
		{"ping_p99_ms_burning", "ping while an invocation burns the only CPU, p99, ms", target{}},
		{"invocations_per_s", "invocations a second", target{}},
		{"baseline_invocations_per_s", "invocations a second, net/http alone", target{}},
		{"invocations_over_baseline", "invocations over net/http alone", target{}},
		{"rss_idle_mib", "memory, idle, MiB", below("15", 15)},
		{"binary_mb", "binary, MB", below("10", 10)},
	}},
}
