package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
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
	// Message is for people. It holds nothing that an agent wrote.
	Message string `json:"message"`
	// Reason and FieldList are those of a ValidationException.
	Reason    string  `json:"reason,omitempty"`
	FieldList []field `json:"fieldList,omitempty"`
}

const internalError = "InternalServerException"

// typeOf is what a caller learns of an error.
func typeOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.Type
	}
	if errors.Is(err, errAborted) {
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
	return &failure{Code: http.StatusConflict, Type: "RetryableConflictException", Message: "Session operation in progress, please retry"}
}

// quotaExceeded is the type of AgentCore's answer where no more may be started.
const quotaExceeded = "ServiceQuotaExceededException"

// agentFailed is what a caller learns of an agent that answers an error. What it
// said is not for him.
func agentFailed(code int) *failure {
	return runtimeError(fmt.Sprintf("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", code))
}

func throttled(message string) *failure {
	return &failure{Code: http.StatusTooManyRequests, Type: "ThrottlingException", Message: message}
}

func runtimeError(message string) *failure {
	return &failure{Code: http.StatusFailedDependency, Type: "RuntimeClientError", Message: message}
}

// write sends f.
func (f *failure) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", f.Type)
	if f.Challenge != "" {
		w.Header().Set("WWW-Authenticate", f.Challenge)
	}
	body, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is made of texts
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // so that it is whole before the call is over
	w.WriteHeader(f.Code)
	_, _ = w.Write(body) // the caller may have gone
}
