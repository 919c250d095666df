package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
)

const (
	// rescanPeriod is how often it is looked whether another folder is in the place of one.
	rescanPeriod = time.Second
	// mostFolders are watched: each takes a watch of the kernel.
	mostFolders = 5000
	// mostNotes are told: the rest would say the same.
	mostNotes = 20
)

// code are the files of agents.
type code struct {
	watcher *fsnotify.Watcher
	clock   clock.WithTicker
	roots   []*root
	files   map[string]bool // that are watched alone
	not     map[string]bool // files that are no code, wherever they are
	written []os.FileInfo   // files that this tool writes to
	most    int             // folders
	notes   []string        // to be told
	noted   int             // so far
}

// root is a folder that is watched.
type root struct {
	path string
	deep bool        // with all that is below it
	info os.FileInfo // as it was found
	lost bool        // it was moved or removed
}

// watchCode watches files and folders, but for some files.
func watchCode(paths, not []string, now clock.WithTicker) (_ *code, err error) {
	c := &code{clock: now, files: map[string]bool{}, not: map[string]bool{}, most: mostFolders}
	for _, path := range not {
		if folder, err := realPath(filepath.Dir(path)); err == nil { // the file may come later
			c.not[filepath.Join(folder, filepath.Base(path))] = true
		}
	}
	if c.watcher, err = fsnotify.NewWatcher(); err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	for _, path := range paths {
		if err := c.addRoot(path); err != nil {
			return nil, errors.Join(fmt.Errorf("--watch is %s: %w", path, err), c.watcher.Close())
		}
	}
	return c, nil
}

// leaveOut has the file that this tool writes to be no code, whatever its name: each line about
// a change would be a change.
func (c *code) leaveOut(to io.Writer) {
	if file, is := to.(*os.File); is {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			c.written = append(c.written, info)
		}
	}
}

// isNone tells whether a file is no code, whatever its name.
func (c *code) isNone(path string) bool {
	return c.not[path] || slices.ContainsFunc(c.written, func(one os.FileInfo) bool {
		info, err := os.Stat(path)
		return err == nil && os.SameFile(info, one)
	})
}

// realPath is a path as the kernel tells it.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func (c *code) addRoot(path string) error {
	path, err := realPath(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	r := &root{path: path, deep: info.IsDir()}
	if !r.deep {
		c.files[path] = true
		r.path = filepath.Dir(path) // editors put another file in the place of one
	}
	if err := c.watch(r); err != nil {
		return err
	}
	c.roots = append(c.roots, r)
	return nil
}

// watch watches a root as it is now.
func (c *code) watch(r *root) (err error) {
	if r.info, err = os.Stat(r.path); err != nil {
		return err
	}
	if r.deep {
		return c.add(r.path)
	}
	return c.watcher.Add(r.path)
}

// add watches a folder and those below it; a file not. Those that cannot be watched are noted.
func (c *code) add(top string) error {
	w := &walk{code: c, top: top, watched: sync.OnceValue(func() sets.Set[string] { return sets.New(c.watcher.WatchList()...) })}
	err := filepath.WalkDir(top, w.visit)
	if w.unwatched > 0 {
		c.note("changes in %d of its folders make no version, since they cannot be watched: %v", w.unwatched, w.first)
	}
	return err
}

// walk is one through a folder.
type walk struct {
	*code
	top       string
	watched   func() sets.Set[string] // before it
	added     int
	unwatched int
	first     error // of those
}

func (w *walk) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return w.failed(path, err)
	}
	switch {
	case !entry.IsDir():
		return nil
	case path != w.top && isNoCode(entry.Name()):
		return fs.SkipDir
	case w.watched().Has(path): // its folder's walk found it before its own event came; it may have been made anew since
	case len(w.watched())+w.added >= w.most:
		return fmt.Errorf("there are more than %d folders: say the folders of the code alone", w.most)
	default:
		w.added++
	}
	if err := w.watcher.Add(path); err != nil {
		return w.failed(path, err)
	}
	return nil
}

// failed is an error if nothing can be watched any more.
func (w *walk) failed(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist): // it has gone meanwhile
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the system watches no more folders (on Linux fs.inotify.max_user_watches says how many): %w", err)
	case path == w.top:
		return err
	}
	if w.unwatched++; w.first == nil {
		w.first = err
	}
	return fs.SkipDir
}

// note notes what is to be told.
func (c *code) note(format string, args ...any) {
	if c.noted++; c.noted > mostNotes {
		return
	}
	c.notes = append(c.notes, "--watch: "+fmt.Sprintf(format, args...))
}

// run calls functions with what has changed, and with what is not watched, until ctx ends.
func (c *code) run(ctx context.Context, changed func(names []string) error, note func(string)) error {
	b := burst{clock: c.clock, timer: c.clock.NewTimer(quiet)}
	defer b.timer.Stop()
	b.timer.Stop()
	ticker := c.clock.NewTicker(rescanPeriod)
	defer ticker.Stop()
	for {
		for _, text := range c.notes {
			note(text)
		}
		c.notes = nil
		select {
		case <-ctx.Done():
			return nil
		case event := <-c.watcher.Events:
			b.add(c.taken(event))
		case err := <-c.watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch the code: %w", err)
			}
			b.add(c.overflown())
		case <-ticker.C():
			b.add(c.found())
		case <-b.timer.C():
			names := c.changedNames(ctx, b.changes)
			b.changes = nil
			if len(names) == 0 {
				continue
			}
			if err := changed(names); err != nil {
				return err
			}
		}
	}
}

// overflown is what has changed when the system told less than there was. Folders may be new.
func (c *code) overflown() []change {
	for _, r := range c.roots {
		r.lost = true
	}
	c.found()
	return []change{{name: "many files"}}
}

// found watches folders that are in the place of others, and returns them as changed.
func (c *code) found() (changes []change) {
	for _, r := range c.roots {
		info, err := os.Stat(r.path)
		if err != nil || !r.lost && os.SameFile(info, r.info) {
			continue
		}
		for _, path := range c.watcher.WatchList() {
			if path == r.path || r.deep && strings.HasPrefix(path, r.path+string(filepath.Separator)) {
				_ = c.watcher.Remove(path) // it may be of what was there before
			}
		}
		r.lost = false
		if err := c.watch(r); err != nil {
			c.note("%s has changed, and is not watched as a whole: %v", r.path, err)
		}
		changes = append(changes, change{name: filepath.Base(r.path)})
	}
	return changes
}

// taken is what has changed, and nothing if it is no code. A folder that is new is watched from
// then on.
func (c *code) taken(event fsnotify.Event) []change {
	if event.Op == fsnotify.Chmod || event.Op == 0 || c.isNone(event.Name) {
		return nil
	}
	if c.files[event.Name] {
		return []change{{name: filepath.Base(event.Name), path: event.Name}}
	}
	for _, r := range c.roots {
		if event.Name == r.path && event.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
			r.lost = true // what comes in its place is the change
			return nil
		}
		name, is := r.has(event.Name)
		if !is {
			continue
		}
		if event.Has(fsnotify.Create) {
			if err := c.add(event.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				c.note("%s is new, and is not watched as a whole: %v", event.Name, err)
			}
		}
		return []change{{name, event.Name, r}}
	}
	return nil
}

// has tells whether a file is code below a folder, and its name there.
func (r *root) has(path string) (name string, is bool) {
	name, err := filepath.Rel(r.path, path)
	return name, err == nil && r.deep && filepath.IsLocal(name) && !isNoCode(filepath.Base(path))
}

// changedNames returns the names of the changes that git does not ignore.
func (c *code) changedNames(ctx context.Context, changes []change) (names []string) {
	below := map[*root][]string{}
	for _, one := range changes {
		if one.in != nil {
			below[one.in] = append(below[one.in], one.path)
		}
	}
	ignored := map[*root]map[string]bool{}
	for r, paths := range below {
		ignored[r] = ignoredByGit(ctx, r.path, paths)
	}
	for _, one := range changes {
		if !ignored[one.in][one.path] && !slices.Contains(names, one.name) {
			names = append(names, one.name)
		}
	}
	return names
}
