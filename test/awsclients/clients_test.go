// Package awsclients calls a gateway with AWS's own clients, nothing changed but
// endpoint and credentials: the one for Go, and boto3. It is a module of its own,
// so that nobody who uses the project inherits them.
package awsclients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	"github.com/aws/smithy-go"
)

const (
	accessKey = "AKIDCHECKS"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region    = "eu-west-1"
)

// invocation is what a check asks of a client.
type invocation struct {
	Op        string `json:"op"` // invoke, first (line of a stream), stop or command
	Runtime   string `json:"runtime"`
	Session   string `json:"session,omitempty"`
	Qualifier string `json:"qualifier,omitempty"`
	Account   string `json:"account,omitempty"`
	Token     string `json:"token,omitempty"`
	Payload   string `json:"payload,omitempty"`
	Secret    string `json:"secret,omitempty"` // another than the right one
}

// outcome is what the client made of it.
type outcome struct {
	Code        int    `json:"code"`
	Session     string `json:"session"`
	ContentType string `json:"contentType"`
	Body        string `json:"body"`
	// Error is the name of the client's own exception, with what it knows.
	Error   string   `json:"error"`
	Message string   `json:"message"`
	Reason  string   `json:"reason"`
	Fields  []string `json:"fields"`
}

// client is one of AWS's.
type client interface {
	call(ctx context.Context, in invocation) (outcome, error)
}

// goClient is github.com/aws/aws-sdk-go-v2.
type goClient struct{ url string }

func (c goClient) sdk(in invocation) *bedrockagentcore.Client {
	secret := secretKey
	if in.Secret != "" {
		secret = in.Secret
	}
	return bedrockagentcore.New(bedrockagentcore.Options{
		BaseEndpoint: aws.String(c.url), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secret, ""),
	})
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// told writes down what an event says.
func told(chunk types.ResponseChunk) (s string) {
	if chunk.ContentStart != nil {
		s += "start;"
	}
	if delta := chunk.ContentDelta; delta != nil && delta.Stdout != nil {
		s += "stdout " + *delta.Stdout + ";"
	}
	if delta := chunk.ContentDelta; delta != nil && delta.Stderr != nil {
		s += "stderr " + *delta.Stderr + ";"
	}
	if stop := chunk.ContentStop; stop != nil {
		s += fmt.Sprintf("stop %d %s;", aws.ToInt32(stop.ExitCode), stop.Status)
	}
	return s
}

func (c goClient) call(ctx context.Context, in invocation) (out outcome, err error) {
	switch in.Op {
	case "invoke", "first":
		var answer *bedrockagentcore.InvokeAgentRuntimeOutput
		answer, err = c.sdk(in).InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{
			AgentRuntimeArn: &in.Runtime, RuntimeSessionId: optional(in.Session), Qualifier: optional(in.Qualifier), AccountId: optional(in.Account),
			Payload: []byte(in.Payload),
		})
		if err == nil {
			defer answer.Response.Close()
			out = outcome{Code: int(aws.ToInt32(answer.StatusCode)), Session: aws.ToString(answer.RuntimeSessionId), ContentType: aws.ToString(answer.ContentType)}
			if in.Op == "first" {
				out.Body, err = bufio.NewReader(answer.Response).ReadString('\n')
				return out, err
			}
			var raw []byte
			raw, err = io.ReadAll(answer.Response)
			out.Body = string(raw)
			return out, err
		}
	case "stop":
		var answer *bedrockagentcore.StopRuntimeSessionOutput
		answer, err = c.sdk(in).StopRuntimeSession(ctx, &bedrockagentcore.StopRuntimeSessionInput{
			AgentRuntimeArn: &in.Runtime, RuntimeSessionId: &in.Session, Qualifier: optional(in.Qualifier), ClientToken: optional(in.Token),
		})
		if err == nil {
			return outcome{Code: int(aws.ToInt32(answer.StatusCode)), Session: aws.ToString(answer.RuntimeSessionId)}, nil
		}
	case "command":
		var answer *bedrockagentcore.InvokeAgentRuntimeCommandOutput
		answer, err = c.sdk(in).InvokeAgentRuntimeCommand(ctx, &bedrockagentcore.InvokeAgentRuntimeCommandInput{
			AgentRuntimeArn: &in.Runtime, RuntimeSessionId: &in.Session, Body: &types.InvokeAgentRuntimeCommandRequestBody{Command: &in.Payload},
		})
		if err == nil {
			stream := answer.GetStream()
			defer stream.Close()
			for event := range stream.Events() {
				if chunk, ok := event.(*types.InvokeAgentRuntimeCommandStreamOutputMemberChunk); ok {
					out.Body += told(chunk.Value)
				}
			}
			return out, stream.Err()
		}
	default:
		return out, fmt.Errorf("no operation %q", in.Op)
	}
	if unknown, ok := errors.AsType[*smithy.GenericAPIError](err); ok {
		return outcome{Error: "untyped " + unknown.Code, Message: unknown.Message}, nil
	}
	if failed, ok := errors.AsType[smithy.APIError](err); ok {
		return outcome{Error: failed.ErrorCode(), Message: failed.ErrorMessage()}, nil
	}
	return out, err
}

// botoClient is boto3, in a Python of its own that reads invocations and writes
// outcomes, a line each.
type botoClient struct {
	mu    sync.Mutex
	in    io.WriteCloser
	out   *bufio.Scanner
	ended func() error
}

func startBoto(ctx context.Context, url string) (*botoClient, error) {
	python := os.Getenv("AGENTSESSION_PYTHON")
	if python == "" {
		return nil, errors.New("AGENTSESSION_PYTHON must be a Python with boto3: run make conformance")
	}
	command := exec.CommandContext(ctx, python, "boto.py", url, region, accessKey, secretKey)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 256<<20)
	return &botoClient{in: in, out: lines, ended: command.Wait}, nil
}

func (c *botoClient) stop() error {
	_ = c.in.Close() // it ends at the end of its input
	return c.ended()
}

func (c *botoClient) call(_ context.Context, in invocation) (out outcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	if _, err := c.in.Write(append(raw, '\n')); err != nil {
		return out, err
	}
	if !c.out.Scan() {
		return out, errors.Join(errors.New("boto.py ended"), c.out.Err())
	}
	return out, json.Unmarshal(c.out.Bytes(), &out)
}
