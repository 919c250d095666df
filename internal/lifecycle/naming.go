package lifecycle

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/agentsession/agentsession/api/v1alpha1"
)

// SessionName is the name of the AgentSession of a session id at an endpoint of a runtime:
// whoever is asked for the session makes the same object, which is there once. The UID is
// the runtime's, so that one that is made again under its name has sessions of its own.
func SessionName(runtime, uid, qualifier, id string) string {
	const suffix, longest = 20, 52
	sum := sha256.Sum256([]byte(uid + "\x00" + qualifier + "\x00" + id))
	prefix := runtime[:min(len(runtime), longest-suffix-1)]
	return strings.TrimRight(prefix, "-.") + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:suffix])
}

// RuntimeID is a runtime's id by AWS's pattern: [a-zA-Z][a-zA-Z0-9_]{0,47}, a dash, and ten
// letters and digits, here of its UID.
func RuntimeID(runtime *v1alpha1.AgentRuntime) string {
	name := strings.NewReplacer("-", "_", ".", "_").Replace(runtime.Name)
	if own := runtime.Spec.AgentCore; own != nil && own.AgentRuntimeName != "" {
		name = own.AgentRuntimeName
	}
	if name[0] <= '9' {
		name = "r" + name
	}
	return name[:min(len(name), 48)] + endOfID(runtime)
}

func endOfID(runtime *v1alpha1.AgentRuntime) string {
	sum := sha256.Sum256([]byte(runtime.UID))
	return "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:10])
}

// IsNamed tells whether the status of a runtime names it by an id or an ARN. Others than the
// operator may be able to write it: an id that does not end as its UID has it is another's.
func IsNamed(runtime *v1alpha1.AgentRuntime, name string) bool {
	id, arn := runtime.Status.AgentRuntimeID, runtime.Status.AgentRuntimeArn
	return strings.HasSuffix(id, endOfID(runtime)) && (name == id || name == arn && strings.HasSuffix(arn, ":runtime/"+id))
}

// Reachable tells whether a call of a session's own id, endpoint and runtime leads to it: one
// that somebody made by hand has another name.
func Reachable(session *v1alpha1.AgentSession) bool {
	ref, name, uid := session.Spec.RuntimeRef, "", ""
	for _, owner := range session.OwnerReferences {
		if owner.Controller != nil && *owner.Controller {
			name, uid = owner.Name, string(owner.UID)
		}
	}
	return ref != nil && uid != "" && name == ref.Name && session.Spec.RuntimeSessionID != "" &&
		session.Name == SessionName(name, uid, cmp.Or(ref.Qualifier, v1alpha1.DefaultQualifier), session.Spec.RuntimeSessionID)
}
