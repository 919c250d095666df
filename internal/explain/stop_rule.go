package explain

import (
	"fmt"
	"time"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// stopRule is what people have to know of a reason of a stop.
type stopRule struct {
	// rule that it goes by.
	rule string
	// remedy says how to have fewer of them; empty if that is how a session ends.
	remedy string
	// onAgentCore says what AgentCore does differently; empty if it does the same.
	onAgentCore string
	// fault of somebody: it is no end that was meant.
	fault bool
}

var stopRules = map[v1alpha1.StopReason]stopRule{
	v1alpha1.StopIdleTimeout: {
		rule: "A session is stopped when its agent has had no work for idleRuntimeSessionTimeout: no call in flight, and no HealthyBusy.",
	},
	v1alpha1.StopMaxLifetime: {
		rule:   "A compute is stopped when it has lived for maxLifetime. Nothing extends that: neither a call in flight nor HealthyBusy.",
		remedy: "Continue work that takes longer in the next activation, and keep its state outside of the compute.",
	},
	v1alpha1.StopRequested: {
		rule: "A session is stopped when somebody asks for it: by spec.desiredState, by a higher spec.activation, by its deletion, or by StopRuntimeSession through the gateway.",
	},
	v1alpha1.StopUnhealthy: {
		fault:       true,
		rule:        "A compute is stopped when ping.failureThreshold pings in a row have failed.",
		remedy:      "Look at what the agent wrote before. Have an agent that blocks while it works say HealthyBusy first, or call it through the gateway.",
		onAgentCore: "AgentCore stops an unhealthy compute too, but does not say after how many failed pings.",
	},
	v1alpha1.StopStartTimeout: {
		fault:  true,
		rule:   startRule(lifecycle.StartTimeout),
		remedy: "Have the agent listen on the port that is asked, on all addresses, and answer before it loads what takes long.",
	},
	v1alpha1.StopStartFailed: {
		fault:       true,
		rule:        "The agent's container must start within provisioningTimeoutSeconds of the creation of its pod, and must be able to run.",
		remedy:      "Fix what was missing, which is named above, and wake the session.",
		onAgentCore: "AgentCore has no limit for a pod and its image: it has pulled the image before any session starts.",
	},
	v1alpha1.StopStuckBusy: {
		fault:       true,
		rule:        "With stuckDetection.action Stop, a session is stopped when its agent has said HealthyBusy for stuckDetection.afterSeconds.",
		remedy:      "Look for a task of the agent that is never completed. If its work does take that long, raise stuckDetection.afterSeconds.",
		onAgentCore: "AgentCore has no such rule: this session would live, and cost, until maxLifetime.",
	},
	v1alpha1.StopAgentExited: {
		fault:       true,
		rule:        "A compute ends with its agent's process. It is not started again by itself, since the agent's memory is lost.",
		remedy:      "Fix what made the agent exit: its code and its last words are above.",
		onAgentCore: "AgentCore deems such a compute unhealthy and stops it, and tells neither exit code nor last words.",
	},
	v1alpha1.StopComputeLost: {
		fault:       true,
		rule:        "A session is stopped when somebody or something else takes its pod away: an eviction, a drain, a deletion, or a node that died.",
		remedy:      "Look at who deletes pods: drains, preemption, autoscalers. docs/operating.md tells how to drain nodes.",
		onAgentCore: "On AgentCore you see no nodes: a compute that is lost there ends without a reason.",
	},
}

// startRule is that of StartTimeout, which a time scale shortens.
func startRule(most time.Duration) string {
	return fmt.Sprintf("An agent must answer its first ping with 200 within %d s of the start of its container.", int(most.Seconds()))
}

// remedies say of what troubles a session, or a runtime, what would change that.
var remedies = map[string]string{
	v1alpha1.ReasonPodRefused:           "Change what refuses the pod: the quota, the Pod Security level, the admission policy or the template. It is tried again by itself.",
	v1alpha1.ReasonPodNotMade:           "It is tried again every 15 s at least, and may come right by itself: a webhook is down, or the API server has too much to do.",
	v1alpha1.ReasonPodNameTaken:         "Delete the pod by that name if nobody needs it: it is not the session's, so it is left alone. The start is tried again by itself.",
	v1alpha1.ReasonStorageRefused:       "Change what refuses the PersistentVolumeClaim: the quota (requests.storage, persistentvolumeclaims) or the admission policy. It is tried again by itself.",
	v1alpha1.ReasonStorageNameTaken:     "Delete the PersistentVolumeClaim by that name if nobody needs it: it is not the session's, so it is left alone. The start is tried again by itself.",
	v1alpha1.ReasonAddressRefused:       "Have the pod get an address of its own on the pod network: agents at addresses of the node itself are never asked.",
	v1alpha1.ReasonRuntimeNotFound:      "Make the AgentRuntime, or the endpoint or version that spec.runtimeRef names. The session starts then by itself.",
	v1alpha1.ReasonUnreadable:           "Apply the object again as this version's schema wants it: the message names the field.",
	v1alpha1.ReasonUnschedulable:        "Make room: another node, or a template that asks for less. The scheduler tries again by itself.",
	v1alpha1.ReasonStoragePending:       "Have the cluster make volumes: a StorageClass that is the default, or that sessionStorage names, whose provisioner runs. The scheduler tries again by itself.",
	v1alpha1.ReasonImagePullFailed:      "Push the image, or make the pull secret: the node tries again by itself. Another name in the template counts from the next activation on.",
	v1alpha1.ReasonContainerConfigError: "Make the Secret or ConfigMap that is missing: the node tries again by itself.",
	v1alpha1.ReasonContainerCreateError: "The message has the words of the node's container runtime. It tries again by itself.",
	v1alpha1.ReasonContainerCrashing:    "Fix the container that crashes: the agent waits for it. A change of the template counts from the next activation on.",
	v1alpha1.ReasonMassFailure:          "It is not this session's fault alone: look at the network between the operator and the nodes. It ends when most agents answer again.",
	v1alpha1.ReasonFlapping:             "Have the agent change its status less often. Stops do not wait for reports.",
	v1alpha1.ReasonNoGoodAnswer:         "Have the agent answer 200 on the port that is asked, on all addresses and not on 127.0.0.1 only.",
	v1alpha1.ReasonVersionNotFound:      "Pin a version that is there, as the message says.",
	v1alpha1.ReasonNoValidVersion:       "Wait until a version was tried with success, or see what Validated says and change the runtime.",
	v1alpha1.ReasonTrying:               "Wait: the session that tries the version starts, or says what its start waits for.",
	v1alpha1.ReasonTrialRefused:         "Mend what the message names, and change the runtime: a version that has failed is not tried again.",
	v1alpha1.ReasonWarmupFailed:         "Have the agent answer the hook's path with 2xx within 120 s, and change the runtime: a version that has failed is not tried again.",
	v1alpha1.ReasonVersionNameTaken:     "Delete the ControllerRevision by that name if nobody needs it. Sessions start meanwhile; endpoints cannot pin this version.",
}

// listensHere is where an agent must listen that agentsession local runs.
const listensHere = "at the port that PORT in its environment names or, in a container, at the contract's port on all addresses of it"

// remedyOfStop is that of its rule, as it is true where the session is.
func (t Tools) remedyOfStop(reason v1alpha1.StopReason) string {
	if t.Laptop && reason == v1alpha1.StopStartTimeout {
		return "The agent must listen " + listensHere + ", and answer before it loads what takes long."
	}
	return stopRules[reason].remedy
}

// remedyFor is what would change what troubles a session, or a runtime; empty if nobody knows.
func (t Tools) remedyFor(reason string) string {
	if t.Laptop && reason == v1alpha1.ReasonNoGoodAnswer {
		return "Have the agent answer 200 " + listensHere + "."
	}
	return remedies[reason]
}
