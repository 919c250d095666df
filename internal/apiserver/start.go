package apiserver

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
)

// Start runs a manager until ctx is done, also if that is before its caches are there:
// then the manager itself would never end (kubernetes-sigs/controller-runtime#3440).
func Start(ctx context.Context, mgr ctrl.Manager) error {
	ended, synced := make(chan error, 1), make(chan bool, 1)
	go func() { ended <- mgr.Start(ctx) }()
	go func() { synced <- mgr.GetCache().WaitForCacheSync(ctx) }()
	select {
	case err := <-ended:
		return err
	case there := <-synced:
		if !there {
			return nil
		}
	}
	return <-ended
}
