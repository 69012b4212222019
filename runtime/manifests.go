package runtime

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// keepManifests is how many texts a state folder keeps. The ones that were deployed longest ago are dropped.
const keepManifests = 1000

// manifests keeps the texts of the manifests that durable machines run, by digest, beside the log: a record is only evidence
// together with what decided it, and the host may be gone when somebody asks.
type manifests struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	known map[string]bool // digests that this process has kept or found intact
}

func manifestsDir(stateDir string) string { return filepath.Join(stateDir, "manifests") }

func manifestFile(dir, digest string) string { return filepath.Join(dir, digest+".yaml") }

func newManifests(stateDir string, now func() time.Time) *manifests {
	return &manifests{dir: manifestsDir(stateDir), now: now, known: map[string]bool{}}
}

// ReadManifest returns the text of a manifest that a durable machine ran on the host of a state folder, which may have
// ended. digest is that of its records. The error is fs.ErrNotExist where no copy is kept.
func ReadManifest(stateDir, digest string) ([]byte, error) {
	return readManifest(manifestsDir(stateDir), digest)
}

func readManifest(dir, digest string) ([]byte, error) {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return nil, fmt.Errorf("reading a kept manifest: %q is no digest: %w", digest, fs.ErrNotExist)
	}
	f, err := os.Open(manifestFile(dir, digest))
	if err != nil {
		return nil, fmt.Errorf("reading a kept manifest: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading a kept manifest: %w", err)
	}
	if machine.Digest(sha256.Sum256(text)).String() != digest {
		return nil, fmt.Errorf("reading a kept manifest: %s was changed", f.Name())
	}
	return text, nil
}

// keep stores a text once, and notes when it was wanted last. A copy that was damaged is replaced.
func (m *manifests) keep(digest string, text []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.intact(digest) && m.touch(digest) == nil {
		return nil
	}
	if err := m.write(digest, text); err != nil {
		return fmt.Errorf("keeping the manifest: %w", err)
	}
	if err := m.touch(digest); err != nil {
		return fmt.Errorf("keeping the manifest: %w", err)
	}
	m.known[digest] = true
	return m.drop(digest)
}

// intact reads a copy, once.
func (m *manifests) intact(digest string) bool {
	if !m.known[digest] {
		if _, err := readManifest(m.dir, digest); err != nil {
			return false
		}
		m.known[digest] = true
	}
	return true
}

func (m *manifests) touch(digest string) error {
	now := m.now()
	return os.Chtimes(manifestFile(m.dir, digest), now, now)
}

// write returns when the text would survive a loss of power.
func (m *manifests) write(digest string, text []byte) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(manifestFile(m.dir, digest), renameio.WithTempDir(m.dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncFolder(m.dir)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// drop removes the oldest texts above the limit, but not the newest, and what a process that was killed left half written.
func (m *manifests) drop(newest string) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("listing the kept manifests: %w", err)
	}
	var kept []fs.DirEntry
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "."):
			_ = os.Remove(filepath.Join(m.dir, e.Name()))
		case e.Name() != newest+".yaml":
			kept = append(kept, e)
		}
	}
	surplus := len(kept) + 1 - keepManifests
	if surplus <= 0 {
		return nil
	}
	for _, name := range oldest(kept, surplus) {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
			return fmt.Errorf("dropping a kept manifest: %w", err)
		}
		delete(m.known, strings.TrimSuffix(name, ".yaml"))
	}
	return nil
}

// oldest returns the names of the n files that were changed longest ago.
func oldest(entries []fs.DirEntry, n int) []string {
	at := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			at[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return cmp.Or(at[a.Name()].Compare(at[b.Name()]), strings.Compare(a.Name(), b.Name()))
	})
	var names []string
	for _, e := range entries[:n] {
		names = append(names, e.Name())
	}
	return names
}

// keepManifest stores what a durable machine is about to run. A disk that cannot take it is no reason not to run
// the machine: its history can still be exported with the manifest at hand.
func (h *Host) keepManifest(def *machine.Definition) {
	if h.manifests == nil || !def.Manifest.Durable {
		return
	}
	if err := h.manifests.keep(def.Manifest.Digest.String(), def.Manifest.Source); err != nil {
		h.log.Warn("manifest_not_kept", "machine", def.Manifest.Name, "error", err, "consequence", "exporting the history needs the manifest by name")
	}
}
