package authn

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// LabelAccessKey is on the Secrets of the gateway's namespace that hold an access
// key each. Their data: accessKeyId, secretAccessKey, and lists with commas, in which
// "*" is everything: namespaces, those of the runtimes that its owner may call;
// runtimes, their names, all if absent; and rights, subresources of agentruntimes:
// invocations (call and stop), commands, sessions (see all, stop many), control (make,
// see, change and delete runtimes; new ones in the first of the namespaces). Absent it is
// invocations.
const LabelAccessKey = "runtime.agentsession.dev/access-key"

// accessKeys are those of the Secrets. A cache's own index was tried: with the
// Secrets of one namespace only it maps the kind anew at every look, 13 % of the
// CPU of a call.
type accessKeys struct {
	mu   sync.RWMutex
	byID map[string]map[client.ObjectKey]accessKey // usually one
}

type accessKey struct {
	name, secret                 string
	namespaces, runtimes, rights list
}

// list is one of a Secret's.
type list []string

func listOf(written string) (l list) {
	for item := range strings.SplitSeq(written, ",") {
		if item = strings.TrimSpace(item); item != "" {
			l = append(l, item)
		}
	}
	return l
}

func (l list) has(item string) bool { return slices.Contains(l, item) || slices.Contains(l, "*") }

// first is the first that is a name.
func (l list) first() string {
	if i := slices.IndexFunc(l, func(item string) bool { return item != "*" }); i >= 0 {
		return l[i]
	}
	return ""
}

// SigV4 authenticates callers by AWS's Signature Version 4, against the access
// keys in the Secrets that a cache holds.
func SigV4(c cache.Cache) (Authenticator, error) {
	informer, err := c.GetInformer(context.Background(), &corev1.Secret{})
	if err != nil {
		return nil, fmt.Errorf("watch the access keys: %w", err)
	}
	keys := &accessKeys{byID: map[string]map[client.ObjectKey]accessKey{}}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { keys.replace(nil, object) },
		UpdateFunc: keys.replace,
		DeleteFunc: func(object any) { keys.replace(object, nil) },
	}); err != nil {
		return nil, fmt.Errorf("watch the access keys: %w", err)
	}
	return keys.authenticate, nil
}

// replace takes up what a Secret says now, in the place of what it said, at once:
// in between its owner would be a stranger.
func (k *accessKeys) replace(old, now any) {
	if last, ok := old.(toolscache.DeletedFinalStateUnknown); ok {
		old = last.Obj
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if secret, ok := old.(*corev1.Secret); ok {
		id := keyIn(secret, "accessKeyId")
		delete(k.byID[id], client.ObjectKeyFromObject(secret))
		if len(k.byID[id]) == 0 {
			delete(k.byID, id)
		}
	}
	if secret, ok := now.(*corev1.Secret); ok {
		k.add(secret)
	}
}

func (k *accessKeys) add(secret *corev1.Secret) {
	id := keyIn(secret, "accessKeyId")
	key := accessKey{
		name: secret.Name, secret: keyIn(secret, "secretAccessKey"),
		namespaces: listOf(string(secret.Data["namespaces"])), runtimes: list{"*"}, rights: list{ToInvoke.Subresource},
	}
	if id == "" || key.secret == "" {
		return
	}
	if runtimes, given := secret.Data["runtimes"]; given {
		key.runtimes = listOf(string(runtimes))
	}
	if rights, given := secret.Data["rights"]; given {
		key.rights = listOf(string(rights))
	}
	if k.byID[id] == nil {
		k.byID[id] = map[client.ObjectKey]accessKey{}
	}
	k.byID[id][client.ObjectKeyFromObject(secret)] = key
}

// keyIn is one of a Secret's, without the newline that files and editors end with.
func keyIn(secret *corev1.Secret, name string) string {
	return strings.TrimSpace(string(secret.Data[name]))
}

// of is the key with an id. Two Secrets that claim one id are none: nobody could
// say whose it is.
func (k *accessKeys) of(id string) (key accessKey, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key = range k.byID[id] {
	}
	return key, len(k.byID[id]) == 1
}

func (k *accessKeys) authenticate(_ context.Context, r *http.Request) (Proof, error) {
	signature, err := parseSignature(r, time.Now())
	if err != nil {
		return nil, err
	}
	key, ok := k.of(signature.accessKey)
	if !ok {
		return nil, denied("The security token included in the request is invalid")
	}
	return func(payloadHash string) (Caller, error) {
		if err := signature.verify(r, key.secret, payloadHash); err != nil {
			return Caller{}, err
		}
		return Caller{Name: key.name, Namespace: key.namespaces.first(), May: func(_ context.Context, agent *v1alpha1.AgentRuntime, right Right) (bool, error) {
			return key.may(agent, right), nil
		}}, nil
	}, nil
}

func (k accessKey) may(agent *v1alpha1.AgentRuntime, right Right) bool {
	return k.namespaces.has(agent.Namespace) && k.runtimes.has(agent.Name) && k.rights.has(right.Subresource)
}
