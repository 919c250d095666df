package main

import "fmt"

// Units are Grafana's.
const (
	count     = "short"
	duration  = "s"
	perSecond = "ops"
	size      = "bytes"
)

var rows = []row{
	{"Sessions", []panel{
		{title: "Sessions by state", unit: count, stack: true, series: []series{
			{`sum by (state) (agentsession_sessions)`, "{{state}}"},
		}},
		{title: "What agents say", about: "Of the sessions with a compute.", unit: count, stack: true, series: []series{
			{`sum by (ping_status) (agentsession_sessions_by_ping_status)`, "{{ping_status}}"},
		}},
		{title: "What needs a look", about: "kubectl agentsession list -A shows which sessions these are.", unit: count, series: []series{
			{`sum(agentsession_sessions_stuck)`, "stuck"},
			{`sum(agentsession_sessions_breaching_ping_contract)`, "break the ping contract"},
			{`sum(agentsession_sessions_crash_looping)`, "fail at each start"},
			{`sum by (reason) (agentsession_sessions_refused) > 0`, "cannot start: {{reason}}"},
		}},
		{title: "Stops by reason", unit: perSecond, stack: true, series: []series{
			{`sum by (reason) (rate(agentsession_stops_total[$__rate_interval]))`, "{{reason}}"},
		}},
		{title: "Lateness of stops", about: "From the moment a stop was due to the deletion of the pod.", unit: duration, series: quantiles("agentsession_stop_lateness_seconds", "")},
		{title: "Starts by calls", about: "Sessions that a call had created or woken.", unit: perSecond, stack: true, series: []series{
			{`sum by (how) (rate(agentsession_gateway_starts_total[$__rate_interval]))`, "{{how}}"},
		}},
		{title: "Reserved CPU", about: "What the sessions' pods request, in CPUs, on the average of an hour.", unit: count, stack: true, series: []series{
			{`sum by (state) (rate(agentsession_reserved_cpu_seconds_total[1h]))`, "{{state}}"},
		}},
		{title: "Reserved memory", about: "What the sessions' pods request, on the average of an hour.", unit: size, stack: true, series: []series{
			{`sum by (state) (rate(agentsession_reserved_memory_byte_seconds_total[1h]))`, "{{state}}"},
		}},
	}},
	{"Pings", []panel{
		{title: "Time that agents take to answer", unit: duration, series: quantiles("agentsession_ping_duration_seconds", "")},
		{title: "Failed pings by kind", unit: perSecond, stack: true, series: []series{
			{`sum by (kind) (rate(agentsession_ping_failures_total[$__rate_interval]))`, "{{kind}}"},
		}},
		{title: "Lateness of pings", about: "How late agents are asked.", unit: duration, series: quantiles("agentsession_ping_cadence_error_seconds", "")},
		{title: "Missed pings", about: "Pings that were due and not made.", unit: perSecond, series: []series{
			{`sum by (pod) (rate(agentsession_pings_missed_total[$__rate_interval]))`, "{{pod}}"},
		}},
		{title: "Mass failure", about: "1 while most agents that this process asks are silent at once.", unit: count, series: []series{
			{`max by (pod) (agentsession_mass_failure)`, "{{pod}}"},
		}},
		{title: "Clocks", about: "How far the clock of each machine is ahead of the API server's, and how often that was set.", unit: duration, series: []series{
			{`max by (pod) (agentsession_clock_skew_seconds)`, "{{pod}}"},
			{`sum by (pod) (increase(agentsession_clock_steps_total[$__rate_interval])) > 0`, "{{pod}}: set"},
		}},
	}},
	{"Calls", []panel{
		{title: "Calls by status", unit: perSecond, stack: true, series: []series{
			{`sum by (code) (rate(agentsession_gateway_requests_total[$__rate_interval]))`, "{{code}}"},
		}},
		{title: "Calls by operation", unit: perSecond, stack: true, series: []series{
			{`sum by (operation) (rate(agentsession_gateway_requests_total[$__rate_interval]))`, "{{operation}}"},
		}},
		{title: "Time to the first byte", about: "Of InvokeAgentRuntime.", unit: duration, series: quantiles("agentsession_gateway_first_byte_seconds", `{operation="InvokeAgentRuntime"}`)},
		{title: "Calls in flight", unit: count, series: []series{
			{`sum(agentsession_gateway_in_flight)`, "in flight"},
			{`sum(agentsession_gateway_queued)`, "wait for a session"},
		}},
		{title: "Time that calls wait for a start", unit: duration, series: quantiles("agentsession_gateway_start_seconds", "")},
		{title: "Conflicts, and writes of traffic", unit: perSecond, series: []series{
			{`sum(rate(agentsession_gateway_conflicts_total[$__rate_interval]))`, "conflicts"},
			{`sum(rate(agentsession_gateway_traffic_writes_total[$__rate_interval]))`, "writes of status.traffic"},
		}},
	}},
	{"Operator, gateway and the API server", []panel{
		{title: "Who leads", unit: count, stack: true, series: []series{
			{`max by (pod) (leader_election_master_status{name=~"agentsession-operator.*"})`, "{{pod}}"},
		}},
		{title: "Time that the API server takes", about: "99 % of requests are faster. Watches are not counted.", unit: duration, series: []series{
			{`histogram_quantile(0.99, sum by (le, component, verb) (rate(rest_client_request_duration_seconds_bucket{job="agentsession"}[$__rate_interval])))`, "{{component}} {{verb}}"},
		}},
		{title: "Requests to the API server", unit: perSecond, stack: true, series: []series{
			{`sum by (component, method, code) (rate(rest_client_requests_total{job="agentsession"}[$__rate_interval]))`, "{{component}} {{method}} {{code}}"},
		}},
		{title: "Work that waits", about: "Objects in the operator's queues, and reconciles that failed.", unit: count, series: []series{
			{`sum by (name) (workqueue_depth{job="agentsession"})`, "{{name}}"},
			{`sum by (controller) (rate(controller_runtime_reconcile_errors_total{job="agentsession"}[$__rate_interval]))`, "{{controller}}: errors a second"},
		}},
		{title: "Memory", unit: size, series: []series{
			{`max by (pod) (process_resident_memory_bytes{job="agentsession"})`, "{{pod}}"},
		}},
		{title: "CPU", unit: count, series: []series{
			{`sum by (pod) (rate(process_cpu_seconds_total{job="agentsession"}[$__rate_interval]))`, "{{pod}}"},
		}},
	}},
}

// quantiles are the median, and what 95 % and 99 % of a histogram are below.
func quantiles(histogram, matchers string) (all []series) {
	for _, q := range []string{"0.5", "0.95", "0.99"} {
		all = append(all, series{fmt.Sprintf(`histogram_quantile(%s, sum by (le) (rate(%s_bucket%s[$__rate_interval])))`, q, histogram, matchers), "quantile " + q})
	}
	return all
}
