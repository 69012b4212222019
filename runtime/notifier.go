package runtime

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// notifier turns changes of files into looks, one for the whole host. It watches the folders that the files are
// in, since files are replaced by renames; a change that it misses is found by the watcher's own interval.
type notifier struct {
	fs    *fsnotify.Watcher
	log   *slog.Logger
	ended sync.WaitGroup

	mu      sync.Mutex
	paths   map[string][]pathWatch
	folders map[string]int // watched folder -> paths in it
}

type pathWatch struct {
	unit  *unit
	watch *watch
}

func newNotifier(log *slog.Logger) (*notifier, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching paths: %w", err)
	}
	n := &notifier{fs: fs, log: log, paths: map[string][]pathWatch{}, folders: map[string]int{}}
	n.ended.Go(n.run)
	return n, nil
}

func (n *notifier) run() {
	for {
		select {
		case e, ok := <-n.fs.Events:
			if !ok {
				return
			}
			n.changed(e.Name)
		case err, ok := <-n.fs.Errors:
			if !ok {
				return
			}
			n.log.Warn("path_watch_failed", "error", err)
		}
	}
}

// changed pokes who watches the path, or the folder that it is in.
func (n *notifier) changed(path string) {
	n.mu.Lock()
	watches := append(append([]pathWatch(nil), n.paths[path]...), n.paths[filepath.Dir(path)]...)
	n.mu.Unlock()
	for _, w := range watches {
		if w.watch.poked.CompareAndSwap(false, true) {
			_ = w.unit.post(message{poke: w.watch}, false, 0)
		}
	}
}

// add asks for looks when the file or folder at path changes.
func (n *notifier) add(path string, u *unit, w *watch) error {
	path = filepath.Clean(path)
	folder := filepath.Dir(path)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.folders[folder] == 0 {
		if err := n.fs.Add(folder); err != nil {
			return fmt.Errorf("watching folder %s: %w", folder, err)
		}
	}
	n.folders[folder]++
	n.paths[path] = append(n.paths[path], pathWatch{u, w})
	return nil
}

// remove ends what add asked for.
func (n *notifier) remove(path string, w *watch) {
	path = filepath.Clean(path)
	folder := filepath.Dir(path)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, p := range n.paths[path] {
		if p.watch != w {
			continue
		}
		n.paths[path] = append(n.paths[path][:i], n.paths[path][i+1:]...)
		n.folders[folder]--
		break
	}
	if len(n.paths[path]) == 0 {
		delete(n.paths, path)
	}
	if n.folders[folder] <= 0 {
		delete(n.folders, folder)
		_ = n.fs.Remove(folder)
	}
}

func (n *notifier) close() error {
	err := n.fs.Close()
	n.ended.Wait()
	return err
}
