package watchers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// What a change was, as the payload says it.
const (
	changeCreated  = "created"
	changeContent  = "content"
	changeMetadata = "metadata"
	changeMissing  = "missing"
)

// fileWatcher remembers what its file was like at the last look.
type fileWatcher struct {
	spec *fileSpec
	path string // as expanded at the last look
	// last is the file at the last look; nil where it was not there, or was not looked at yet.
	last    *fileStamp
	looked  bool
	missing bool // and reported
}

func newFileWatcher(spec *fileSpec) *fileWatcher { return &fileWatcher{spec: spec} }

// Paths returns the file, so that a change is seen at once.
func (f *fileWatcher) Paths(look *Look) []string {
	path, err := look.Expand(f.spec.Path)
	if err != nil || path == "" || !filepath.IsAbs(look.absolute(path)) {
		return nil
	}
	return []string{look.absolute(path)}
}

// Check looks at the file, and in content mode mends it.
func (f *fileWatcher) Check(ctx context.Context, look *Look) Report {
	path, err := look.Expand(f.spec.Path)
	if err != nil {
		return f.failed(f.spec.Path.String(), fmt.Errorf("expanding path: %w", err))
	}
	if path != f.path {
		*f = fileWatcher{spec: f.spec, path: path}
	}
	tree, name, err := look.openTree(path)
	if err != nil {
		return f.failed(path, err)
	}
	defer tree.Close()
	if f.spec.manages() {
		return f.manage(ctx, look, tree, name)
	}
	return f.watch(ctx, look, tree, name)
}

func (f *fileWatcher) watch(ctx context.Context, look *Look, tree *fileTree, name string) Report {
	now, err := tree.stamp(ctx, name, f.last, look.At)
	switch {
	case isMissing(err):
		return f.gone(look)
	case err != nil:
		return f.failed(f.path, err)
	}
	change := f.compare(now)
	f.last, f.looked, f.missing = now, true, false
	return f.report(look, now, change)
}

// isMissing also counts a parent that is not there, or is a file by now.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// compare returns what has changed since the last look, "" for nothing.
func (f *fileWatcher) compare(now *fileStamp) string {
	switch {
	case !f.looked && f.spec.GatherInitialState:
		return ""
	case f.last == nil:
		return changeCreated
	default:
		return f.last.difference(now)
	}
}

// gone reports a disappearance once, whatever the initial state was to be.
func (f *fileWatcher) gone(look *Look) Report {
	known := f.missing
	f.last, f.looked, f.missing = nil, true, true
	report := Report{
		Outcome: outcomeMissing,
		Payload: map[string]any{"path": look.absolute(f.path), "change": changeMissing, "size": 0, "mode": "", "sha256": ""},
		Message: fmt.Sprintf("%s does not exist", f.path),
		State:   fileState(f.path, "error"),
	}
	if known {
		report.Outcome, report.Quiet = outcomeUnchanged, true
	}
	return report
}

func (f *fileWatcher) report(look *Look, now *fileStamp, change string) Report {
	report := Report{
		Outcome: outcomeChanged,
		Payload: map[string]any{
			"path": look.absolute(f.path), "change": change, "size": int(now.size),
			"mode": modeText(now.mode), "sha256": now.sha256,
		},
		Message: fmt.Sprintf("%s: %s", f.path, change),
		State:   fileState(f.path, outcomeChanged),
	}
	if change == "" {
		report.Outcome, report.Quiet = outcomeUnchanged, true
		report.Message = fmt.Sprintf("%s is unchanged", f.path)
		report.State = fileState(f.path, outcomeUnchanged)
	}
	return report
}

// failed reports a file that could not be looked at or written. What is known of it stays.
func (f *fileWatcher) failed(path string, err error) Report {
	report := Failed(err)
	report.Message, report.State = describeFileError(err), fileState(path, "error")
	return report
}

// describeFileError adds what to do to the errors that a person meets.
func describeFileError(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + "; give the agent's user the right to it, or run the agent as root"
	case errors.Is(err, fs.ErrNotExist):
		return err.Error() + "; make the folder first"
	default:
		return err.Error()
	}
}

// fileState is the file type's part of its state event.
func fileState(path, outcome string) map[string]any {
	return map[string]any{"path": path, "previous_outcome": outcome}
}

// absolute returns where a path of a manifest is.
func (l *Look) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.Directory, path)
}

// fileTree is where a path is looked up: the machine's directory, which nothing leaves, or the whole
// file system for an absolute path.
type fileTree struct{ root *os.Root }

var errNoDirectory = errors.New("the machine has no directory of its own: write an absolute path")

// openTree returns the tree that a path belongs to and its name there. The tree must be closed.
func (l *Look) openTree(path string) (*fileTree, string, error) {
	switch {
	case filepath.IsAbs(path):
		return &fileTree{}, filepath.Clean(path), nil
	case l.Directory == "":
		return nil, "", fmt.Errorf("finding %q: %w", path, errNoDirectory)
	case !filepath.IsLocal(path):
		return nil, "", fmt.Errorf("path %q leaves the machine's directory: write a path below it, or an absolute one", path)
	}
	root, err := os.OpenRoot(l.Directory)
	if err != nil {
		return nil, "", fmt.Errorf("opening the machine's directory: %w", err)
	}
	return &fileTree{root: root}, filepath.Clean(path), nil
}

// Close releases the tree.
func (t *fileTree) Close() {
	if t.root != nil {
		_ = t.root.Close() // opened for reading only
	}
}

// Stat follows links, inside the tree only.
func (t *fileTree) Stat(name string) (fs.FileInfo, error) {
	if t.root == nil {
		return os.Stat(name)
	}
	return t.root.Stat(name)
}

// open never waits for the other end of a pipe and never makes a terminal ours.
func (t *fileTree) open(name string) (*os.File, error) {
	const flags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY
	if t.root == nil {
		return os.OpenFile(name, flags, 0)
	}
	return t.root.OpenFile(name, flags, 0)
}

// folder opens the folder that holds name, in which renames take place.
func (t *fileTree) folder(name string) (*os.Root, error) {
	if t.root == nil {
		return os.OpenRoot(filepath.Dir(name))
	}
	return t.root.OpenRoot(filepath.Dir(name))
}
