package main

import "errors"

// notLooked is lint's exit status when there is no result, or no whole one.
const notLooked = 2

// exitError is an error with an exit status of its own.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// statusOf is the exit status for an error: 1, as kubectl's, unless it has its own.
func statusOf(err error) int {
	if own := (*exitError)(nil); errors.As(err, &own) {
		return own.status
	}
	return 1
}
