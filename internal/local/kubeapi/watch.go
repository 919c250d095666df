package kubeapi

import (
	"context"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
)

// bookmarkPeriod is how often a watch tells how far it is, as Kubernetes' own does.
const bookmarkPeriod = time.Minute

// watcher sends what happens to the objects of a view. It reads the table's log when
// there is something new, so that one that is slow costs nothing but itself: if what it
// has to read is no longer kept, it is told so, and ends.
type watcher struct {
	view      *view
	key       string
	opts      storage.ListOptions
	initial   []row
	at        uint64 // the revision up to which all was sent
	announces bool   // tells by a bookmark where what was there already ends
	results   chan watch.Event
	stop      context.CancelFunc
}

// Watch tells what changes after a revision; or, if that is 0 or none, what is there
// and what changes then.
func (v *view) Watch(ctx context.Context, key string, opts storage.ListOptions) (watch.Interface, error) {
	from, err := v.ParseResourceVersion(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	rows, now := v.list(key, opts.Recursive)
	if err := v.notBefore(opts.ResourceVersion, now); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{view: v, key: key, opts: opts, at: from, results: make(chan watch.Event, 100), stop: stop}
	switch asked := opts.SendInitialEvents; {
	case asked != nil && *asked, asked == nil && from == 0:
		w.initial, w.at, w.announces = rows, now, asked != nil && opts.Predicate.AllowWatchBookmarks
	case from == 0:
		w.at = now
	}
	go w.run(ctx)
	return w, nil
}

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.stop() }

func (w *watcher) run(ctx context.Context) {
	defer close(w.results)
	defer w.stop()
	for _, r := range w.initial {
		if !w.deliver(ctx, change{revision: r.revision, after: r.data}) {
			return
		}
	}
	w.initial = nil
	if w.announces && !w.bookmark(ctx, storage.AnnotateInitialEventsEndBookmark) {
		return
	}
	bookmarks := time.NewTicker(bookmarkPeriod)
	defer bookmarks.Stop()
	for {
		grown, ok := w.catchUp(ctx)
		if !ok {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-grown:
		case <-bookmarks.C:
			if w.opts.Predicate.AllowWatchBookmarks && !w.bookmark(ctx, func(runtime.Object) error { return nil }) {
				return
			}
		}
	}
}

// catchUp sends what is new, and returns what is closed when there is more.
func (w *watcher) catchUp(ctx context.Context) (grown <-chan struct{}, ok bool) {
	w.view.revisions.mu.Lock()
	changes, kept := w.view.log.after(w.at)
	grown, now := w.view.log.grown, w.view.revisions.last
	w.view.revisions.mu.Unlock()
	if !kept {
		return nil, w.fail(ctx, apierrors.NewResourceExpired("too old resource version: what happened since is no longer kept"))
	}
	for _, c := range changes {
		if covers(w.key, w.opts.Recursive, c.key) && !w.deliver(ctx, c) {
			return nil, false
		}
	}
	w.at = now
	return grown, true
}

func (w *watcher) send(ctx context.Context, event watch.Event) bool {
	select {
	case w.results <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

// fail sends an error, after which nothing comes.
func (w *watcher) fail(ctx context.Context, err error) bool {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		status = &apierrors.StatusError{ErrStatus: apierrors.NewGenericServerResponse(http.StatusInternalServerError, "watch", w.view.resource, "", err.Error(), 0, true).ErrStatus}
	}
	answer := status.Status()
	w.send(ctx, watch.Event{Type: watch.Error, Object: &answer})
	return false
}

// bookmark says how far the watch is.
func (w *watcher) bookmark(ctx context.Context, annotate func(runtime.Object) error) bool {
	object := w.view.newFunc()
	if err := w.view.UpdateObject(object, w.at); err != nil {
		return w.fail(ctx, err)
	}
	if err := annotate(object); err != nil {
		return w.fail(ctx, err)
	}
	return w.send(ctx, watch.Event{Type: watch.Bookmark, Object: object})
}

// deliver sends a change as those see it who watch only objects that match: one that begins
// to is new to them, one that ceases to is gone, as it was before.
func (w *watcher) deliver(ctx context.Context, c change) bool {
	before, err := w.matching(c.before, c.revision)
	if err != nil {
		return w.fail(ctx, err)
	}
	after, err := w.matching(c.after, c.revision)
	if err != nil {
		return w.fail(ctx, err)
	}
	switch {
	case before == nil && after == nil:
		return true
	case before == nil:
		return w.send(ctx, watch.Event{Type: watch.Added, Object: after})
	case after == nil:
		return w.send(ctx, watch.Event{Type: watch.Deleted, Object: before})
	}
	return w.send(ctx, watch.Event{Type: watch.Modified, Object: after})
}

func (w *watcher) matching(data []byte, revision uint64) (runtime.Object, error) {
	if data == nil {
		return nil, nil
	}
	object, err := w.view.decode(data, revision, w.view.newFunc())
	if err != nil {
		return nil, err
	}
	if !w.opts.Predicate.Empty() {
		if matches, err := w.opts.Predicate.Matches(object); err != nil || !matches {
			return nil, err
		}
	}
	return object, nil
}
