package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const leaseName = "agentsession-operator"

// lock is the lease, and remembers when its last other holder renewed it:
// until then somebody was asking the agents. Time after that is unknown time,
// which the rules take neither for idleness nor for failure.
type lock struct {
	resourcelock.Interface
	predecessor atomic.Pointer[time.Time]
}

func newLock(config *rest.Config, o options) (*lock, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name the candidate for the lease: %w", err)
	}
	lease, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.leaderNamespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}, config, o.renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("make the lease: %w", err)
	}
	return &lock{Interface: lease}, nil
}

// Get reads the lease.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.predecessor.Store(&record.RenewTime.Time)
	}
	return record, raw, err
}

// predecessorSeen is when another operator was last known alive; the zero time
// if there was none.
func (l *lock) predecessorSeen() time.Time {
	if t := l.predecessor.Load(); t != nil {
		return *t
	}
	return time.Time{}
}
