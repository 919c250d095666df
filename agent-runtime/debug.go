package agentruntime

import (
	"context"
	"encoding/json"
	"net/http"
)

// debugAction is what a payload asks of the App itself; empty if it is for the
// agent.
func debugAction(payload json.RawMessage) string {
	var order struct {
		Action any `json:"_agent_core_app_action"`
	}
	if json.Unmarshal(payload, &order) != nil || order.Action == nil {
		return ""
	}
	switch action := order.Action.(type) {
	case string:
		return action
	case bool:
		if !action {
			return ""
		}
	case float64:
		if action == 0 {
			return ""
		}
	}
	return string(must(encode(order.Action))) // unknown, and named in the answer
}

// debug does what AWS's SDK for Python does for a debug action.
func (a *App) debug(ctx context.Context, r *http.Request, action string) (reply, error) {
	if !a.inside(r) {
		return nil, errOutside
	}
	switch action {
	case "ping_status":
		return a.replyWith(json.RawMessage(a.currentPing(ctx).AppendJSON(nil)))
	case "job_status":
		info := a.TaskInfo()
		for i, task := range info.RunningJobs {
			info.RunningJobs[i] = RunningTask{Name: task.Name, Duration: task.Duration}
		}
		return a.replyWith(info)
	case "force_healthy":
		return a.debugForce(Healthy)
	case "force_busy":
		return a.debugForce(HealthyBusy)
	case "clear_forced_status":
		a.clearForced(ctx)
		return a.replyWith(forced{"Cleared"})
	}
	return nil, &HTTPError{Code: http.StatusBadRequest, Message: "Unknown action: " + action}
}

type forced struct {
	Status string `json:"forced_status"`
}

func (a *App) debugForce(s Status) (reply, error) {
	a.ForcePingStatus(s)
	return a.replyWith(forced{string(s)})
}
