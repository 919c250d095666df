// Package awsclients calls a gateway with AWS's own clients, nothing changed but
// endpoint and credentials: those for Go, JavaScript and Java, and boto3. It is a module of
// its own, so that nobody who uses the project inherits them.
package awsclients

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	"github.com/aws/smithy-go"
)

const region = "eu-west-1"

// door is where a client calls, and what it signs with.
type door struct{ url, accessKey, secretKey string }

// installPatience is for a registry that does not answer.
const installPatience = 5 * time.Minute

// invocation is what a check asks of a client.
type invocation struct {
	Op        string `json:"op"`              // invoke, first (line of a stream), stopped (after that), stop, command or control
	Times     int    `json:"times,omitempty"` // at once
	Runtime   string `json:"runtime"`
	Session   string `json:"session,omitempty"`
	Qualifier string `json:"qualifier,omitempty"`
	Account   string `json:"account,omitempty"`
	Token     string `json:"token,omitempty"`
	Payload   string `json:"payload,omitempty"`
	Secret    string `json:"secret,omitempty"` // another than the right one
	Once      bool   `json:"once,omitempty"`   // is not tried again
	// Operation of the control plane, and its members by their names in the model.
	Operation string         `json:"operation,omitempty"`
	Members   map[string]any `json:"members,omitempty"`
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
	// Answer of the control plane. Go's client writes its names with capitals.
	Answer json.RawMessage `json:"answer"`
}

// client is one of AWS's.
type client interface {
	call(ctx context.Context, in invocation) (outcome, error)
}

// goClient is github.com/aws/aws-sdk-go-v2.
type goClient struct{ door }

func (c goClient) sdk(in invocation) *bedrockagentcore.Client {
	secret := c.secretKey
	if in.Secret != "" {
		secret = in.Secret
	}
	return bedrockagentcore.New(bedrockagentcore.Options{
		BaseEndpoint: aws.String(c.url), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(c.accessKey, secret, ""),
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
	outcomes, errs := make([]outcome, max(in.Times, 1)), make([]error, max(in.Times, 1))
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i], errs[i] = c.callOnce(ctx, in) })
	}
	all.Wait()
	for _, one := range outcomes {
		if one.Error != "" {
			return one, nil
		}
	}
	return outcomes[0], errors.Join(errs...)
}

func (c goClient) callOnce(ctx context.Context, in invocation) (out outcome, err error) {
	switch in.Op {
	case "invoke", "first", "stopped":
		var answer *bedrockagentcore.InvokeAgentRuntimeOutput
		answer, err = c.sdk(in).InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{
			AgentRuntimeArn: &in.Runtime, RuntimeSessionId: optional(in.Session), Qualifier: optional(in.Qualifier), AccountId: optional(in.Account),
			Payload: []byte(in.Payload),
		})
		if err == nil {
			defer answer.Response.Close()
			out = outcome{Code: int(aws.ToInt32(answer.StatusCode)), Session: aws.ToString(answer.RuntimeSessionId), ContentType: aws.ToString(answer.ContentType)}
			body := bufio.NewReader(answer.Response)
			if in.Op != "invoke" {
				out.Body, err = body.ReadString('\n')
			}
			if in.Op == "stopped" {
				_, err = c.sdk(in).StopRuntimeSession(ctx, &bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: &in.Runtime, RuntimeSessionId: &in.Session})
			}
			if in.Op != "first" && err == nil {
				var raw []byte
				if raw, err = io.ReadAll(body); err != nil {
					return outcome{Error: err.Error(), Message: "in the body"}, nil
				}
				out.Body += string(raw)
			}
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
	case "control":
		if out, err = c.control(ctx, in); err == nil {
			return out, nil
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

// piped is a client in a process of its own, which reads invocations and writes
// outcomes, a line each.
type piped struct {
	name  string
	mu    sync.Mutex
	in    io.WriteCloser
	out   *bufio.Scanner
	ended func() error
}

func startBoto(ctx context.Context, at door) (*piped, error) {
	python := os.Getenv("AGENTSESSION_PYTHON")
	if python == "" {
		return nil, errors.New("AGENTSESSION_PYTHON must be a Python with boto3: run make conformance")
	}
	return start("boto3", at, exec.CommandContext(ctx, python, "boto.py"))
}

func startJavaScript(ctx context.Context, at door) (*piped, error) {
	made, err := install(ctx, "javascript", []string{"package.json", "package-lock.json"}, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	if err != nil {
		return nil, fmt.Errorf("AWS's client for JavaScript (Node 20 or later and npm are needed): %w", err)
	}
	command := exec.CommandContext(ctx, "node", "javascript/client.js")
	command.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(made, "node_modules"))
	return start("JavaScript", at, command)
}

// startJava runs a source file, for which a JDK is needed.
func startJava(ctx context.Context, at door) (*piped, error) {
	out, err := exec.CommandContext(ctx, "javac", "--release", "11", "-version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("AWS's client for Java (a JDK 11 or later and Maven are needed): %w: %s", err, out)
	}
	made, err := install(ctx, "java", []string{"pom.xml"}, "mvn", "-B", "-q", "-C", "dependency:copy-dependencies")
	if err != nil {
		return nil, fmt.Errorf("AWS's client for Java (a JDK 11 or later and Maven are needed): %w", err)
	}
	// 2 GiB: an invocation of 100 MB is held several times over.
	return start("Java", at, exec.CommandContext(ctx, "java", "-Xmx2g", "-cp", filepath.Join(made, "lib", "*"), "java/Client.java"))
}

// installing has one client be installed at a time: tests that want the same one wait.
var installing sync.Mutex

// install is where a command has put what a client's files ask for: beside the other
// caches, once. It works in a directory of its own, which gets its name when all is there.
func install(ctx context.Context, client string, files []string, command ...string) (made string, err error) {
	installing.Lock()
	defer installing.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "agentsession", "awsclients")
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	asked := sha256.New()
	fmt.Fprintln(asked, command)
	for _, name := range files {
		raw, err := os.ReadFile(filepath.Join(client, name))
		if err != nil {
			return "", err
		}
		asked.Write(raw)
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			return "", err
		}
	}
	made = filepath.Join(parent, fmt.Sprintf("%x", asked.Sum(nil))[:16])
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		return made, err
	}
	ctx, cancel := context.WithTimeout(ctx, installPatience)
	defer cancel()
	tool := exec.CommandContext(ctx, command[0], command[1:]...)
	tool.Dir, tool.WaitDelay = dir, 10*time.Second // what it started may outlive it
	if out, err := tool.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), errors.Join(err, ctx.Err()), out)
	}
	return made, os.Rename(dir, made)
}

func start(name string, at door, command *exec.Cmd) (*piped, error) {
	command.Args = append(command.Args, at.url, region, at.accessKey, at.secretKey)
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
	return &piped{name: name, in: in, out: lines, ended: command.Wait}, nil
}

func (c *piped) stop() error {
	_ = c.in.Close() // it ends at the end of its input
	return c.ended()
}

func (c *piped) call(_ context.Context, in invocation) (out outcome, err error) {
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
		return out, errors.Join(errors.New("the client "+c.name+" ended"), c.out.Err())
	}
	return out, json.Unmarshal(c.out.Bytes(), &out)
}
