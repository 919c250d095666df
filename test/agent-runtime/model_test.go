package agentruntime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	agentruntime "github.com/agentsession/agentsession/agent-runtime"
)

// model is the reference: what tasks and ping status are, without locks,
// clocks or HTTP.
type model struct {
	forced, custom agentruntime.Status // custom is empty without a handler that works
	tasks          []agentruntime.TaskID
	status         agentruntime.Status
	changed        int64
}

// settle is called after each step, at the second now.
func (m *model) settle(now int64) {
	status := agentruntime.Healthy
	if len(m.tasks) > 0 {
		status = agentruntime.HealthyBusy
	}
	if m.custom != "" {
		status = m.custom
	}
	if m.forced != "" {
		status = m.forced
	}
	if status != m.status {
		m.status, m.changed = status, now
	}
}

func (m *model) complete(id agentruntime.TaskID) bool {
	i := slices.Index(m.tasks, id)
	if i >= 0 {
		m.tasks = slices.Delete(m.tasks, i, i+1)
	}
	return i >= 0
}

// Random lives of an agent, each step compared to the model: the status, the
// second of its last change, and the tasks.
func TestTasksAndStatusAgainstTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 8), 1, 60).Draw(rt, "steps")
		picks := rapid.SliceOfN(rapid.IntRange(0, 1000), len(steps), len(steps)).Draw(rt, "picks")
		var failure error
		synctest.Test(t, func(t *testing.T) { failure = live(t, steps, picks) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

func live(t *testing.T, steps, picks []int) error {
	t.Helper()
	app, _ := newApp(agentruntime.Options{})
	m := &model{status: agentruntime.Healthy, changed: time.Now().Unix()}
	statuses := []agentruntime.Status{agentruntime.Healthy, agentruntime.HealthyBusy}
	for n, step := range steps {
		pick := picks[n]
		switch step {
		case 0, 1:
			m.tasks = append(m.tasks, app.AddAsyncTask("t", nil))
		case 2, 3: // one that is there, was there, or never was
			id := agentruntime.TaskID(pick % 12)
			if got, want := app.CompleteAsyncTask(id), m.complete(id); got != want {
				return fmt.Errorf("step %d: CompleteAsyncTask(%d) is %v, not %v", n, id, got, want)
			}
		case 4:
			m.forced = statuses[pick%2]
			app.ForcePingStatus(m.forced)
		case 5:
			m.forced = ""
			app.ClearForcedPingStatus()
		case 6:
			m.custom = []agentruntime.Status{"", agentruntime.Healthy, agentruntime.HealthyBusy}[pick%3]
			custom := m.custom
			app.PingHandler(func(context.Context) (agentruntime.Status, error) {
				if custom == "" {
					return "", errors.New("no idea")
				}
				return custom, nil
			})
		case 7:
			runTaskInPassing(t, app, m, pick)
		case 8:
			time.Sleep(time.Duration(pick) * 10 * time.Millisecond)
		}
		m.settle(time.Now().Unix())
		if got, want := pingOf(t, app), (pinged{string(m.status), m.changed}); got != want {
			return fmt.Errorf("step %d (%d): a ping says %v, the model %v", n, step, got, want)
		}
		if got := app.TaskInfo().ActiveCount; got != len(m.tasks) {
			return fmt.Errorf("step %d: %d tasks, not %d", n, got, len(m.tasks))
		}
	}
	return nil
}

// runTaskInPassing is a task that ends within the step, well or badly.
func runTaskInPassing(t *testing.T, app *agentruntime.App, m *model, pick int) {
	t.Helper()
	m.tasks = append(m.tasks, 1<<40)
	pingOf(t, app) // so that a custom handler has been asked
	_ = app.AsyncTask(t.Context(), "t", func(context.Context) error {
		m.settle(time.Now().Unix())
		time.Sleep(time.Duration(pick) * time.Millisecond)
		if pick%3 == 0 {
			panic("boom")
		}
		return nil
	})
	m.complete(1 << 40)
}
