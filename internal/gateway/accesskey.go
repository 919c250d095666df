package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

const (
	// LabelAccessKey is on the Secrets of the gateway's namespace that hold an
	// access key each. Their data: accessKeyId, secretAccessKey, and namespaces, a
	// list with commas of those whose runtimes its owner may call, or "*".
	LabelAccessKey = "runtime.agentsession.dev/access-key"
	// AccessKeyIndex finds them by accessKeyId.
	AccessKeyIndex = "data.accessKeyId"
)

// AccessKeyIDOf is the value of AccessKeyIndex.
func AccessKeyIDOf(object client.Object) []string {
	if secret, ok := object.(*corev1.Secret); ok && len(secret.Data["accessKeyId"]) > 0 {
		return []string{string(secret.Data["accessKeyId"])}
	}
	return nil
}

// SigV4 authenticates callers by AWS's Signature Version 4, against the access
// keys in Secrets.
func SigV4(secrets client.Reader) Authenticator {
	return func(ctx context.Context, r *http.Request, p *Payload) (Caller, error) {
		signature, err := parseSignature(r, time.Now())
		if err != nil {
			return Caller{}, err
		}
		var list corev1.SecretList
		if err := secrets.List(ctx, &list, client.MatchingFields{AccessKeyIndex: signature.accessKey}); err != nil {
			return Caller{}, fmt.Errorf("find the access key: %w", err)
		}
		if len(list.Items) != 1 || len(list.Items[0].Data["secretAccessKey"]) == 0 {
			return Caller{}, denied("The security token included in the request is invalid")
		}
		secret := &list.Items[0]
		if err := signature.verify(ctx, r, string(secret.Data["secretAccessKey"]), p.Hash); err != nil {
			return Caller{}, err
		}
		return Caller{Name: secret.Name, May: func(_ context.Context, agent *v1alpha1.AgentRuntime) (bool, error) {
			return covers(string(secret.Data["namespaces"]), agent.Namespace), nil
		}}, nil
	}
}

// covers tells whether a list with commas names a namespace.
func covers(list, namespace string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == namespace || name == "*" {
			return true
		}
	}
	return false
}
