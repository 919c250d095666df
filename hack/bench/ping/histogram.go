//go:build linux

package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	histogramBits  = 6 // of a value: a bucket is 1.6 % wide at most
	histogramSteps = 1 << histogramBits
	histogramTop   = 34 // bits of the largest value: four hours
)

// histogram counts durations, in microseconds. Its size is fixed and small, so
// that the memory of a measured process is its own.
type histogram struct {
	buckets [(histogramTop - histogramBits + 1) * histogramSteps]atomic.Int64
	count   atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	h.count.Add(1)
}

func (h *histogram) reset() {
	for i := range h.buckets {
		h.buckets[i].Store(0)
	}
	h.count.Store(0)
}

// milliseconds is the value that a part of all, such as 0.99, do not exceed.
func (h *histogram) milliseconds(part float64) float64 {
	left := int64(part * float64(h.count.Load()))
	for i := range h.buckets {
		if left -= h.buckets[i].Load(); left < 0 {
			return round(float64(lowest(i+1)-1) / 1e3)
		}
	}
	return 0
}

// bucketOf is exact below histogramSteps, and keeps the first histogramBits
// bits after the leading one from there on.
func bucketOf(d time.Duration) int {
	value := min(uint64(max(d.Microseconds(), 0)), 1<<histogramTop-1)
	shift := max(bits.Len64(value)-histogramBits-1, 0)
	return shift<<histogramBits + int(value>>shift)
}

// lowest is the smallest value of a bucket.
func lowest(bucket int) uint64 {
	shift := max(bucket>>histogramBits-1, 0)
	return uint64(bucket-shift<<histogramBits) << shift
}
