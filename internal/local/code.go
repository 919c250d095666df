package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/utils/clock"
)

const (
	// quiet is how long nothing must change until what has changed is taken: editors and
	// compilers write several files, and each more than once.
	quiet = 300 * time.Millisecond
	// longest is how long that is waited for: an agent may write without a pause.
	longest = 3 * time.Second
	// mostFolders are watched: each takes a watch of the kernel.
	mostFolders = 5000
)

// code are the files of agents.
type code struct {
	watcher *fsnotify.Watcher
	clock   clock.Clock
	folders []string        // with all that is below them
	files   map[string]bool // alone
	not     map[string]bool // files that are no code, wherever they are
	watched int
}

// watchCode watches files and folders, but for some files.
func watchCode(paths, not []string, now clock.Clock) (_ *code, err error) {
	c := &code{clock: now, files: map[string]bool{}, not: map[string]bool{}}
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
	before := c.watched
	if err := c.add(path); err != nil {
		return err
	}
	if c.watched > before {
		c.folders = append(c.folders, path)
		return nil
	}
	c.files[path] = true
	return c.watcher.Add(filepath.Dir(path)) // editors put another file in the place of one
}

// add watches a folder and those below it; a file not.
func (c *code) add(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has gone meanwhile
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != root && isNoCode(entry.Name()):
			return fs.SkipDir
		}
		if c.watched++; c.watched > mostFolders {
			return fmt.Errorf("it has more than %d folders: say the folders of the code alone", mostFolders)
		}
		return c.watcher.Add(path)
	})
}

// run calls a function with what has changed, until ctx ends.
func (c *code) run(ctx context.Context, changed func(names []string) error) error {
	var names []string
	var last time.Time // when they are taken at the latest
	timer := c.clock.NewTimer(quiet)
	defer timer.Stop()
	timer.Stop()
	for {
		var name string
		select {
		case <-ctx.Done():
			return nil
		case event := <-c.watcher.Events:
			name = c.taken(event)
		case err := <-c.watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch the code: %w", err)
			}
			name = "many files" // more than the kernel tells of
		case <-timer.C():
			if err := changed(names); err != nil {
				return err
			}
			names = nil
		}
		if name == "" {
			continue
		}
		if len(names) == 0 {
			last = c.clock.Now().Add(longest)
		}
		if !slices.Contains(names, name) && len(names) < mostFolders {
			names = append(names, name)
		}
		timer.Reset(min(quiet, last.Sub(c.clock.Now())))
	}
}

// taken is the name of what has changed, and empty if it is no code. A folder that is new is
// watched from then on.
func (c *code) taken(event fsnotify.Event) string {
	if event.Op == fsnotify.Chmod || event.Op == 0 || c.not[event.Name] {
		return ""
	}
	if c.files[event.Name] {
		return filepath.Base(event.Name)
	}
	for _, folder := range c.folders {
		name, err := filepath.Rel(folder, event.Name)
		if err != nil || name == ".." || strings.HasPrefix(name, ".."+string(filepath.Separator)) || isNoCode(filepath.Base(event.Name)) {
			continue
		}
		if event.Has(fsnotify.Create) {
			_ = c.add(event.Name) // it may have gone, or be one too many
		}
		return name
	}
	return ""
}

// isNoCode tells whether a file or folder with a name is what tools keep beside the code, or
// an editor's while it writes.
func isNoCode(name string) bool {
	switch name {
	case "node_modules", "__pycache__", "4913": // the last is Vim's
		return true
	case ".env":
		return false
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") {
		return true
	}
	return slices.ContainsFunc([]string{"~", ".pyc", ".tmp", ".swp", "___jb_tmp___", "___jb_old___"}, func(end string) bool { return strings.HasSuffix(name, end) })
}
