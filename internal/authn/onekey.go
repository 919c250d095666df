package authn

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AccessKey is one whose owner may do everything: that of a gateway without a cluster.
type AccessKey struct{ ID, Secret string }

// NewAccessKey makes a key that nobody knows. Its parts are as long as AWS's.
func NewAccessKey() AccessKey {
	return AccessKey{ID: ("LOCAL" + rand.Text())[:20], Secret: (rand.Text() + rand.Text())[:40]}
}

// Sign signs a request with the key, as AWS's clients do.
func (k AccessKey) Sign(r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", "us-east-1", time.Now()); err != nil {
		return fmt.Errorf("sign the call: %w", err)
	}
	return nil
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
