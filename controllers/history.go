package controllers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

const (
	keptActivations = 10
	// How many bytes the message of a termination has at most: an Event holds 1,024.
	maxMessage        = 800
	maxHistoryMessage = 400
)

// usageOf counts the time that was spent in the state that ends. While nothing
// changes nothing is counted.
func usageOf(old *v1alpha1.AgentSessionStatus, state v1alpha1.SessionState, since, now time.Time) *v1alpha1.Usage {
	switch {
	case state == v1alpha1.StateStarting || state == v1alpha1.StateStopped:
		return nil
	case old.State == state:
		return old.Usage
	}
	return counted(old, since, now)
}

// counted is the usage up to a moment, after it was counted up to another.
func counted(old *v1alpha1.AgentSessionStatus, since, now time.Time) *v1alpha1.Usage {
	usage := v1alpha1.Usage{CountedAt: metav1.Time{Time: now.Truncate(time.Second)}}
	if old.Usage == nil {
		return &usage
	}
	spent := max(0, int64(usage.CountedAt.Sub(since).Seconds()))
	usage.ActiveSeconds, usage.IdleSeconds = old.Usage.ActiveSeconds, old.Usage.IdleSeconds
	switch old.State {
	case v1alpha1.StateActive:
		usage.ActiveSeconds += spent
	case v1alpha1.StateIdle:
		usage.IdleSeconds += spent
	case v1alpha1.StateStarting, v1alpha1.StateStopping, v1alpha1.StateStopped:
	}
	return &usage
}

// historyOf adds the activation that has ended.
func historyOf(old *v1alpha1.AgentSessionStatus, ended *v1alpha1.Termination, since, now time.Time) []v1alpha1.PastActivation {
	usage := counted(old, since, now)
	past := v1alpha1.PastActivation{
		Reason: ended.Reason, Message: lifecycle.Cut(ended.Message, maxHistoryMessage), Activation: ended.Activation,
		Until: *ended.At, ActiveSeconds: usage.ActiveSeconds, IdleSeconds: usage.IdleSeconds,
	}
	if old.Pod != nil {
		past.From = &old.Pod.CreatedAt
	}
	return append([]v1alpha1.PastActivation{past}, old.History[:min(len(old.History), keptActivations-1)]...)
}
