// Package lint tells what of AgentCore's container contract an agent breaks. Watch asks an
// agent for a while, and calls it if it may; Judge looks at what was seen, by rules that
// are pure functions of it. What could not be seen is said, and not guessed.
//
// How an answer to a ping is read is not decided here: that is the operator's
// lifecycle.Question and lifecycle.Pulse.
package lint
