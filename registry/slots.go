package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

const (
	slotsFolder = ".slots"    // below the target
	asideFolder = ".replaced" // below the target: what stood where a pointer had to go
	leftover    = "."         // what is being made or removed in the slots' folder begins so
)

var (
	errSlotName   = errors.New("a payload's name begins with a letter or digit and has letters, digits, . _ and - only, at most 128 of them")
	errSlotDigest = errors.New("a payload's digest is a sha256 in lower-case hex")
	slotName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// Slots is a folder in which payloads are replaced as a whole: target/NAME is a link to target/.slots/NAME-DIGEST. Data that a machine
// writes is elsewhere. Any number of Slots and processes may use one target.
type Slots struct {
	Target string
	// Sync makes changes durable before they count; emulations in memory do without.
	Sync bool
	// crash, for fault injection only, is called between any two changes; plain does as on a file system that cannot exchange names.
	crash func(step string)
	plain bool
}

// Current is the folder that NAME points to, with the digest in its name; ok is false where there is none, or the pointer is not as Slots writes it.
func (s *Slots) Current(name string) (dir, digest string, ok bool) {
	if !slotName.MatchString(name) {
		return "", "", false
	}
	digest, ok = s.pointer(name)
	if !ok || !isFolder(s.slot(name, digest)) {
		return "", "", false
	}
	return s.slot(name, digest), digest, true
}

// pointer reads the link of a name.
func (s *Slots) pointer(name string) (digest string, ok bool) {
	to, err := os.Readlink(filepath.Join(s.Target, name))
	if err != nil {
		return "", false
	}
	digest, ok = strings.CutPrefix(to, slotsFolder+"/"+name+"-")
	return digest, ok && isDigest(digest)
}

// slot is where a payload is.
func (s *Slots) slot(name, digest string) string {
	return filepath.Join(s.Target, slotsFolder, name+"-"+digest)
}

// splitSlot reads the name of a slot's folder.
func splitSlot(folder string) (name, digest string, ok bool) {
	i := strings.LastIndexByte(folder, '-')
	if i < 0 {
		return "", "", false
	}
	name, digest = folder[:i], folder[i+1:]
	return name, digest, slotName.MatchString(name) && isDigest(digest)
}

// isFolder is false for a link to one.
func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// Prepared is the intact slot of a digest where there is one, so that nothing needs to be fetched to go back. verify may be nil.
func (s *Slots) Prepared(name, digest string, verify func(dir string) error) (dir string, ok bool) {
	if !slotName.MatchString(name) || !isDigest(digest) {
		return "", false
	}
	dir = s.slot(name, digest)
	if !isFolder(dir) || verify != nil && verify(dir) != nil {
		return "", false
	}
	return dir, true
}

// Remove removes the pointer and all slots of a name that Slots has made. What it did not make, it leaves.
func (s *Slots) Remove(name string) error {
	if !slotName.MatchString(name) {
		return fmt.Errorf("removing %q: %w", name, errSlotName)
	}
	if !isFolder(filepath.Join(s.Target, slotsFolder)) {
		return nil
	}
	return s.locked(func() error {
		if _, ok := s.pointer(name); ok {
			if err := os.Remove(filepath.Join(s.Target, name)); err != nil {
				return fmt.Errorf("removing %s: %w", name, err)
			}
			if err := s.sync(s.Target); err != nil {
				return err
			}
			s.at("unpointed")
		}
		return s.discard(func(n, _ string) bool { return n == name })
	})
}

// Names are the names that Slots has made, sorted.
func (s *Slots) Names() ([]string, error) {
	names := map[string]bool{}
	folders, err := os.ReadDir(filepath.Join(s.Target, slotsFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing payloads: %w", err)
	}
	for _, f := range folders {
		if name, _, ok := splitSlot(f.Name()); ok && f.IsDir() {
			names[name] = true
		}
	}
	links, err := os.ReadDir(s.Target)
	if err != nil {
		return nil, fmt.Errorf("listing payloads: %w", err)
	}
	for _, l := range links {
		if _, ok := s.pointer(l.Name()); ok {
			names[l.Name()] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Temporary makes a file in the target's file system that has no name, so that nothing is left of it whatever happens.
func (s *Slots) Temporary() (*os.File, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Join(s.Target, slotsFolder), leftover+"fetch-*")
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // an Install may be quicker
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// prepare makes the folders. The slots' is found through pointers only, so that nobody needs to list it.
func (s *Slots) prepare() error {
	if !filepath.IsAbs(s.Target) {
		return fmt.Errorf("the folder of payloads %q: its path must be absolute", s.Target)
	}
	if err := os.MkdirAll(s.Target, 0o755); err != nil {
		return fmt.Errorf("making the folder of payloads: %w", err)
	}
	err := os.Mkdir(filepath.Join(s.Target, slotsFolder), 0o711)
	if errors.Is(err, fs.ErrExist) && isFolder(filepath.Join(s.Target, slotsFolder)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making the folder of payloads: %w", err)
	}
	return s.sync(s.Target)
}

// locked runs f while no other Slots or process changes the target.
func (s *Slots) locked(f func() error) error {
	return lockedFolder(filepath.Join(s.Target, slotsFolder), f)
}

// lockedFolder runs f while nobody else does who locks the folder. A lock ends with its process.
func lockedFolder(dir string, f func() error) error {
	folder, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("locking payloads: %w", err)
	}
	defer folder.Close()
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("locking payloads: %w", err)
	}
	return f()
}

// exchange swaps two names in one step, where the system can.
func (s *Slots) exchange(a, b string) error {
	if s.plain {
		return errors.ErrUnsupported
	}
	return exchange(a, b)
}

func (s *Slots) at(step string) {
	if s.crash != nil {
		s.crash(step)
	}
}
