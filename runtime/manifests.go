package runtime

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// keepManifests is how many texts a state folder keeps of versions that no machine runs any more. Those that were deployed longest ago
// are dropped, some at a time.
const (
	keepManifests = 1000
	dropManifests = 100
)

// keepLanes is how many texts are written at once: file systems sync several files in little more than the time of one.
const keepLanes = 128

// manifests keeps the texts of the manifests that durable machines run, by digest, beside the log: a record is only evidence
// together with what decided it, and the host may be gone when somebody asks.
type manifests struct {
	dir  string
	now  func() time.Time
	runs func() map[string]bool // the digests of what runs, of which no text is dropped

	hangs atomic.Bool // the disk has not answered for a while

	mu    sync.Mutex
	known map[string]bool      // digests that this process has kept or found intact
	used  map[string]time.Time // the files of the folder and when they were wanted last, nil before it was listed
}

func manifestsDir(stateDir string) string { return filepath.Join(stateDir, "manifests") }

func manifestFile(dir, digest string) string { return filepath.Join(dir, digest+".yaml") }

func newManifests(stateDir string, now func() time.Time, runs func() map[string]bool) *manifests {
	return &manifests{dir: manifestsDir(stateDir), now: now, runs: runs, known: map[string]bool{}}
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
	f, err := statefile.Open(manifestFile(dir, digest), os.O_RDONLY, 0)
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

// keepWithin is how long a disk may take to keep manifests before machines run without; as long as the journal waits for it.
const keepWithin = 5 * time.Second

// keep stores texts by their digests, each once, and notes when they were wanted last. A copy that was damaged is replaced. It returns
// when the texts would survive a loss of power, or with an error where the disk does not answer: what it was told goes on then, and until
// that has ended every further text fails at once.
func (m *manifests) keep(texts map[string][]byte) error {
	if m.hangs.Load() {
		return errDiskHangs
	}
	kept := make(chan error, 1)
	go func() {
		kept <- m.keepAll(texts)
		m.hangs.Store(false)
	}()
	patience := time.NewTimer(keepWithin)
	defer patience.Stop()
	select {
	case err := <-kept:
		return err
	case <-patience.C:
		m.hangs.Store(true)
	}
	select {
	case err := <-kept: // just now, so that nobody would take the mark away
		m.hangs.Store(false)
		return err
	default:
		return errDiskHangs
	}
}

var errDiskHangs = errors.New("keeping manifests: the disk does not answer")

func (m *manifests) keepAll(texts map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	missing := map[string][]byte{}
	for digest, text := range texts {
		if !m.intact(digest) || m.touch(digest) != nil {
			missing[digest] = text
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := errors.Join(m.writeAll(missing), m.drop(texts)); err != nil {
		return fmt.Errorf("keeping manifests: %w", err)
	}
	return nil
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
	if err := os.Chtimes(manifestFile(m.dir, digest), now, now); err != nil {
		return err
	}
	if m.used != nil {
		m.used[digest+".yaml"] = now
	}
	return nil
}

// writeAll writes texts beside each other and makes their names durable together.
func (m *manifests) writeAll(texts map[string][]byte) error {
	if err := m.list(); err != nil {
		return err
	}
	lanes, errs := make(chan struct{}, keepLanes), make(chan error, len(texts))
	for digest, text := range texts {
		lanes <- struct{}{}
		go func() {
			errs <- m.write(digest, text)
			<-lanes
		}()
	}
	var failed error
	for range texts {
		failed = cmp.Or(failed, <-errs) // the others have failed in the same way
	}
	if failed == nil {
		failed = statefile.SyncDir(m.dir)
	}
	if failed != nil {
		return failed
	}
	for digest := range texts {
		if err := m.touch(digest); err != nil {
			return err
		}
		m.known[digest] = true
	}
	return nil
}

// write replaces the file of a text, whose name is durable when the folder has been synced.
func (m *manifests) write(digest string, text []byte) error {
	f, err := renameio.NewPendingFile(manifestFile(m.dir, digest), renameio.WithTempDir(m.dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// list reads the folder, once, and removes what a process that was killed left half written.
func (m *manifests) list() error {
	if m.used != nil {
		return nil
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("listing the kept manifests: %w", err)
	}
	m.used = map[string]time.Time{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			_ = os.Remove(filepath.Join(m.dir, e.Name()))
		} else if info, err := e.Info(); err == nil {
			m.used[e.Name()] = info.ModTime()
		}
	}
	return nil
}

// tidy drops what nothing runs any more, unless the disk is busy with keeping texts.
func (m *manifests) tidy() error {
	if !m.mu.TryLock() {
		return nil
	}
	defer m.mu.Unlock()
	return m.drop(nil)
}

// drop removes the oldest texts above the limit of those that nothing runs, nor is about to.
func (m *manifests) drop(wanted map[string][]byte) error {
	if len(m.used) <= keepManifests+dropManifests {
		return nil
	}
	runs := m.runs()
	idle := slices.DeleteFunc(slices.Collect(maps.Keys(m.used)), func(name string) bool {
		digest := strings.TrimSuffix(name, ".yaml")
		_, soon := wanted[digest]
		return soon || runs[digest]
	})
	if len(idle) <= keepManifests+dropManifests {
		return nil
	}
	slices.SortFunc(idle, func(a, b string) int { return cmp.Or(m.used[a].Compare(m.used[b]), strings.Compare(a, b)) })
	for _, name := range idle[:len(idle)-keepManifests] {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dropping a kept manifest: %w", err)
		}
		delete(m.used, name)
		delete(m.known, strings.TrimSuffix(name, ".yaml"))
	}
	return nil
}

// tidyManifests makes room of the texts of versions that machines have just stopped to run.
func (h *Host) tidyManifests() {
	if h.manifests == nil {
		return
	}
	if err := h.manifests.tidy(); err != nil {
		h.log.Warn("manifests_not_dropped", "error", err)
	}
}

// keepManifest stores what durable machines are about to run, of several together in little more time than of one. A disk that cannot
// take it is no reason not to run the machines: their history can still be exported with the manifests at hand.
func (h *Host) keepManifest(defs ...*machine.Definition) {
	texts := map[string][]byte{}
	var names []string
	for _, def := range defs {
		if m := def.Manifest; h.manifests != nil && m.Durable {
			texts[m.Digest.String()] = m.Source
			names = append(names, m.Name)
		}
	}
	if len(texts) == 0 {
		return
	}
	if err := h.manifests.keep(texts); err != nil {
		h.log.Warn("manifest_not_kept", "machine", names[0], "others", len(names)-1, "error", err,
			"consequence", "exporting the history needs the manifest by name")
	}
}
