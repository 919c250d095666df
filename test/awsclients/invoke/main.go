// Command invoke calls an agent once, with AWS's SDK for Go as everybody uses it:
// who calls what is in AWS's environment variables.
//
//	invoke RUNTIME-ARN SESSION-ID PAYLOAD
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("invoke wants a runtime's ARN, a session id and a payload, and got %d arguments", len(args))
	}
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	answer, err := bedrockagentcore.NewFromConfig(settings).InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &args[0], RuntimeSessionId: &args[1], Payload: []byte(args[2]),
	})
	if err != nil {
		return err
	}
	defer answer.Response.Close() //nolint:errcheck // it is only read
	_, err = io.Copy(os.Stdout, answer.Response)
	return err
}
