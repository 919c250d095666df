//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/local"
)

// parts are who holds what is allocated, by the packages on the way to it: the innermost
// that is known counts.
var parts = []struct {
	name     string
	packages []string
}{
	{"the API in memory", []string{"internal/local/kubeapi", "k8s.io/apiserver", "k8s.io/apiextensions-apiserver", "k8s.io/kube-openapi", "github.com/google/cel-go"}},
	{"the operator", []string{"agentsession/controllers", "internal/prober", "sigs.k8s.io/controller-runtime"}},
	{"the gateway", []string{"internal/gateway"}},
	{"the page", []string{"internal/dashboard"}},
	{"clients and their caches", []string{"k8s.io/client-go"}},
}

const (
	atStart = "packages, before main"
	others  = "all else"
)

func keys(m map[string]float64) iter.Seq[string] { return maps.Keys(m) }

// lookInside runs the platform in this process until it is ready, and writes how many MiB of
// live heap each part holds.
func lookInside(ctx context.Context) error {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	out, to := io.Pipe()
	ended := make(chan error, 1)
	agent := local.RuntimeOf(corev1.Container{Name: "agent", Command: []string{"sleep", "1000"}}, nil, v1alpha1.ProtocolHTTP, nil)
	go func() {
		err := local.Run(ctx, local.Options{Runtimes: []local.Runtime{agent}, TimeScale: 1, Out: to, Err: os.Stderr, JSON: true, Headless: true, Log: logr.Discard()})
		_ = to.CloseWithError(io.EOF)
		ended <- err
	}()
	first := make([]byte, 64<<10)
	n, err := out.Read(first)
	if err != nil || !bytes.Contains(first[:n], []byte(`"ready"`)) {
		return fmt.Errorf("the platform is not ready: %q, %w", first[:n], err)
	}
	time.Sleep(settles)
	runtime.GC()
	runtime.GC() // what the first one found is in the profile after the second
	held, err := json.Marshal(heldByPart())
	if err != nil {
		return fmt.Errorf("write what the heap holds: %w", err)
	}
	fmt.Println(string(held))
	stop()
	return <-ended
}

func heldByPart() map[string]float64 {
	n, _ := runtime.MemProfile(nil, false)
	records := make([]runtime.MemProfileRecord, n+1000)
	n, _ = runtime.MemProfile(records, false)
	held := map[string]uint64{}
	for i := range records[:n] {
		held[partOf(records[i].Stack())] += uint64(records[i].InUseBytes())
	}
	rounded := map[string]float64{}
	for name, size := range held {
		rounded[name] = mib(size)
	}
	return rounded
}

func partOf(stack []uintptr) string {
	found := ""
	for frames := runtime.CallersFrames(stack); ; {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "runtime.doInit") {
			return atStart
		}
		for _, part := range parts {
			for _, name := range part.packages {
				if found == "" && strings.Contains(frame.Function, name) {
					found = part.name
				}
			}
		}
		if !more {
			break
		}
	}
	if found == "" {
		return others
	}
	return found
}
