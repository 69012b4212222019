package machine

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// MaxFile is how many bytes a file that is read with a manifest may have (1 MiB).
const MaxFile = 1 << 20

// Files reads a file of a manifest's folder by its path relative to that folder, and no file outside of it. The error is fs.ErrNotExist
// where there is none. A file of more than MaxFile bytes is an error.
type Files func(name string) ([]byte, error)

// Text is a manifest as it was read, with what lies beside it.
type Text struct {
	File   string // for findings
	Source []byte // is kept and must not change
	// Files reads what lies beside the manifest. Nil is for a manifest whose folder is not at hand, as in a trace: its files are not checked
	// then, and its watchers that need one fail.
	Files Files
}

// BesideText is what was read of a file beside a manifest.
type BesideText struct {
	Text []byte
	Err  error // why it could not be read
}

// readBeside reads the files that the watchers' types read with the manifest, each once.
func (m *Manifest) readBeside(files Files, cat Catalogue) {
	if files == nil {
		return
	}
	read := map[string]BesideText{}
	for i := range m.Watchers {
		w := &m.Watchers[i]
		t, known := findType(w, cat)
		if !known || t.Reads == nil {
			continue
		}
		w.Beside = read
		for _, name := range t.Reads(w) {
			if _, twice := read[name]; twice || name == "" || filepath.IsAbs(name) || EscapesDirectory(name) {
				continue
			}
			text, err := files(name)
			if err == nil && len(text) > MaxFile {
				text, err = nil, fmt.Errorf("%s holds more than %d bytes", name, MaxFile)
			}
			read[name] = BesideText{Text: text, Err: err}
		}
	}
}

// File is a file that was read with a manifest.
type File struct {
	Name   string // relative to the manifest's folder
	Digest Digest
}

// Files are those that were read with the manifest, by name. They make the machine as the manifest does.
func (d *Definition) Files() []File { return d.files }

func filesRead(m *Manifest) (all []File) {
	seen := map[string]bool{}
	for i := range m.Watchers {
		for name, b := range m.Watchers[i].Beside {
			if b.Err == nil && !seen[name] {
				seen[name] = true
				all = append(all, File{Name: name, Digest: sha256.Sum256(b.Text)})
			}
		}
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return all
}
