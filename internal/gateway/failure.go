package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/agentsession/agentsession/internal/awswire"
)

// failure is an answer that is an error, in AgentCore's shape.
type failure = awswire.Failure

const (
	internalError    = awswire.InternalError
	unknownOperation = awswire.UnknownOperation
	quotaExceeded    = awswire.QuotaExceeded
)

// retryConflict is when a call may be tried again that met a session which starts or stops.
// Clients of AWS try three times in all: 10 s, and with stopPatience at each try 19 s, which
// is more than the 15 s that a pod has to end whose volume the next one waits for. The
// clients for Go and Java do not try a 409 again.
const retryConflict = 5 * time.Second

// typeOf is what a caller learns of an error.
func typeOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.Type
	}
	if errors.Is(err, errAborted) || errors.Is(err, errHungUp) {
		return "Aborted"
	}
	return internalError
}

// answeredError is an error that an answer has told its caller of.
type answeredError struct{ error }

// The types of AgentCore's data plane that its other plane has too.
var (
	invalid      = awswire.Invalid
	unparsable   = awswire.Unparsable
	denied       = awswire.Denied
	unauthorized = awswire.Unauthorized
	notFound     = awswire.NotFound
	overQuota    = awswire.OverQuota
	throttled    = awswire.Throttled
	internal     = awswire.Internal
	away         = awswire.Away
)

// conflict is AgentCore's answer while a session starts or stops.
func conflict() *failure {
	return &failure{
		Code: http.StatusConflict, Type: "RetryableConflictException", RetryAfter: retryConflict,
		Message: "Session operation in progress, please retry",
	}
}

// agentFailed is what a caller learns of an agent that answers an error. What it
// said is not for him.
func agentFailed(code int) *failure {
	return runtimeError(fmt.Sprintf("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", code))
}

func runtimeError(message string) *failure {
	return &failure{Code: http.StatusFailedDependency, Type: "RuntimeClientError", Message: message}
}
