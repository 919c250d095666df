package main

import (
	"context"
	"fmt"
	"time"
)

// taskChecks are those of tasks and the ping status.
func taskChecks() []check {
	const (
		add      = `{"do":"add","task":"a"}`
		complete = `{"do":"complete","task":"a"}`
		custom   = `{"do":"ping-handler","kind":"variable"}`
		busy     = `{"do":"force","status":"HealthyBusy"}`
		storm    = `{"do":"storm","count":1000}`
	)
	return append([]check{
		{
			id: "20", name: "add a task, complete it", observe: play("ping", add, "ping", complete, "ping"),
			want: `Healthy, "added", HealthyBusy, true, Healthy`,
		},
		{
			id: "21", name: "complete a task twice", observe: play(add, complete, complete, "ping", "warnings"),
			want: `"added", true, false, Healthy, warnings: 1`,
		},
		{
			id: "22", name: "complete an unknown task", observe: play(`{"do":"complete-unknown"}`),
			want: "false",
		},
		{
			id: "23", name: "two tasks, one completed", observe: play(add, `{"do":"add","task":"b"}`, complete, "ping"),
			want: `"added", "added", true, HealthyBusy`,
		},
		{
			id: "24", name: "pings for 10 s while a task runs", observe: stampWhileBusy,
			want: "HealthyBusy since the task began",
		},
		{
			id: "25", name: "a task begins and ends between two pings", observe: stampBetweenPings,
			want: "stamp as before",
			ours: "stamp of the task",
			why:  "a change is stamped when it happens, not when a ping notices it",
		},
		{
			id: "26", name: "first ping, 2 s after the start", observe: firstStamp,
			want: "stamp of the ping",
			ours: "stamp of the start",
			why:  "the agent is healthy since it started: a change is stamped when it happens",
		},
		{
			id: "27", name: "custom Healthy; forced busy; cleared; task",
			observe: play(custom, "ping", busy, "ping", `{"do":"clear"}`, "ping", add, "ping"),
			want:    `"set", Healthy, "forced", HealthyBusy, "cleared", Healthy, "added", Healthy`,
		},
		{
			id: "28", name: "custom handler returns junk; with a task",
			observe: play(`{"do":"ping-handler","kind":"junk"}`, "GET /ping", add, "GET /ping", "warnings"),
			want: `"set", 200 application/json {"status":"Healthy","time_of_last_update":"…"}, "added", ` +
				`200 application/json {"status":"HealthyBusy","time_of_last_update":"…"}, warnings: 2`,
			ours: `"set", 200 application/json {"status":"Healthy","time_of_last_update":"…"}, "added", ` +
				`200 application/json {"status":"HealthyBusy","time_of_last_update":"…"}, warnings: 1`,
			why: "one line in the log when a handler begins to fail, not one for each ping",
		},
	}, moreTaskChecks(add, storm)...)
}

func moreTaskChecks(add, storm string) []check {
	return []check{
		{
			id: "29", name: "custom handler fails, panics; with a task",
			observe: play(`{"do":"ping-handler","kind":"error"}`, "ping", `{"do":"ping-handler","kind":"panic"}`, "ping", add, "ping"),
			want:    `"set", Healthy, "set", Healthy, "added", HealthyBusy`,
		},
		{
			id: "30", name: "custom handler flips", observe: stampOfFlip,
			want: "Healthy, HealthyBusy since the flip",
		},
		{
			id: "31", name: "info of a task with metadata",
			observe: play(`{"do":"add","task":"index","metadata":{"file":"a.csv"}}`, `{"do":"info"}`),
			want:    `"added", {"active_count":1,"running_jobs":[{"duration":"…","name":"index"}]}`,
			ours:    `"added", {"active_count":1,"running_jobs":[{"duration":"…","id":1,"metadata":{"file":"a.csv"},"name":"index"}]}`,
			why:     "metadata and id are shown, as users of Python's SDK ask for",
		},
		{
			id: "32", name: "a wrapped task fails", observe: play("ping", `{"do":"wrapper","text":"boom"}`, "ping"),
			want: `Healthy, {"active_count":0,"error":"boom","inside":"HealthyBusy"}, Healthy`,
		},
		{
			id: "33", name: "debug on: the five actions, an unknown one", mode: "debug", observe: debugActions,
			want: `200 application/json {"status":"HealthyBusy","time_of_last_update":"…"}, ` +
				`200 application/json {"active_count":1,"running_jobs":[{"duration":"…","name":"index"}]}, ` +
				`200 application/json {"forced_status":"Healthy"}, ` +
				`200 application/json {"forced_status":"HealthyBusy"}, ` +
				`200 application/json {"forced_status":"Cleared"}, ` +
				`400 application/json {"error":"Unknown action: nonsense"}`,
		},
		{
			id: "34", name: "debug off: the same payload", observe: posts(`{"_agent_core_app_action":"ping_status"}`),
			want: `200 application/json {"_agent_core_app_action":"ping_status"}`,
		},
		{
			id: "35", name: "1000 tasks at once (goroutines, threads)", observe: play(storm, "ping"),
			want: `{"active_count":0,"completed":1000}, Healthy`,
		},
		{
			id: "36", name: "ping during an invocation without task", observe: pingWhileBlocked,
			want: "1 run at once, ping: Healthy, 1 answered later",
		},
	}
}

func debugActions(ctx context.Context, s *subject) (string, error) {
	if _, err := s.order(ctx, `{"do":"add","task":"index"}`); err != nil {
		return "", err
	}
	return posts(
		`{"_agent_core_app_action":"ping_status"}`,
		`{"_agent_core_app_action":"job_status"}`,
		`{"_agent_core_app_action":"force_healthy"}`,
		`{"_agent_core_app_action":"force_busy"}`,
		`{"_agent_core_app_action":"clear_forced_status"}`,
		`{"_agent_core_app_action":"nonsense"}`,
	)(ctx, s)
}

// stampWhileBusy pings at once, so that it does not matter who stamps what.
func stampWhileBusy(ctx context.Context, s *subject) (string, error) {
	before := time.Now()
	if _, err := s.order(ctx, `{"do":"add","task":"a"}`); err != nil {
		return "", err
	}
	first, err := s.ping(ctx)
	if err != nil {
		return "", err
	}
	after := time.Now()
	for next := after.Add(time.Second); next.Before(after.Add(11 * time.Second)); next = next.Add(time.Second) {
		if err := sleepUntil(ctx, next); err != nil {
			return "", err
		}
		p, err := s.ping(ctx)
		if err != nil {
			return "", err
		}
		if p != first {
			return fmt.Sprintf("%v, and after %s %v", first, next.Sub(after), p), nil
		}
	}
	if first.Stamp < before.Unix() || first.Stamp > after.Unix() {
		return fmt.Sprintf("stamp %d, and the task began at %d", first.Stamp, before.Unix()), nil
	}
	return first.Status + " since the task began", nil
}

func stampBetweenPings(ctx context.Context, s *subject) (string, error) {
	first, err := s.ping(ctx)
	if err != nil {
		return "", err
	}
	if err := nextSecond(ctx); err != nil {
		return "", err
	}
	before := time.Now()
	if _, err := s.orders(ctx, `{"do":"add","task":"a"}`, `{"do":"complete","task":"a"}`); err != nil {
		return "", err
	}
	after := time.Now()
	second, err := s.ping(ctx)
	switch {
	case err != nil:
		return "", err
	case second == first:
		return "stamp as before", nil
	case second.Status == first.Status && second.Stamp >= before.Unix() && second.Stamp <= after.Unix():
		return "stamp of the task", nil
	}
	return fmt.Sprintf("%v, then %v", first, second), nil
}

func firstStamp(ctx context.Context, s *subject) (string, error) {
	if err := sleepUntil(ctx, s.ready.Add(2*time.Second)); err != nil {
		return "", err
	}
	asked := time.Now()
	p, err := s.ping(ctx)
	switch {
	case err != nil:
		return "", err
	case p.Stamp >= asked.Unix() && p.Stamp <= time.Now().Unix():
		return "stamp of the ping", nil
	case p.Stamp >= s.started.Unix() && p.Stamp <= s.ready.Unix():
		return "stamp of the start", nil
	}
	return fmt.Sprintf("stamp %d, started at %d, pinged at %d", p.Stamp, s.started.Unix(), asked.Unix()), nil
}

func stampOfFlip(ctx context.Context, s *subject) (string, error) {
	if _, err := s.order(ctx, `{"do":"ping-handler","kind":"variable"}`); err != nil {
		return "", err
	}
	first, err := s.ping(ctx)
	if err != nil {
		return "", err
	}
	if err := nextSecond(ctx); err != nil {
		return "", err
	}
	flipped := time.Now()
	if _, err := s.order(ctx, `{"do":"custom-status","status":"HealthyBusy"}`); err != nil {
		return "", err
	}
	second, err := s.ping(ctx)
	if err != nil {
		return "", err
	}
	if second.Stamp < flipped.Unix() || second.Stamp > time.Now().Unix() {
		return fmt.Sprintf("%v, then %v, flipped at %d", first, second, flipped.Unix()), nil
	}
	return first.Status + ", " + second.Status + " since the flip", nil
}
