package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/awswire"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// The states of runtimes and endpoints, in AgentCore's words.
const (
	creating     = "CREATING"
	createFailed = "CREATE_FAILED"
	updating     = "UPDATING"
	updateFailed = "UPDATE_FAILED"
	ready        = "READY"
	deleting     = "DELETING"
)

// version is one of a runtime, as AgentCore tells of it.
type version struct {
	number  int64
	status  string
	failure string // why status is one of the failed
	updated metav1.Time
	spec    *v1alpha1.AgentRuntimeSpec
}

func (v version) String() string { return strconv.FormatInt(v.number, 10) }

// newest is the newest version of a runtime. A change of its endpoints alone makes none,
// as far as AgentCore's clients know.
func newest(agent *v1alpha1.AgentRuntime) version {
	v := version{number: agent.Generation, status: updating, updated: agent.CreationTimestamp, spec: &agent.Spec}
	known := agent.Status.Artifact
	failed := updateFailed
	if known == nil {
		v.status, failed = creating, createFailed
	}
	isReady, reason, message := readyOf(agent)
	switch {
	case !isReady && reason != v1alpha1.ReasonVersionNotFound && reason != v1alpha1.ReasonNoValidVersion: // those are endpoints'
		v.status, v.failure = failed, message
	case known != nil && (agent.Status.AgentRuntimeVersion == agent.Generation || sameAs(agent, known)):
		v.number, v.updated = known.Version, known.RecordedAt
		v.status, v.failure = tried(agent, known)
	}
	if agent.DeletionTimestamp != nil {
		v.status, v.failure = deleting, ""
	}
	return v
}

// tried is the state of a version that is recorded: ready, if it need not be tried.
func tried(agent *v1alpha1.AgentRuntime, known *v1alpha1.RuntimeArtifact) (status, failure string) {
	under := updating
	if known.Version == 1 {
		under = creating
	}
	switch verdict, message := lifecycle.Validated(agent); verdict {
	case metav1.ConditionTrue:
		return ready, ""
	case metav1.ConditionFalse:
		return failedState(known.Version), message
	default:
		return under, ""
	}
}

// failedState is that of a version that was tried without success.
func failedState(version int64) string {
	if version == 1 {
		return createFailed
	}
	return updateFailed
}

func sameAs(agent *v1alpha1.AgentRuntime, known *v1alpha1.RuntimeArtifact) bool {
	digest, err := lifecycle.Digest(agent.Spec)
	return err == nil && digest == known.Digest
}

// revisions are the recorded versions of a runtime, with the oldest first.
func (p *Plane) revisions(ctx context.Context, agent *v1alpha1.AgentRuntime) ([]appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	if err := p.Live.List(ctx, &list, client.InNamespace(agent.Namespace), client.MatchingLabels{v1alpha1.LabelRuntime: agent.Name}); err != nil {
		return nil, fmt.Errorf("list the versions of %s: %w", agent.Name, err)
	}
	owned := slices.DeleteFunc(list.Items, func(r appsv1.ControllerRevision) bool { return !metav1.IsControlledBy(&r, agent) })
	slices.SortFunc(owned, func(a, b appsv1.ControllerRevision) int { return int(a.Revision - b.Revision) })
	return owned, nil
}

// versions are those of which AgentCore's clients know, with the newest first.
func (p *Plane) versions(ctx context.Context, agent *v1alpha1.AgentRuntime) ([]version, error) {
	revisions, err := p.revisions(ctx, agent)
	if err != nil {
		return nil, err
	}
	now := newest(agent)
	all := []version{now}
	last := ""
	var older []version
	for i := range revisions {
		digest := revisions[i].Annotations[v1alpha1.AnnotationDigest]
		if digest != "" && digest == last || revisions[i].Revision >= now.number {
			continue
		}
		last = digest
		v, err := recorded(agent, &revisions[i])
		if err != nil {
			return nil, err
		}
		older = append(older, v)
	}
	slices.Reverse(older)
	return append(all, older...), nil
}

// recorded is a version before the newest.
func recorded(agent *v1alpha1.AgentRuntime, revision *appsv1.ControllerRevision) (version, error) {
	v := version{number: revision.Revision, status: ready, updated: revision.CreationTimestamp, spec: &v1alpha1.AgentRuntimeSpec{}}
	if trying := agent.Status.Validation; trying != nil {
		for _, failed := range trying.Failed {
			if failed.Version == v.number {
				v.status, v.failure = failedState(v.number), failed.Message
			}
		}
	}
	if err := json.Unmarshal(revision.Data.Raw, v.spec); err != nil {
		return v, fmt.Errorf("read the version %s: %w", revision.Name, err)
	}
	return v, nil
}

// version is the one that a caller asks for; the newest if he names none.
func (p *Plane) version(ctx context.Context, agent *v1alpha1.AgentRuntime, asked, member string) (version, error) {
	now := newest(agent)
	if asked == "" || asked == now.String() {
		return now, nil
	}
	if !isVersion.MatchString(asked) {
		return version{}, broken(member, asked, "Member must satisfy regular expression pattern: [1-9][0-9]{0,4}")
	}
	revisions, err := p.revisions(ctx, agent)
	if err != nil {
		return version{}, err
	}
	for i := range revisions {
		if strconv.FormatInt(revisions[i].Revision, 10) == asked {
			return recorded(agent, &revisions[i])
		}
	}
	return version{}, awswire.NotFound(fmt.Sprintf("The agent runtime has no version %s: it was never recorded, or no endpoint pinned it for ten versions", asked))
}
