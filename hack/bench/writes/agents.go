package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/agentsession/agentsession/agent-runtime/contract"
	"github.com/agentsession/agentsession/agentsessiontest/node"
	"github.com/agentsession/agentsession/api/v1alpha1"
)

// steady are agents in which nothing happens, each in a way of its own.
var steady = []func(*node.Agent){
	func(*node.Agent) {}, // Healthy, as the contract asks
	func(a *node.Agent) { a.Say(contract.HealthyBusy) },
	func(a *node.Agent) { // no time_of_last_update, as a plain HTTP server
		a.Answer(func() (int, string) { return http.StatusOK, `{"status":"Healthy"}` })
	},
	func(a *node.Agent) { // "now" in every answer, as many agents do
		a.Answer(func() (int, string) {
			return http.StatusOK, fmt.Sprintf(`{"status":"Healthy","time_of_last_update":%d}`, time.Now().Unix())
		})
	},
}

// agentFor gives the settled sessions an agent of each kind in turn, and all
// others one that keeps the contract.
func agentFor(pod *corev1.Pod) *node.Agent {
	agent := node.NewAgent()
	if pod.Namespace == settledNamespace {
		n, err := strconv.Atoi(strings.TrimPrefix(pod.Labels[v1alpha1.LabelSession], sessionPrefix))
		if err == nil {
			steady[n%len(steady)](agent)
		}
	}
	return agent
}
