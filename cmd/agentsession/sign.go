package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/agentsession/agentsession/controllers"
)

// AWS's environment variables of an access key, and of the endpoint that it is for.
const (
	envKeyID    = "AWS_ACCESS_KEY_ID"
	envSecret   = "AWS_SECRET_ACCESS_KEY" //nolint:gosec // the variable's name
	envEndpoint = "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"
)

// accessKey is that of the environment. Keys of a gateway have no session token: one in the
// environment is AWS's, and stays here.
func accessKey() aws.Credentials {
	return aws.Credentials{AccessKeyID: os.Getenv(envKeyID), SecretAccessKey: os.Getenv(envSecret)}
}

// missingKey names the variables that an access key lacks; empty if it lacks none.
func missingKey(key aws.Credentials) string {
	var names []string
	if key.AccessKeyID == "" {
		names = append(names, envKeyID)
	}
	if key.SecretAccessKey == "" {
		names = append(names, envSecret)
	}
	return strings.Join(names, " and ")
}

// signed is a request with an AWS Signature Version 4 in the place of any other credentials.
func signed(r *http.Request, key aws.Credentials) (*http.Request, error) {
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("read what is to be signed: %w", err)
	}
	ctx := r.Context()
	r = r.Clone(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Del("Authorization")
	region := cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), controllers.DefaultRegion)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, key, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the call: %w", err)
	}
	return r, nil
}
