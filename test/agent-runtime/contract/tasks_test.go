package contract_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/agentsession/agentsession/agent-runtime/contract"
)

func TestTasksThereAndBack(t *testing.T) {
	g := NewWithT(t)
	ended := 1500 * time.Millisecond
	sent := contract.Tasks{ActiveCount: 2, RunningJobs: []contract.RunningTask{
		{ID: 1, Name: "index", Duration: 3*time.Hour + 250*time.Millisecond, Metadata: map[string]any{"a": 1}, Ended: &ended},
		{ID: 2, Name: "other"},
	}}
	wire, err := json.Marshal(sent)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(wire).To(MatchJSON(`{"active_count":2,"running_jobs":[
		{"name":"index","duration":10800.25,"id":1,"metadata":{"a":1},"ended":1.5},
		{"name":"other","duration":0,"id":2}]}`))
	sent.RunningJobs[0].Metadata = nil // not read back
	g.Expect(contract.ParseTasks(wire)).To(Equal(sent))
}

func TestParseTasksOfPython(t *testing.T) {
	NewWithT(t).Expect(contract.ParseTasks([]byte(`{"active_count":1,"running_jobs":[{"name":"t","duration":4.32}]}`))).To(
		Equal(contract.Tasks{ActiveCount: 1, RunningJobs: []contract.RunningTask{{Name: "t", Duration: 4320 * time.Millisecond}}}))
}

func TestParseTasksRefuses(t *testing.T) {
	for body, want := range map[string]string{
		``:                       "EOF",
		`null`:                   "null",
		`[]`:                     "array",
		`{} {}`:                  "more follows",
		`{"running_jobs":[1]}`:   "number",
		`{"running_jobs":"none"`: "EOF",
		"{\"\xff\":1}":           "UTF-8",
		`{"running_jobs":[{"name":"t","duration":-1}]}`:               "duration: -1 seconds are out of range",
		`{"running_jobs":[{"name":"t","duration":1e300}]}`:            "out of range",
		`{"running_jobs":[{"name":"t","ended":-1}]}`:                  "ended: -1 seconds are out of range",
		`{"running_jobs":[{"name":"t","duration":"2 hours"}]}`:        "string",
		`{"a":"` + strings.Repeat("x", contract.MaxTasksBytes) + `"}`: "more than 65536 bytes",
	} {
		_, err := contract.ParseTasks([]byte(body))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(want)), "%.80s", body)
	}
}

func FuzzParseTasks(f *testing.F) {
	f.Add([]byte(`{"active_count":1,"running_jobs":[{"name":"t","duration":4.32,"id":7,"metadata":{"a":[]},"ended":0}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tasks, err := contract.ParseTasks(body)
		if err != nil {
			return
		}
		for _, task := range tasks.RunningJobs {
			if task.Duration < 0 || task.Ended != nil && *task.Ended < 0 {
				t.Fatalf("time before zero in %+v", task)
			}
		}
		if _, err := json.Marshal(tasks); err != nil {
			t.Fatalf("cannot be sent again: %v", err)
		}
	})
}
