package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// check is a row of the table: something that is done to a fresh agent in
// either language, and what is seen.
type check struct {
	id   string // the check's number, with a letter for what is beside it
	name string
	mode string // of the agents; empty is "default"
	// observe plays the check on an agent and tells what it saw, without what
	// differs from one time to the next.
	observe func(ctx context.Context, s *subject) (string, error)
	// want is what is seen of the SDK for Python, and of ours unless ours is set.
	want string
	// ours is what is seen of our library where that is another thing, and why.
	ours, why string
}

// checks are the checks of the container contract, of tasks and pings, and what
// is beside them, in the order of their numbers.
func checks() []check {
	all := slices.Concat(contractChecks(), taskChecks(), edgeChecks())
	slices.SortFunc(all, func(a, b check) int {
		return cmp.Or(cmp.Compare(a.number(), b.number()), cmp.Compare(a.id, b.id))
	})
	return all
}

// number is that of the check to which a row belongs.
func (c check) number() int {
	n, _ := strconv.Atoi(strings.TrimRight(c.id, "abcdef"))
	return n
}

// seen is what a check saw of an agent, or why it could not.
type seen struct {
	text string
	err  error
}

func (s seen) String() string {
	if s.err != nil {
		return "error: " + s.err.Error()
	}
	return s.text
}

// result is a row with its verdict.
type result struct {
	check
	golang, python seen
	same           bool
	failure        string // empty if the row is as the table says
}

func (r result) verdict() string {
	switch {
	case r.failure != "":
		return "FAILED: " + r.failure
	case r.same:
		return "same"
	}
	return "differs: " + r.why
}

// judge holds what was seen against the table. A row passes if both subjects
// did what the table says of them, so neither can change unnoticed, not even
// both in the same way.
func judge(c check, golang, python seen) result {
	r := result{check: c, golang: golang, python: python, same: golang.text == python.text}
	ours := cmp.Or(c.ours, c.want)
	switch {
	case golang.err != nil || python.err != nil:
		r.failure = "not observed"
	case c.ours != "" && (c.ours == c.want || c.why == ""):
		r.failure = "the table lists a difference that is none, or has no reason"
	case r.same && c.ours != "":
		r.failure = "the table lists a difference, and there is none any more: " + c.why
	case !r.same && c.ours == "":
		r.failure = "differs, and the table has no reason for it"
	case golang.text != ours:
		r.failure = "the table says of Go: " + ours
	case python.text != c.want:
		r.failure = "the table says of Python: " + c.want
	}
	return r
}

// play makes a check of steps, one after the other, and what each answers:
//
//	ping        the status
//	warnings    how many warnings and errors the log has until now
//	METHOD path the whole answer
//	{...}       the answer to that order, which must be 200
func play(steps ...string) func(context.Context, *subject) (string, error) {
	return func(ctx context.Context, s *subject) (string, error) {
		var answers []string
		for _, step := range steps {
			answer, err := s.step(ctx, step)
			if err != nil {
				return "", fmt.Errorf("step %s: %w", step, err)
			}
			answers = append(answers, answer)
		}
		return strings.Join(answers, ", "), nil
	}
}

func (s *subject) step(ctx context.Context, step string) (string, error) {
	method, path, isRequest := strings.Cut(step, " /")
	switch {
	case step == "ping":
		p, err := s.ping(ctx)
		return p.Status, err
	case step == "warnings":
		return s.warnings(ctx)
	case isRequest && !strings.HasPrefix(step, "{"):
		a, err := s.do(ctx, method, "/"+path, "", nil)
		return a.String(), err
	}
	return s.order(ctx, step)
}

// warnings counts what the library has logged above the level of information.
func (s *subject) warnings(ctx context.Context) (string, error) {
	const mark = "until here"
	if _, err := s.order(ctx, `{"do":"log","text":"`+mark+`"}`); err != nil {
		return "", err
	}
	lines, err := s.log.upTo(ctx, mark)
	if err != nil {
		return "", err
	}
	count := 0
	for _, line := range lines {
		if level := strings.ToUpper(line.Level); level != "INFO" && level != "DEBUG" {
			count++
		}
	}
	return fmt.Sprintf("warnings: %d", count), nil
}

// posts makes a check of invocations with these bodies, and their answers.
func posts(bodies ...string) func(context.Context, *subject) (string, error) {
	return func(ctx context.Context, s *subject) (string, error) {
		var answers []string
		for _, body := range bodies {
			a, err := s.invoke(ctx, body)
			if err != nil {
				return "", err
			}
			answers = append(answers, a.String())
		}
		return strings.Join(answers, ", "), nil
	}
}
