package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	typedcoordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/agentsession/agentsession/internal/apiserver"
	"github.com/agentsession/agentsession/internal/lifecycle"
)

// lock is the lease, and remembers when its last other holder renewed it:
// until then somebody was asking the agents. Time after that is unknown time,
// which the rules take neither for idleness nor for failure. A holder whose process
// the API server knows to have ended is not waited for.
type lock struct {
	resourcelock.Interface
	pods        typedcorev1.PodInterface
	predecessor atomic.Pointer[time.Time]
	// patience is how long a lease is not renewed until its holder may have ended.
	patience time.Duration
	renewed  metav1.Time // as the lease says
	since    time.Time   // when that was seen first
}

func newLock(config *rest.Config, o options) (*lock, error) {
	identity, err := o.identity()
	if err != nil {
		return nil, fmt.Errorf("name the candidate for the lease: %w", err)
	}
	lease, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.leaderNamespace, apiserver.LeaseName(o.selector.String()),
		resourcelock.ResourceLockConfig{Identity: identity}, config, o.renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("make the lease: %w", err)
	}
	config = rest.CopyConfig(config)
	config.Timeout = o.renewDeadline / 2 // as the lease's own client
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make the client of the candidates' pods: %w", err)
	}
	return &lock{Interface: lease, pods: core.Pods(o.leaderNamespace), patience: 2 * o.retryPeriod}, nil
}

// identity is the name, the UID and a process of a pod of the lease's namespace, or a
// host and a process.
func (o *options) identity() (string, error) {
	process := string(uuid.NewUUID())
	if o.podName != "" && o.podUID != "" && o.podNamespace == o.leaderNamespace {
		return strings.Join([]string{o.podName, o.podUID, process}, "_"), nil
	}
	host, err := os.Hostname()
	return host + "_" + process, err
}

// Get reads the lease. One whose holder has ended is nobody's.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.predecessor.Store(&record.RenewTime.Time)
		if !record.RenewTime.Equal(&l.renewed) || l.since.IsZero() {
			l.renewed, l.since = record.RenewTime, time.Now()
		}
		if time.Since(l.since) >= l.patience && l.ended(ctx, record) {
			record.HolderIdentity = ""
		}
	}
	return record, raw, err
}

// ended tells whether the holder of the lease is a process of a pod that has ended, as
// far as the API server knows: of a node that is silent it does not. A pod that was
// forced out, or whose node's object was deleted, may still run: it renews the lease.
func (l *lock) ended(ctx context.Context, record *resourcelock.LeaderElectionRecord) bool {
	holder := strings.Split(record.HolderIdentity, "_")
	if len(holder) != 3 || len(holder[1]) != len(holder[2]) { // a host's name may have a _
		return false
	}
	pod, err := l.pods.Get(ctx, holder[0], metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true
	case err != nil:
		return false
	case string(pod.UID) != holder[1], pod.Status.Phase == corev1.PodFailed, pod.Status.Phase == corev1.PodSucceeded:
		return true
	}
	// What the kubelet says may be late: of an end before the lease was taken it is that
	// of a process before this one. Whichever of several containers is the operator's,
	// it is among all.
	running := slices.ContainsFunc(pod.Status.ContainerStatuses, func(status corev1.ContainerStatus) bool {
		last := cmp.Or(status.State.Terminated, status.LastTerminationState.Terminated)
		return last == nil || !last.FinishedAt.After(record.AcquireTime.Time)
	})
	return len(pod.Status.ContainerStatuses) > 0 && !running
}

// predecessorSeen is when another operator was last known alive; the zero time
// if there was none.
func (l *lock) predecessorSeen() time.Time {
	if t := l.predecessor.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// leaders tells of the operators with other selectors whether they lead. As candidates do,
// it takes a lease for held until it was not renewed for as long as it lasts: clocks differ.
type leaders struct {
	leases typedcoordinationv1.LeaseInterface
	// lasts is how long a lease lasts that says nothing of it, or cannot be read.
	lasts time.Duration

	mu    sync.Mutex
	known map[string]*foreign // by name
}

// foreign is another's lease as it was read last.
type foreign struct {
	held          bool
	lasts         time.Duration
	renewed       metav1.MicroTime
	since, readAt time.Time // since when it says the same, and when it was read
}

// Status says which leases are read: as many as anybody has operators, and not too often.
const (
	maxLeaders  = 100
	leaderReads = 2 * time.Second
)

func newLeaders(config *rest.Config, o options) (*leaders, error) {
	config = rest.CopyConfig(config)
	config.Timeout = leaderReads
	client, err := typedcoordinationv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make the client of other operators' leases: %w", err)
	}
	return &leaders{leases: client.Leases(o.leaderNamespace), lasts: o.leaseDuration, known: map[string]*foreign{}}, nil
}

// leader tells of the operators with a selector, as status names it.
func (l *leaders) leader(ctx context.Context, selector string) lifecycle.Leader {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, now := apiserver.LeaseName(selector), time.Now()
	lease := l.known[name]
	if lease == nil {
		if len(l.known) == maxLeaders {
			clear(l.known)
		}
		lease = newForeign(l.lasts, now)
		l.known[name] = lease
	}
	if now.Sub(lease.readAt) >= leaderReads {
		lease.readAt = now
		read, err := l.leases.Get(ctx, name, metav1.GetOptions{})
		lease.note(read, err, now)
	}
	return lease.leader(now)
}

func newForeign(lasts time.Duration, now time.Time) *foreign {
	return &foreign{held: true, lasts: lasts, since: now}
}

func (f *foreign) leader(now time.Time) lifecycle.Leader {
	if f.held && now.Sub(f.since) < f.lasts {
		return lifecycle.Leader{Leads: true}
	}
	return lifecycle.Leader{SeenAt: f.renewed.Time}
}

// note takes in what was read. One that cannot be read says what it said.
func (f *foreign) note(read *coordinationv1.Lease, err error, now time.Time) {
	switch {
	case apierrors.IsNotFound(err):
		f.held, f.renewed = false, metav1.MicroTime{}
	case err != nil:
	default:
		spec := &read.Spec
		f.held = spec.HolderIdentity != nil && *spec.HolderIdentity != ""
		if spec.LeaseDurationSeconds != nil {
			f.lasts = time.Duration(*spec.LeaseDurationSeconds) * time.Second
		}
		if spec.RenewTime != nil && !spec.RenewTime.Equal(&f.renewed) {
			f.renewed, f.since = *spec.RenewTime, now
		}
	}
}
