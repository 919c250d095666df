package authn

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"
)

// AccessKey is one whose owner may do everything: that of a gateway without a cluster.
type AccessKey struct{ ID, Secret string }

// NewAccessKey makes a key that nobody knows. Its parts are as long as AWS's.
func NewAccessKey() AccessKey {
	return AccessKey{ID: ("LOCAL" + rand.Text())[:20], Secret: (rand.Text() + rand.Text())[:40]}
}

// Authenticate is the Authenticator of those who sign with the key.
func (k AccessKey) Authenticate(ctx context.Context, r *http.Request) (Proof, error) {
	signature, err := parseSignature(r, time.Now())
	if err != nil {
		return nil, err
	}
	if signature.accessKey != k.ID {
		return nil, denied("The security token included in the request is invalid")
	}
	return func(payloadHash string) (Caller, error) {
		if err := signature.verify(r, k.Secret, payloadHash); err != nil {
			return Caller{}, err
		}
		proof, err := Anybody(ctx, r)
		if err != nil {
			return Caller{}, err
		}
		return proof(payloadHash)
	}, nil
}
