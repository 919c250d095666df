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
