package authn

// Kind is why a caller is refused.
type Kind int

const (
	// Denied is a caller who shows nothing that is known here, or may not what he asks.
	Denied Kind = iota + 1
	// Unauthorized is one whose token is missing or not good: he may get another.
	Unauthorized
	// InsufficientScope is one whose token is good, and lacks a scope.
	InsufficientScope
	// Throttled is one of too many: he may come again soon.
	Throttled
	// Unknown is one of whom nobody can tell who he is, as who knows it does not answer.
	// He may come again too.
	Unknown
)

// Error is what a caller is refused with.
type Error struct {
	Kind Kind
	// Message is for the caller. It holds nothing that others wrote.
	Message string
	// Cause is for the log. It may be nil.
	Cause error
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

func denied(message string) *Error { return &Error{Kind: Denied, Message: message} }

func unauthorized(message string, cause error) *Error {
	return &Error{Kind: Unauthorized, Message: message, Cause: cause}
}
