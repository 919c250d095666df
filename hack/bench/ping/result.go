//go:build linux

package main

import "slices"

// result is the last line. What was not asked for is left out.
type result struct {
	Targets        int     `json:"targets"`
	Probes         int     `json:"probes"`
	Missed         int     `json:"missed"`
	CadenceP50     float64 `json:"cadence_error_ms_p50"`
	CadenceP99     float64 `json:"cadence_error_ms_p99"`
	CPU            float64 `json:"cpu_us_per_probe"`
	RSS            float64 `json:"rss_mib"`
	RSSPerTarget   float64 `json:"rss_kib_per_target"`
	MissedAtAgents int     `json:"missed_at_agents"`
	Failed         int     `json:"failed"`
	LateP50        float64 `json:"late_ms_p50"`
	LateP99        float64 `json:"late_ms_p99"`
	*baselineResult
	*limitResult
	*hostileResult
	*mcpResult
	Turns   int     `json:"turns"`
	Seconds float64 `json:"seconds"`
}

type baselineResult struct {
	CPU          float64 `json:"baseline_cpu_us_per_probe"`
	RSS          float64 `json:"baseline_rss_mib"`
	CadenceP99   float64 `json:"baseline_cadence_error_ms_p99"`
	OverBaseline float64 `json:"cpu_over_baseline"`
}

type limitResult struct {
	CPU        float64 `json:"limit_cpu_us_per_probe"`
	RSS        float64 `json:"limit_rss_mib"`
	CadenceP99 float64 `json:"limit_cadence_error_ms_p99"`
	OverLimit  float64 `json:"cpu_over_limit"`
}

// hostileResult is the engine's, with hostile agents among the targets: the
// cadence and what was missed are the other agents', the CPU time is for all.
type hostileResult struct {
	CadenceP50  float64 `json:"hostile_cadence_error_ms_p50"`
	CadenceP99  float64 `json:"hostile_cadence_error_ms_p99"`
	OverHealthy float64 `json:"hostile_over_healthy"`
	Missed      int     `json:"hostile_missed"`
	CPU         float64 `json:"hostile_cpu_us_per_probe"`
	RSS         float64 `json:"hostile_rss_mib"`
}

// mcpResult is the engine's, where all agents are MCP servers, beside its own where
// they answer GET /ping.
type mcpResult struct {
	CPU        float64 `json:"mcp_cpu_us_per_probe"`
	OverHTTP   float64 `json:"mcp_cpu_over_http"`
	RSS        float64 `json:"mcp_rss_mib"`
	CadenceP99 float64 `json:"mcp_cadence_error_ms_p99"`
	Missed     int     `json:"mcp_missed_at_agents"`
	Failed     int     `json:"mcp_failed"`
}

func sum(n int, o options, seen map[string][]report) result {
	own := seen[engine]
	r := result{
		Targets: n, Turns: o.turns, Seconds: o.length.Seconds() * float64(o.turns),
		CadenceP50: median(own, cadenceP50), CadenceP99: median(own, cadenceP99),
		LateP50: median(own, lateP50), LateP99: median(own, lateP99),
		CPU: median(own, cpu), RSS: median(own, rss),
	}
	for _, turn := range own {
		r.Probes += turn.Probes
		r.Missed += turn.Missed
		r.MissedAtAgents += turn.MissedAtAgents
		r.Failed += turn.Failed
	}
	r.RSSPerTarget = round((r.RSS - median(own, emptyRSS)) * 1024 / float64(n))
	if turns := seen[baseline]; turns != nil {
		r.baselineResult = &baselineResult{CPU: median(turns, cpu), RSS: median(turns, rss), CadenceP99: median(turns, cadenceP99)}
		r.OverBaseline = round(r.CPU / r.baselineResult.CPU)
	}
	if turns := seen[limit]; turns != nil {
		r.limitResult = &limitResult{CPU: median(turns, cpu), RSS: median(turns, rss), CadenceP99: median(turns, cadenceP99)}
		r.OverLimit = round(r.CPU / r.limitResult.CPU)
	}
	if turns := seen[hostile]; turns != nil {
		r.hostileResult = hostileSum(turns, r.CadenceP99)
	}
	if turns := seen[mcp]; turns != nil {
		r.mcpResult = mcpSum(turns, r.CPU)
	}
	return r
}

func hostileSum(turns []report, healthyP99 float64) *hostileResult {
	h := &hostileResult{
		CadenceP50: median(turns, cadenceP50), CadenceP99: median(turns, cadenceP99),
		CPU: median(turns, cpu), RSS: median(turns, rss),
	}
	h.OverHealthy = round(h.CadenceP99 / healthyP99)
	for _, turn := range turns {
		h.Missed += turn.MissedAtAgents
	}
	return h
}

func mcpSum(turns []report, overHTTP float64) *mcpResult {
	m := &mcpResult{CPU: median(turns, cpu), RSS: median(turns, rss), CadenceP99: median(turns, cadenceP99)}
	m.OverHTTP = round(m.CPU / overHTTP)
	for _, turn := range turns {
		m.Missed += turn.MissedAtAgents
		m.Failed += turn.Failed
	}
	return m
}

func cpu(r report) float64        { return r.CPU }
func rss(r report) float64        { return r.RSS }
func emptyRSS(r report) float64   { return r.EmptyRSS }
func cadenceP50(r report) float64 { return r.CadenceP50 }
func cadenceP99(r report) float64 { return r.CadenceP99 }
func lateP50(r report) float64    { return r.LateP50 }
func lateP99(r report) float64    { return r.LateP99 }

func median(of []report, value func(report) float64) float64 {
	values := make([]float64, len(of))
	for i, r := range of {
		values[i] = value(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func round(x float64) float64 { return float64(int64(x*1e3+0.5)) / 1e3 }
