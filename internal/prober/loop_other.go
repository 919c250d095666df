//go:build !linux

package prober

func newLoop(p *Prober) asker { return newGoroutines(p, HTTPPinger{}) }
