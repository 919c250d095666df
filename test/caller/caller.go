// Package caller signs requests as AWS's clients do.
package caller

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Sign signs a request, whose GetBody gives its body, with an access key.
func Sign(r *http.Request, key, secret string) error {
	body, err := r.GetBody()
	if err != nil {
		return fmt.Errorf("read the request's body: %w", err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return fmt.Errorf("read the request's body: %w", err)
	}
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
	return v4.NewSigner().SignHTTP(r.Context(), credentials, r, hex.EncodeToString(sum.Sum(nil)), "bedrock-agentcore", "eu-west-1", time.Now())
}

// Presign makes a URL of a request without a body, whose query has X-Amz-Expires.
func Presign(r *http.Request, key, secret string) (url string, err error) {
	sum := sha256.Sum256(nil)
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
	url, _, err = v4.NewSigner().PresignHTTP(r.Context(), credentials, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", "eu-west-1", time.Now())
	return url, err
}
