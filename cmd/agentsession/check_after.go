package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/explain"
)

// Names of what is installed (config/).
const (
	operatorName = apiserver.OperatorLease
	gatewayName  = "agentsession-gateway"
	policyName   = "agentsession-pods-by-proxy"
)

// after are the looks at what was installed.
func (k *checker) after() []func(context.Context) {
	return []func(context.Context){k.findRelease, k.established, k.bound, k.operator, k.leaders, k.gateways, k.selected, k.stuck}
}

// findRelease looks whether what is installed is Helm's: of what is missing, Helm makes the rest.
func (k *checker) findRelease(ctx context.Context) {
	var all []client.Object
	for _, definition := range k.definitions {
		all = append(all, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: definition.Name}})
	}
	all = append(all, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName}})
	all = append(all, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: platformNamespace, Name: gatewayName}})
	operators, _ := k.operators(ctx) // what fails is told where they are looked at
	for i := range operators {
		all = append(all, &operators[i])
	}
	for _, o := range all {
		if err := k.Get(ctx, client.ObjectKeyFromObject(o), o); err == nil && o.GetAnnotations()[helmName] != "" { // others are looked at later
			k.release = o.GetAnnotations()
			return
		}
	}
}

// install is the command that makes what is missing of a file of dist.
func (k *checker) install(file string) string {
	if k.release == nil {
		return k.tools.Kubectl + " apply -f " + file
	}
	to := strings.ReplaceAll(strings.TrimPrefix(k.tools.Kubectl, "kubectl"), " --context ", " --kube-context ")
	command := fmt.Sprintf("helm upgrade%s %s charts/agentsession -n %s --reset-then-reuse-values", to, explain.Quoted(k.release[helmName]), explain.Quoted(k.release[helmNamespace]))
	if file == gatewayFile {
		command += " --set gateway.enabled=true"
	}
	return command
}

// established looks at the kinds.
func (k *checker) established(ctx context.Context) {
	for _, definition := range k.definitions {
		var there apiextensionsv1.CustomResourceDefinition
		err := k.Get(ctx, client.ObjectKey{Name: definition.Name}, &there)
		switch {
		case apierrors.IsNotFound(err):
			k.add(missing, definition.Name, "it is not there: `%s`", k.install(operatorFile))
		case err != nil:
			k.unseen(definition.Name, err)
		case !established(&there):
			k.add(missing, definition.Name, "the API server does not serve it (yet): `%s describe crd %s` says why", k.tools.Kubectl, definition.Name)
		case !same(&there, definition):
			k.add(warning, definition.Name, "it is another version's than this program: install the same one of both")
		default:
			k.add(passed, definition.Name, "it is served, and this version's")
		}
	}
}

func established(there *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(there.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
}

// bound looks whether the policy for templates is in force.
func (k *checker) bound(ctx context.Context) {
	const what = "ValidatingAdmissionPolicy"
	err := k.Get(ctx, client.ObjectKey{Name: policyName}, &admissionv1.ValidatingAdmissionPolicy{})
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	if err == nil {
		err = k.Get(ctx, client.ObjectKey{Name: policyName}, &binding)
	}
	switch {
	case apierrors.IsNotFound(err):
		k.add(missing, what, "%s or its binding is not there, so that a template can use any service account of its namespace: `%s`", policyName, k.install(operatorFile))
	case err != nil:
		k.unseen(what, err)
	case binding.Spec.PolicyName != policyName || !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny):
		k.add(missing, what, "the binding of %s does not deny, so that a template can use any service account of its namespace: `%s`", policyName, k.install(operatorFile))
	default:
		k.add(passed, what, "%s is bound, and denies", policyName)
	}
}

func (k *checker) operator(ctx context.Context) {
	const what = "operator"
	all, err := k.operators(ctx)
	switch {
	case err != nil:
		k.unseen(what, err)
	case len(all) == 0:
		k.add(missing, what, "there is no Deployment %s in namespace %s, so that nothing starts or stops sessions: `%s`", operatorName, platformNamespace, k.install(operatorFile))
	}
	for i := range all {
		k.available(what, &all[i])
	}
}

// operators are the operator's Deployment, or those that share the cluster by label selectors.
func (k *checker) operators(ctx context.Context) ([]appsv1.Deployment, error) {
	d, err := k.deployment(ctx, operatorName)
	switch {
	case err == nil:
		return []appsv1.Deployment{*d}, nil
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	var list appsv1.DeploymentList
	err = k.List(ctx, &list, client.InNamespace(platformNamespace), operatorLabels)
	return list.Items, err //nolint:wrapcheck // the caller's words
}

// selectorOf is the label selector that an operator is told; the zero one is for all.
func selectorOf(d *appsv1.Deployment) (selector apiserver.Selector) {
	for i := range d.Spec.Template.Spec.Containers {
		for _, arg := range d.Spec.Template.Spec.Containers[i].Args {
			if text, is := strings.CutPrefix(strings.TrimLeft(arg, "-"), "watch-label-selector="); is && selector.Set(text) != nil {
				return apiserver.Selector{} // such an operator ends at once
			}
		}
	}
	return selector
}

func (k *checker) gateways(ctx context.Context) {
	const what = "gateway"
	d, err := k.deployment(ctx, gatewayName)
	switch {
	case apierrors.IsNotFound(err):
		k.add(passed, what, "it is not installed: if AWS's clients are to call sessions, `%s`", k.install(gatewayFile))
	case err != nil:
		k.unseen(what, err)
	default:
		k.available(what, d)
	}
}

func (k *checker) deployment(ctx context.Context, name string) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	return d, k.Get(ctx, client.ObjectKey{Namespace: platformNamespace, Name: name}, d) //nolint:wrapcheck // the caller's words
}

// available looks whether pods of a Deployment are ready.
func (k *checker) available(what string, d *appsv1.Deployment) {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	i := slices.IndexFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentAvailable })
	switch ready := d.Status.AvailableReplicas; {
	case wanted == 0:
		k.add(missing, what, "its Deployment %s has 0 replicas: `%s scale -n %s deploy %s --replicas=2`", d.Name, k.tools.Kubectl, d.Namespace, d.Name)
	case i < 0 || d.Status.Conditions[i].Status != corev1.ConditionTrue:
		k.add(missing, what, "%d of %s are available: `%s describe pods -n %s -l app.kubernetes.io/component=%s` says why", ready, countOf(int(wanted), "pod", "pods"), k.tools.Kubectl, d.Namespace, what)
	case ready < wanted:
		k.add(warning, what, "%d of %s are available: `%s get pods -n %s` shows which is not", ready, countOf(int(wanted), "pod", "pods"), k.tools.Kubectl, d.Namespace)
	default:
		k.add(passed, what, "%s available", countOf(int(wanted), "pod is", "pods are"))
	}
}

// leaders look whether operators work: those that renew their leases.
func (k *checker) leaders(ctx context.Context) {
	all, err := k.operators(ctx)
	if err != nil || len(all) == 0 { // which is said already
		k.leader(ctx, "leader", operatorName)
	}
	for i := range all {
		what, selector := "leader", selectorOf(&all[i])
		if selector.Selector != nil {
			what += " of " + selector.String()
		}
		k.leader(ctx, what, apiserver.LeaseName(selector.String()))
	}
}

// leader looks whether an operator works: the one that renews the lease.
func (k *checker) leader(ctx context.Context, what, name string) {
	var lease coordinationv1.Lease
	err := k.Get(ctx, client.ObjectKey{Namespace: platformNamespace, Name: name}, &lease)
	logs := k.tools.Kubectl + " logs -n " + platformNamespace + " -l app.kubernetes.io/component=operator --prefix"
	switch {
	case apierrors.IsNotFound(err):
		k.add(missing, what, "no operator has ever taken the lease %s: `%s` says why", name, logs)
		return
	case err != nil:
		k.unseen(what, err)
		return
	}
	holder, lasts := "", time.Duration(0)
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	if lease.Spec.LeaseDurationSeconds != nil {
		lasts = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	switch renewed := lease.Spec.RenewTime; {
	case holder == "" || renewed == nil:
		k.add(missing, what, "no operator holds the lease %s: `%s` says why", name, logs)
	case k.now().Sub(renewed.Time) > lasts:
		k.add(missing, what, "%s holds the lease, and has not renewed it since %s: `%s` says why", holder, micro(k.now().Location(), renewed), logs)
	default:
		k.add(passed, what, "%s holds the lease, and renews it", holder)
	}
}

// selectors are those of the operators; none if one looks after all, or what is wrong is said
// already.
func (k *checker) selectors(ctx context.Context) (selectors []apiserver.Selector) {
	operators, err := k.operators(ctx)
	if err != nil {
		return nil
	}
	for i := range operators {
		selectors = append(selectors, selectorOf(&operators[i]))
	}
	if len(selectors) == 1 && selectors[0].Selector == nil {
		return nil
	}
	return selectors
}

// selected looks whether each session and runtime matches the label selector of one operator.
func (k *checker) selected(ctx context.Context) {
	const what = "label selectors"
	selectors := k.selectors(ctx)
	if len(selectors) == 0 {
		return
	}
	var runtimes v1alpha1.AgentRuntimeList
	sessions, _, err := k.sessions.list(ctx, nil)
	if err == nil {
		err = k.sessions.List(ctx, &runtimes)
	}
	if err != nil {
		k.unseen(what, err)
		return
	}
	byMatches := map[int][]string{} // 2: several
	sort := func(kind string, o client.Object) {
		n := min(matching(selectors, o), 2)
		byMatches[n] = append(byMatches[n], kind+" "+cmp.Or(o.GetNamespace(), "default")+"/"+o.GetName())
	}
	for _, f := range sessions {
		sort("session", f.AgentSession)
	}
	for i := range runtimes.Items {
		sort("runtime", &runtimes.Items[i])
	}
	nobodys, several := byMatches[0], byMatches[2]
	if len(nobodys) > 0 {
		k.add(warning, what, "nobody looks after what matches none of them: %s. Label it, or add an operator for it", some(nobodys))
	}
	if len(several) > 0 {
		k.add(warning, what, "what matches several stays with the first operator that sees it: %s. Have them select one each", some(several))
	}
	if len(nobodys)+len(several) == 0 {
		k.add(passed, what, "each session and runtime matches one of %d", len(selectors))
	}
}

func matching(selectors []apiserver.Selector, o client.Object) (n int) {
	for _, s := range selectors {
		if s.Selector == nil || s.Matches(labels.Set(o.GetLabels())) {
			n++
		}
	}
	return n
}

// maxNamed is how many sessions are named in a line.
const maxNamed = 3

// stuck looks for sessions that have been busy for longer than they should.
func (k *checker) stuck(ctx context.Context) {
	const what = "sessions"
	all, _, err := k.sessions.list(ctx, nil)
	switch {
	case apierrors.IsNotFound(err):
		k.add(warning, what, "cannot be looked at: their kind is not there")
		return
	case err != nil:
		k.unseen(what, err)
		return
	}
	var names []string
	for _, f := range all {
		if meta.IsStatusConditionTrue(f.Status.Conditions, v1alpha1.ConditionStuck) {
			names = append(names, cmp.Or(f.Namespace, "default")+"/"+f.Name)
		}
	}
	if len(names) == 0 {
		k.add(passed, what, "%s, none of which is stuck", count(len(all)))
		return
	}
	k.add(warning, what, "%d of %s are Stuck (%s): `%s explain NAME -n NAMESPACE` says why", len(names), count(len(all)), some(names), k.tools.Self)
}

// some are names, with no more than a few of them.
func some(names []string) string {
	slices.Sort(names)
	first := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if len(names) > maxNamed {
		first += fmt.Sprintf(", and %d more", len(names)-maxNamed)
	}
	return first
}
