package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/controllers"
)

// borrowed tells whether the cluster is the user's own.
func borrowed() bool { return os.Getenv("USE_CLUSTER") == "current" }

// changed is a deployment of a borrowed cluster that the demo writes to.
type changed struct {
	found *unstructured.Unstructured // nil: there was none
	plain *unstructured.Unstructured // as its manifest has it
}

// note remembers a deployment before it is written to.
func (c *cluster) note(ctx context.Context, plain *unstructured.Unstructured) error {
	if !borrowed() || plain.GetKind() != "Deployment" {
		return nil
	}
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(plain.GroupVersionKind())
	err := c.api.Get(ctx, client.ObjectKeyFromObject(plain), found)
	switch {
	case apierrors.IsNotFound(err):
		found = nil
	case err != nil:
		return fmt.Errorf("look for the deployment %s: %w", plain.GetName(), err)
	}
	if found != nil && c.isolated == nil {
		if c.isolated, err = c.policies(ctx); err != nil {
			return err
		}
	}
	c.changed = append(c.changed, changed{found: found, plain: plain.DeepCopy()})
	return nil
}

// policies are the namespaces with an operator's network policy.
func (c *cluster) policies(ctx context.Context) ([]string, error) {
	var all networkingv1.NetworkPolicyList
	if err := c.api.List(ctx, &all, client.MatchingFields{"metadata.name": controllers.NetworkPolicyName}); err != nil {
		return nil, fmt.Errorf("list the network policies of agents: %w", err)
	}
	namespaces := []string{}
	for i := range all.Items {
		namespaces = append(namespaces, all.Items[i].Namespace)
	}
	return namespaces, nil
}

// spare refuses a borrowed cluster where others' sessions would live faster.
func (c *cluster) spare(ctx context.Context, scale int) error {
	if !borrowed() || scale == 1 {
		return nil
	}
	var all v1alpha1.AgentSessionList
	if err := c.api.List(ctx, &all); err != nil {
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil
		}
		return err
	}
	if other := othersAlive(all.Items); other != nil {
		return fmt.Errorf("the session %s/%s lives in this cluster, and its time would be divided by %d too: stop it first, or use another cluster",
			other.Namespace, other.Name, scale)
	}
	return nil
}

// othersAlive is a session that is not the demo's and not stopped; nil if there is none.
func othersAlive(all []v1alpha1.AgentSession) *v1alpha1.AgentSession {
	for i := range all {
		if all[i].Namespace != namespace && all[i].Status.State != v1alpha1.StateStopped {
			return &all[i]
		}
	}
	return nil
}

// giveBack leaves a borrowed cluster's deployments as they were found, or as
// their manifests have them, and takes the demo's access key away. It says what
// is left.
func (c *cluster) giveBack(ctx context.Context, out *screen) error {
	if len(c.changed) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // also after Ctrl-C
	defer cancel()
	var failed error
	for _, d := range c.changed {
		if err := c.restore(ctx, d); err != nil {
			failed = errors.Join(failed, fmt.Errorf("give back the deployment %s: %w", d.plain.GetName(), err))
		}
	}
	key := &corev1.Secret{}
	key.Name, key.Namespace = accessKey, operator.Namespace
	if failed = errors.Join(failed, client.IgnoreNotFound(c.api.Delete(ctx, key))); failed != nil {
		out.print(nil, line{{red, "✗ The cluster is not as it was found: " + failed.Error()}})
		return failed
	}
	out.print(left(c.changed)...)
	if c.isolated == nil { // what a new operator made goes with it
		return nil
	}
	now, err := c.policies(ctx)
	out.print(leftBehind(c.isolated, now)...)
	return err
}

func (c *cluster) restore(ctx context.Context, d changed) error {
	if d.found == nil {
		return c.applyObject(ctx, d.plain)
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now := d.plain.DeepCopy()
		if err := c.api.Get(ctx, client.ObjectKeyFromObject(d.plain), now); err != nil {
			return err
		}
		return c.api.Update(ctx, asFound(now, d.found), fieldOwner)
	})
}

// asFound is a deployment with the spec, and with kubectl's memory of it, that
// were found.
func asFound(now, found *unstructured.Unstructured) *unstructured.Unstructured {
	now = now.DeepCopy()
	now.Object["spec"] = found.DeepCopy().Object["spec"]
	annotations := now.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if last, ok := found.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; ok && annotations != nil {
		annotations[corev1.LastAppliedConfigAnnotation] = last
	}
	now.SetAnnotations(annotations)
	return now
}

// left says what the demo leaves in a borrowed cluster.
func left(all []changed) []line {
	lines := []line{nil, {{bold, "The cluster is yours again"}}, nil}
	takeAway := "make undeploy"
	for _, d := range all {
		if d.found == nil {
			lines = append(lines, text("  "+d.plain.GetName()+" is new, and stays, without --time-scale"))
			continue
		}
		lines = append(lines, text("  "+d.plain.GetName()+" is as it was found"))
		takeAway = "kubectl delete -f dist/install-gateway.yaml"
	}
	lines = append(lines, text("  custom resources and rights are this version's; the demo's access key is deleted"),
		line{{plain, "  kubectl delete namespace " + namespace}, {dim, "   # take the demo's sessions away"}})
	if slices.ContainsFunc(all, func(d changed) bool { return d.found == nil }) {
		lines = append(lines, line{{plain, "  " + takeAway}, {dim, "   # take away what is new"}})
	}
	return lines
}

// leftBehind says which namespaces of others have got a network policy by the demo's
// operator. The one that was found may want none there.
func leftBehind(found, now []string) (lines []line) {
	for _, ns := range now {
		if ns != namespace && !slices.Contains(found, ns) {
			lines = append(lines, line{{plain, "  kubectl delete networkpolicy -n " + ns + " " + controllers.NetworkPolicyName}, {dim, "   # new there, as " + ns + " has sessions"}})
		}
	}
	return lines
}

// applyObject applies an object so that kubectl, as the README uses it, may
// apply it again: kubectl looks for what was applied last in an annotation.
func (c *cluster) applyObject(ctx context.Context, object *unstructured.Unstructured) error {
	object = object.DeepCopy()
	if err := rememberAsKubectl(object); err != nil {
		return err
	}
	if err := c.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

func rememberAsKubectl(object *unstructured.Unstructured) error {
	annotations := object.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	object.SetAnnotations(annotations)
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return fmt.Errorf("remember %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[corev1.LastAppliedConfigAnnotation] = string(raw)
	object.SetAnnotations(annotations)
	return nil
}
