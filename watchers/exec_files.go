package watchers

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// execPaths are the files that a command reads, "" where the machine has no folder for them.
type execPaths struct{ data, facts string }

// execFiles keeps the files of a watcher as its commands should see them. A file is written when its content has
// changed, beside and then renamed, so that a command that runs meanwhile goes on with what it opened.
type execFiles struct {
	data, facts written
	document    *Facts // that facts holds
}

type written struct {
	path string
	sum  [sha256.Size]byte
}

func (f *execFiles) write(look *Look, confine *sandbox.Confinement, run *execRun) (execPaths, error) {
	if look.Scratch == "" {
		return execPaths{}, nil
	}
	data, err := json.Marshal(openData(look))
	if err != nil {
		return execPaths{}, err
	}
	if confine != nil && confine.As != nil {
		return run.writeFor(confine.As, data, look.Facts.JSON())
	}
	name := fileName(look.Watcher)
	paths := execPaths{
		data:  filepath.Join(look.Scratch, name+"-data.json"),
		facts: filepath.Join(look.Scratch, name+"-facts.json"),
	}
	if err := f.data.write(paths.data, data); err != nil {
		return execPaths{}, err
	}
	if f.document == look.Facts && f.facts.stands(paths.facts) {
		return paths, nil
	}
	f.document = look.Facts
	return paths, f.facts.write(paths.facts, look.Facts.JSON())
}

// openData is what a command finds of the machine's data in a file: all but its secrets, which belong into its input.
func openData(look *Look) map[string]any {
	if look.Data == nil {
		return map[string]any{}
	}
	if len(look.Secrets) == 0 {
		return look.Data
	}
	data := maps.Clone(look.Data)
	for _, key := range look.Secrets {
		delete(data, key)
	}
	return data
}

func (w *written) write(path string, content []byte) error {
	sum := sha256.Sum256(content)
	if w.sum == sum && w.stands(path) {
		return nil
	}
	beside := path + ".new"
	if err := os.WriteFile(beside, content, 0o600); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	w.path, w.sum = path, sum
	return nil
}

func (w *written) stands(path string) bool {
	if w.path != path {
		return false
	}
	_, err := os.Lstat(path)
	return err == nil
}

// writeFor makes files that one other user may read. They cannot be in the machine's own folder, into which
// that user has no way, and live as long as the run.
func (r *execRun) writeFor(who *sandbox.Identity, data, facts []byte) (execPaths, error) {
	folder, err := os.MkdirTemp("", "statecraft-run-")
	if err != nil {
		return execPaths{}, err
	}
	r.folder = folder
	paths := execPaths{data: filepath.Join(folder, "data.json"), facts: filepath.Join(folder, "facts.json")}
	err = os.Chmod(folder, 0o711)
	for path, content := range map[string][]byte{paths.data: data, paths.facts: facts} {
		if err == nil {
			err = give(path, content, who)
		}
	}
	if err != nil {
		_ = os.RemoveAll(folder)
		return execPaths{}, err
	}
	return paths, nil
}

func give(path string, content []byte, who *sandbox.Identity) error {
	if err := os.WriteFile(path, content, 0o400); err != nil {
		return err
	}
	return os.Chown(path, int(who.UID), int(who.GID))
}

// fileName makes a watcher's name one that is a file's, and no other watcher's.
func fileName(watcher string) string {
	plain := !strings.ContainsFunc(watcher, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if plain && watcher != "" && len(watcher) <= 64 {
		return watcher
	}
	return fmt.Sprintf("+%x", sha256.Sum256([]byte(watcher)))
}
