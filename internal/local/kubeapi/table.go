package kubeapi

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
)

// most is how many objects of one resource there may be.
const most = 10_000

// row is an object as it is stored.
type row struct {
	revision uint64
	data     []byte
}

// table holds the objects of one resource. Several stores may share it, each with a
// codec of its own.
type table struct {
	resource  schema.GroupResource
	revisions *revisions
	// rolling has the oldest objects go where there are too many, in place of a refusal.
	rolling   bool
	collector *collector

	rows map[string]row
	log  log
}

func newTable(resource schema.GroupResource, r *revisions, c *collector) *table {
	return &table{resource: resource, revisions: r, collector: c, rows: map[string]row{}, log: log{grown: make(chan struct{})}}
}

// get returns what is stored under a key, and the revision of the store.
func (t *table) get(key string) (row, uint64, bool) {
	t.revisions.mu.Lock()
	defer t.revisions.mu.Unlock()
	found, ok := t.rows[key]
	return found, t.revisions.last, ok
}

// put stores an object in the place of what has a revision, 0 if nothing is there. It
// returns false if something else is.
func (t *table) put(key string, was uint64, data []byte) (uint64, bool, error) {
	t.revisions.mu.Lock()
	defer t.revisions.mu.Unlock()
	old := t.rows[key]
	if old.revision != was {
		return 0, false, nil
	}
	if was == 0 && len(t.rows) >= most {
		if !t.rolling {
			return 0, false, apierrors.NewTooManyRequestsError(fmt.Sprintf("there are %d %s, and no more are kept in memory: delete some", most, t.resource))
		}
		t.removeOldest()
	}
	t.revisions.last++
	t.rows[key] = row{t.revisions.last, data}
	t.log.append(change{key, t.revisions.last, old.data, data})
	t.collector.wrote(t.resource, old.data, data)
	return t.revisions.last, true, nil
}

func (t *table) removeOldest() {
	oldest, found := "", row{revision: t.revisions.last + 1}
	for key, r := range t.rows {
		if r.revision < found.revision {
			oldest, found = key, r
		}
	}
	t.drop(oldest, found)
}

// remove deletes what has a revision. It returns false if something else is there.
func (t *table) remove(key string, was uint64) (uint64, bool) {
	t.revisions.mu.Lock()
	defer t.revisions.mu.Unlock()
	old, ok := t.rows[key]
	if !ok || old.revision != was {
		return 0, false
	}
	t.drop(key, old)
	return t.revisions.last, true
}

func (t *table) drop(key string, old row) {
	t.revisions.last++
	delete(t.rows, key)
	t.log.append(change{key, t.revisions.last, old.data, nil})
	t.collector.wrote(t.resource, old.data, nil)
}

// list returns what is stored under a prefix, in the order of the keys, or under one
// key, and the revision of the store.
func (t *table) list(key string, recursive bool) ([]row, uint64) {
	t.revisions.mu.Lock()
	defer t.revisions.mu.Unlock()
	var rows []row
	for _, k := range slices.Sorted(maps.Keys(t.rows)) {
		if covers(key, recursive, k) {
			rows = append(rows, t.rows[k])
		}
	}
	return rows, t.revisions.last
}

// covers tells whether a request for a key, or recursively for all below it, is for
// another.
func covers(key string, recursive bool, other string) bool {
	if !recursive {
		return key == other
	}
	return strings.HasPrefix(other, strings.TrimSuffix(key, "/")+"/")
}

// view is a table by a codec: what the generic registry of Kubernetes stores in.
type view struct {
	*table
	codec   runtime.Codec
	newFunc func() runtime.Object
	storage.APIObjectVersioner
}

var _ storage.Interface = &view{}

// Versioner implements storage.Interface, as do the methods that follow.
func (v *view) Versioner() storage.Versioner { return v.APIObjectVersioner }

func (v *view) decode(data []byte, revision uint64, into runtime.Object) (runtime.Object, error) {
	object, _, err := v.codec.Decode(data, nil, into)
	if err != nil {
		return nil, fmt.Errorf("decode what is stored: %w", err)
	}
	return object, v.UpdateObject(object, revision)
}

// decodeInto decodes to an object of the caller's.
func (v *view) decodeInto(data []byte, revision uint64, into runtime.Object) error {
	object, err := v.decode(data, revision, into)
	if err == nil && object != into {
		return fmt.Errorf("decode what is stored: it is a %T and no %T", object, into)
	}
	return err
}

func (v *view) encode(object runtime.Object) ([]byte, error) {
	if err := v.PrepareObjectForStorage(object); err != nil {
		return nil, fmt.Errorf("prepare the object: %w", err)
	}
	return runtime.Encode(v.codec, object)
}

// Create stores a new object. It lasts, whatever its time to live: the table is bounded.
func (v *view) Create(_ context.Context, key string, object, out runtime.Object, _ uint64) error {
	if version, err := v.ObjectResourceVersion(object); err == nil && version != 0 {
		return storage.ErrResourceVersionSetOnCreate
	}
	data, err := v.encode(object)
	if err != nil {
		return err
	}
	revision, ok, err := v.put(key, 0, data)
	switch {
	case err != nil:
		return err
	case !ok:
		return storage.NewKeyExistsError(key, 0)
	case out == nil:
		return nil
	}
	return v.decodeInto(data, revision, out)
}

// Get reads an object.
func (v *view) Get(_ context.Context, key string, opts storage.GetOptions, into runtime.Object) error {
	found, now, ok := v.get(key)
	if err := v.notBefore(opts.ResourceVersion, now); err != nil {
		return err
	}
	switch {
	case ok:
		return v.decodeInto(found.data, found.revision, into)
	case opts.IgnoreNotFound:
		return runtime.SetZeroValue(into)
	}
	return storage.NewKeyNotFoundError(key, 0)
}

// notBefore refuses to read a state that is still to come: of a server that ended.
func (v *view) notBefore(version string, now uint64) error {
	revision, err := v.ParseResourceVersion(version)
	if err == nil && revision > now {
		return storage.NewTooLargeResourceVersionError(revision, now, 0)
	}
	return err
}

// GetList reads the objects that match. A limit is not kept: all come at once.
func (v *view) GetList(_ context.Context, key string, opts storage.ListOptions, list runtime.Object) error {
	rows, now := v.list(key, opts.Recursive)
	if err := v.notBefore(opts.ResourceVersion, now); err != nil {
		return err
	}
	if opts.Predicate.Continue != "" || opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact && opts.ResourceVersion != fmt.Sprint(now) {
		return apierrors.NewResourceExpired("this server lists the newest state only, and at once")
	}
	items, err := meta.GetItemsPtr(list)
	if err != nil {
		return fmt.Errorf("find the items of a %T: %w", list, err)
	}
	into := reflect.ValueOf(items).Elem()
	into.Set(reflect.MakeSlice(into.Type(), 0, len(rows)))
	for _, r := range rows {
		object, err := v.decode(r.data, r.revision, v.newFunc())
		if err != nil {
			return err
		}
		if matches, err := opts.Predicate.Matches(object); err != nil || !matches {
			if err != nil {
				return err
			}
			continue
		}
		into.Set(reflect.Append(into, reflect.ValueOf(object).Elem()))
	}
	return v.UpdateList(list, now, "", nil)
}

// current reads an object that is to be changed.
func (v *view) current(key string, ignoreNotFound bool) (row, runtime.Object, error) {
	found, _, ok := v.get(key)
	object := v.newFunc()
	switch {
	case ok:
		return found, object, v.decodeInto(found.data, found.revision, object)
	case ignoreNotFound:
		return row{}, object, nil
	}
	return row{}, nil, storage.NewKeyNotFoundError(key, 0)
}

// GuaranteedUpdate changes an object, however often others do so meanwhile. What changes
// nothing is no write.
func (v *view) GuaranteedUpdate(ctx context.Context, key string, into runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, update storage.UpdateFunc, _ runtime.Object,
) error {
	for ctx.Err() == nil {
		found, object, err := v.current(key, ignoreNotFound)
		if err != nil {
			return err
		}
		if err := preconditions.Check(key, object); err != nil {
			return err
		}
		next, _, err := update(object, storage.ResponseMeta{ResourceVersion: found.revision})
		if err != nil {
			return err
		}
		data, err := v.encode(next)
		if err != nil {
			return err
		}
		if bytes.Equal(data, found.data) {
			return v.decodeInto(data, found.revision, into)
		}
		revision, won, err := v.put(key, found.revision, data)
		if err != nil {
			return err
		}
		if won {
			return v.decodeInto(data, revision, into)
		}
	}
	return ctx.Err()
}

// Delete deletes an object as it is when it is looked at.
func (v *view) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, _ runtime.Object, _ storage.DeleteOptions,
) error {
	for ctx.Err() == nil {
		found, object, err := v.current(key, false)
		if err != nil {
			return err
		}
		if err := preconditions.Check(key, object); err != nil {
			return err
		}
		if err := validate(ctx, object); err != nil {
			return err
		}
		if revision, won := v.remove(key, found.revision); won {
			return v.decodeInto(found.data, revision, out)
		}
	}
	return ctx.Err()
}

// GetCurrentResourceVersion is the revision of the last write to any resource.
func (v *view) GetCurrentResourceVersion(context.Context) (uint64, error) {
	v.revisions.mu.Lock()
	defer v.revisions.mu.Unlock()
	return v.revisions.last, nil
}

// Stats says how many objects there are.
func (v *view) Stats(context.Context) (storage.Stats, error) {
	v.revisions.mu.Lock()
	defer v.revisions.mu.Unlock()
	return storage.Stats{ObjectCount: int64(len(v.rows))}, nil
}

// ReadinessCheck says that memory is there.
func (v *view) ReadinessCheck() error { return nil }

// RequestWatchProgress does nothing: watches have all that is written at once.
func (v *view) RequestWatchProgress(context.Context) error { return nil }

// EnableResourceSizeEstimation does nothing: nobody asks for it here.
func (v *view) EnableResourceSizeEstimation(storage.KeysFunc) error { return nil }

// CompactRevision is 0: nobody compacts.
func (v *view) CompactRevision() int64 { return 0 }
