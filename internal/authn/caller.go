package authn

import (
	"context"
	"net/http"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// Caller is who calls.
type Caller struct {
	// Name is for the log.
	Name string
	// Namespace is where what he makes goes, if he names no other. Empty: nowhere.
	Namespace string
	// May tells whether he has a right to a runtime.
	May func(context.Context, *v1alpha1.AgentRuntime, Right) (bool, error)
	// MayAll tells whether he has a right to all runtimes of a namespace; of all namespaces
	// if it is empty. Nil: May asks nobody, and is asked of each runtime of a list.
	MayAll func(ctx context.Context, namespace string, right Right) (bool, error)
}

// Right is what a caller wants to do with a runtime, in the words of Kubernetes: a
// verb on a subresource of agentruntimes.
type Right struct{ Verb, Subresource string }

// The rights that there are.
var (
	ToInvoke  = Right{"create", "invocations"}
	ToCommand = Right{"create", "commands"}
	ToSee     = Right{"get", "sessions"}
	ToStop    = Right{"delete", "sessions"}
)

// The verbs of the control plane.
const (
	VerbGet    = "get"
	VerbCreate = "create"
	VerbUpdate = "update"
	VerbDelete = "delete"
)

// ToControl is the right to do something with runtimes by AgentCore's control plane.
func ToControl(verb string) Right { return Right{verb, "control"} }

// Authenticator tells who calls, in two steps: what the head of a request shows
// is looked at before its body is read, so that strangers cannot send gigabytes.
type Authenticator func(context.Context, *http.Request) (Proof, error)

// Proof is the second step, with the SHA-256 of the body, in hex.
type Proof func(payloadHash string) (Caller, error)

// Anybody may call every runtime.
func Anybody(context.Context, *http.Request) (Proof, error) {
	return proven(Caller{Name: "anybody", Namespace: "default", May: func(context.Context, *v1alpha1.AgentRuntime, Right) (bool, error) { return true, nil }}), nil
}

// proven is a caller who is known without the body.
func proven(c Caller) Proof {
	return func(string) (Caller, error) { return c, nil }
}

// The schemes of the header Authorization.
const (
	SchemeSigV4  = signingAlgorithm
	SchemeBearer = "Bearer"
)

// ByScheme has callers authenticated by the scheme of their Authorization, in any case
// (RFC 9110, 11.1). A presigned URL is a signature too.
func ByScheme(schemes map[string]Authenticator) Authenticator {
	return func(ctx context.Context, r *http.Request) (Proof, error) {
		if authenticate := schemes[SchemeSigV4]; authenticate != nil && isPresigned(r) {
			return authenticate(ctx, r)
		}
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		var authenticate Authenticator
		for name, one := range schemes {
			if strings.EqualFold(name, scheme) {
				authenticate = one
			}
		}
		if authenticate == nil || len(r.Header.Values("Authorization")) != 1 {
			return nil, denied("The request must have one Authorization that this gateway knows")
		}
		return authenticate(ctx, r)
	}
}
