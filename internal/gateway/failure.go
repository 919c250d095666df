package gateway

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// failure is an answer that is an error, in AgentCore's shape: a type that the
// official clients map to an error of theirs, and a JSON body.
type failure struct {
	// Code is the HTTP status.
	Code int `json:"-"`
	// Type goes into the header x-amzn-ErrorType.
	Type string `json:"-"`
	// Challenge goes into the header WWW-Authenticate.
	Challenge string `json:"-"`
	// Allow goes into the header of that name.
	Allow string `json:"-"`
	// RetryAfter is when the same may be tried again; zero is nothing said.
	RetryAfter time.Duration `json:"-"`
	// Message is for people. It holds nothing that an agent wrote.
	Message string `json:"message"`
	// Reason and FieldList are those of a ValidationException.
	Reason    string  `json:"reason,omitempty"`
	FieldList []field `json:"fieldList,omitempty"`
}

const (
	internalError    = "InternalServerException"
	unknownOperation = "UnknownOperationException"
)

// When to try again is said in the two headers that clients read: Retry-After, and
// x-amz-retry-after, for which AWS's clients for JavaScript and Python wait instead of the
// hundredths of a second that they would. They wait for 5 s more than those at most, and
// try three times in all: 10 s, and with stopPatience at each try 19 s, which is more than
// the 15 s that a pod has to end whose volume the next one waits for. The clients for Go
// and Java do not try a 409 again.
const (
	retryConflict  = 5 * time.Second
	retryThrottled = time.Second
	retryAway      = 2 * time.Second
)

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

// told is an error that an answer has told its caller of.
type told struct{ error }

// field is one request member that broke a rule.
type field struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func (f *failure) Error() string { return f.Type + ": " + f.Message }

// The types of AgentCore's data plane, with their statuses.
func invalid(name, message string) *failure {
	return &failure{
		Code: http.StatusBadRequest, Type: "ValidationException", Message: message,
		Reason: "FieldValidationFailed", FieldList: []field{{name, message}},
	}
}

func unparsable(message string) *failure {
	return &failure{Code: http.StatusBadRequest, Type: "ValidationException", Message: message, Reason: "CannotParse"}
}

func denied(message string) *failure {
	return &failure{Code: http.StatusForbidden, Type: "AccessDeniedException", Message: message}
}

func unauthorized(message, challenge string) *failure {
	return &failure{Code: http.StatusUnauthorized, Type: "UnauthorizedException", Message: message, Challenge: challenge}
}

func notFound(message string) *failure {
	return &failure{Code: http.StatusNotFound, Type: "ResourceNotFoundException", Message: message}
}

// conflict is AgentCore's answer while a session starts or stops.
func conflict() *failure {
	return &failure{
		Code: http.StatusConflict, Type: "RetryableConflictException", RetryAfter: retryConflict,
		Message: "Session operation in progress, please retry",
	}
}

// quotaExceeded is the type of AgentCore's answer where no more may be started.
const quotaExceeded = "ServiceQuotaExceededException"

func overQuota(message string) *failure {
	return &failure{Code: http.StatusPaymentRequired, Type: quotaExceeded, Message: message}
}

// agentFailed is what a caller learns of an agent that answers an error. What it
// said is not for him.
func agentFailed(code int) *failure {
	return runtimeError(fmt.Sprintf("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", code))
}

func throttled(message string) *failure {
	return &failure{Code: http.StatusTooManyRequests, Type: "ThrottlingException", RetryAfter: retryThrottled, Message: message}
}

func runtimeError(message string) *failure {
	return &failure{Code: http.StatusFailedDependency, Type: "RuntimeClientError", Message: message}
}

// internal is what a caller learns of an error that is not meant for him: it is the
// gateway's, or the API server could not be asked, and may be soon.
func internal(err error, id string) *failure {
	_, unreached := errors.AsType[net.Error](err)
	if unreached || apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) {
		return away("The API server of the cluster cannot be asked at the moment, please retry; the request id is " + id)
	}
	return &failure{Code: http.StatusInternalServerError, Type: internalError, Message: "An internal error occurred; the request id is " + id}
}

// away is what a caller learns of who does not answer the gateway.
func away(message string) *failure {
	return &failure{Code: http.StatusServiceUnavailable, Type: internalError, RetryAfter: retryAway, Message: message}
}

// write sends f as it is told to its caller.
func (f *failure) write(w http.ResponseWriter, to reply) {
	w.Header().Set("Content-Type", to.kind)
	w.Header().Set("X-Amzn-ErrorType", f.Type)
	if f.Challenge != "" {
		w.Header().Set("WWW-Authenticate", f.Challenge)
	}
	if f.Allow != "" {
		w.Header().Set("Allow", f.Allow)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(f.RetryAfter.Seconds()), 'f', 0, 64))
		w.Header().Set("X-Amz-Retry-After", strconv.FormatInt(f.RetryAfter.Milliseconds(), 10))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(to.body))) // so that it is whole before the call is over
	w.WriteHeader(to.code)
	_, _ = w.Write(to.body) // the caller may have gone
}
