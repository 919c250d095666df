package controllers

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// How long it takes until what could not be done is tried again: the first time, and at
// most. controller-runtime's own default is 1,000 s at most: after an API server was
// away for 20 minutes, a stop could come 16 minutes late.
const (
	// conflictRetry is for a session of which somebody else wrote the status first: by
	// then the cache has the other's write.
	conflictRetry, conflictMost = 50 * time.Millisecond, 5 * time.Second
	// errorRetry is for the API server and what is between it and us.
	errorRetry, errorMost = 5 * time.Millisecond, 15 * time.Second
	// refusedRetry is for what is refused until somebody changes something: a quota, a
	// policy, a template. There may be thousands.
	refusedRetry, refusedMost = time.Second, 5 * time.Minute
	// placeRetry is for a start while as many are being made as may be.
	placeRetry, placeMost = 5 * time.Millisecond, time.Second
)

type limiter = workqueue.TypedRateLimiter[reconcile.Request]

func newLimiter(first, most time.Duration) limiter {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](first, most)
}

// retries are the sessions that could not be written, or not be started: since that was
// refused, or since it failed, or for want of a place. For any other error the queue's own
// limiter counts.
type retries struct{ conflicts, refusals, failures, places limiter }

func newRetries() retries {
	return retries{
		newLimiter(conflictRetry, conflictMost), newLimiter(refusedRetry, refusedMost),
		newLimiter(errorRetry, errorMost), newLimiter(placeRetry, placeMost),
	}
}

func (r retries) forget(req reconcile.Request) {
	r.conflicts.Forget(req)
	r.started(req)
}

func (r retries) started(req reconcile.Request) {
	r.refusals.Forget(req)
	r.failures.Forget(req)
	r.places.Forget(req)
}

// result is what follows from what could not be done.
func (r retries) result(req reconcile.Request, usual ctrl.Result, err, startErr error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: r.conflicts.When(req)}, nil
	}
	r.conflicts.Forget(req)
	if startErr == nil {
		r.started(req)
	}
	switch {
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err) // deleted meanwhile
	case startErr == nil:
		return usual, nil
	}
	again := r.failures
	if refusalOf(startErr) != nil {
		again = r.refusals
	}
	after := again.When(req)
	if usual.RequeueAfter > 0 {
		after = min(after, usual.RequeueAfter)
	}
	return ctrl.Result{RequeueAfter: after}, nil
}
