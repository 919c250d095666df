package agentruntime

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic of an entrypoint or a task, made an error.
type PanicError struct {
	// Value is what panic was called with.
	Value any
	// Stack is the stack of the goroutine, as debug.Stack has it.
	Stack []byte
}

// Error names the value; the stack is for the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// recoverAs is deferred. It turns a panic into an error.
func recoverAs(err *error) {
	if value := recover(); value != nil {
		*err = &PanicError{Value: value, Stack: debug.Stack()}
	}
}
