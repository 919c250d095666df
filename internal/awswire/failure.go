package awswire

import (
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Failure is an answer that is an error, in AgentCore's shape: a type that the
// official clients map to an error of theirs, and a JSON body.
type Failure struct {
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
	FieldList []Field `json:"fieldList,omitempty"`
}

// Field is one request member that broke a rule.
type Field struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// Types that more than one place knows.
const (
	InternalError    = "InternalServerException"
	UnknownOperation = "UnknownOperationException"
	// QuotaExceeded is AgentCore's where no more may be started or made.
	QuotaExceeded = "ServiceQuotaExceededException"
)

// When to try again is said in the two headers that clients read: Retry-After, and
// x-amz-retry-after, for which AWS's clients for JavaScript and Python wait instead of the
// hundredths of a second that they would. They wait for 5 s more than those at most.
const (
	retryThrottled = time.Second
	retryAway      = 2 * time.Second
)

// Invalid is a request with a member that breaks a rule.
func Invalid(name, message string) *Failure {
	return &Failure{
		Code: http.StatusBadRequest, Type: "ValidationException", Message: message,
		Reason: "FieldValidationFailed", FieldList: []Field{{name, message}},
	}
}

// Unparsable is a request that cannot be read.
func Unparsable(message string) *Failure {
	return &Failure{Code: http.StatusBadRequest, Type: "ValidationException", Message: message, Reason: "CannotParse"}
}

// Denied is a caller who may not do what he asks.
func Denied(message string) *Failure {
	return &Failure{Code: http.StatusForbidden, Type: "AccessDeniedException", Message: message}
}

// Unauthorized is a caller whose token is missing or not good.
func Unauthorized(message, challenge string) *Failure {
	return &Failure{Code: http.StatusUnauthorized, Type: "UnauthorizedException", Message: message, Challenge: challenge}
}

// NotFound is something that is not there, for this caller.
func NotFound(message string) *Failure {
	return &Failure{Code: http.StatusNotFound, Type: "ResourceNotFoundException", Message: message}
}

// Throttled is a request of too many.
func Throttled(message string) *Failure {
	return &Failure{Code: http.StatusTooManyRequests, Type: "ThrottlingException", RetryAfter: retryThrottled, Message: message}
}

// OverQuota is a request for one more than there may be.
func OverQuota(message string) *Failure {
	return &Failure{Code: http.StatusPaymentRequired, Type: QuotaExceeded, Message: message}
}

// Internal is what a caller learns of an error that is not meant for him: it is the
// gateway's, or the API server could not be asked, and may be soon.
func Internal(err error, id string) *Failure {
	if unanswered(err) {
		return Away("The API server of the cluster cannot be asked at the moment, please retry; the request id is " + id)
	}
	return &Failure{Code: http.StatusInternalServerError, Type: InternalError, Message: "An internal error occurred; the request id is " + id}
}

// unanswered tells of an API server that was not reached, or is too busy, or answers that it, or
// what stands before or behind it (a load balancer, a webhook, etcd), has failed.
func unanswered(err error) bool {
	if _, unreached := errors.AsType[net.Error](err); unreached {
		return true
	}
	answer, is := errors.AsType[*apierrors.StatusError](err)
	return is && (answer.ErrStatus.Code >= http.StatusInternalServerError || answer.ErrStatus.Code == http.StatusTooManyRequests)
}

// Away is what a caller learns of who does not answer the gateway.
func Away(message string) *Failure {
	return &Failure{Code: http.StatusServiceUnavailable, Type: InternalError, RetryAfter: retryAway, Message: message}
}

// Write sends f with a status, a content type and a body, which are its own unless a
// protocol has others.
func (f *Failure) Write(w http.ResponseWriter, code int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
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
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // so that it is whole before the call is over
	w.WriteHeader(code)
	_, _ = w.Write(body) // the caller may have gone
}
