package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// remembered is what was accepted, without it: the version of the newest trust root, and the serials of lists. It is kept apart from them, so that a
// file that is damaged does not take back with it what is refused for being older. Its file is the SHA-256 of the rest in hexadecimal
// digits, a line end, and JSON; it is written before what it tells of.
type remembered struct {
	Root     uint64                `json:"root"`
	Channels map[string]seenSerial `json:"channels"`
}

// seenSerial is the last serial of a channel, and the version of the root under which it was accepted.
type seenSerial struct {
	Serial uint64 `json:"serial"`
	Under  uint64 `json:"under"`
}

const seenName = "seen"

var errSeen = errors.New("it does not have its checksum")

// readSeen reads the file. What cannot be read is put aside.
func (s *Store) readSeen() error {
	s.seen = remembered{Channels: map[string]seenSerial{}}
	text, err := s.disk.Read(filepath.Join(s.dir, seenName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		sum, content, _ := bytes.Cut(text, []byte("\n"))
		want := sha256.Sum256(content)
		read := remembered{}
		if err = errSeen; string(sum) == hex.EncodeToString(want[:]) {
			err = json.Unmarshal(content, &read) // with what a later release has added
		}
		if err == nil && read.Channels != nil {
			s.seen = read
		}
		if err != nil {
			return s.putAside(seenName, err)
		}
		return nil
	}
	if errors.Is(err, statefile.ErrNotRegular) {
		return s.putAside(seenName, err)
	}
	return err
}

// noteSeen writes what is about to be accepted, before it is. It never goes back.
func (s *Store) noteSeen(root uint64, channel string, at seenSerial) error {
	if s.dir == "" {
		return nil
	}
	next := remembered{Root: max(root, s.seen.Root), Channels: maps.Clone(s.seen.Channels)}
	if channel != "" {
		next.Channels[channel] = at
	}
	if next.Root == s.seen.Root && maps.Equal(next.Channels, s.seen.Channels) {
		return nil
	}
	content, err := json.Marshal(next)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	if err := s.replace(seenName, append(hex.AppendEncode(nil, sum[:]), append([]byte("\n"), content...)...)); err != nil {
		return err
	}
	s.seen = next
	return nil
}

// survey reads all lists that there are, so that what is wrong with them is known from the beginning, and notes what is newer than what was
// noted: the folder is of a release that did not. A disk that is read-only keeps nobody from starting.
func (s *Store) survey() error {
	var older error
	if root := s.root(); root != nil {
		older = s.noteSeen(root.Version, "", seenSerial{})
	}
	s.judgeRoots()
	if s.later == nil && len(s.roots) == 0 && s.seen.Root == 0 {
		if err := s.judgeForgotten(); err != nil {
			return err
		}
	}
	names, err := s.list(fmt.Sprintf(specName, "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		channel := channelOf(name)
		if CheckChannel(channel) != nil {
			continue
		}
		last, err := s.lastOf(channel)
		if err != nil {
			return err
		}
		if last.serial > s.seen.Channels[channel].Serial {
			older = errors.Join(older, s.noteSeen(0, channel, seenSerial{Serial: last.serial, Under: last.under}))
		}
	}
	if older != nil {
		s.faults.set(seenName, "%s cannot be written, so that damage may have what was accepted be forgotten: %v", seenName, older)
	}
	return s.judgeDamaged()
}

// judgeDamaged says which lists were damaged, now or before an earlier start, and are not there again.
func (s *Store) judgeDamaged() error {
	names, err := s.list(fmt.Sprintf(specName, "*") + damagedName)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, damagedName)
		channel := channelOf(name)
		if CheckChannel(channel) != nil {
			continue
		}
		if last, err := s.lastOf(channel); err != nil || last.envelope != nil {
			continue // it is there again
		}
		why := fmt.Sprintf("the list of machines %s was damaged and is kept as %s%s: ", name, filepath.Base(name), damagedName)
		if noted := s.seen.Channels[channel]; noted.Serial > 0 {
			s.faults.set(filepath.Base(name), "%sits serial %d still counts; the cell gives it again when it is reached", why, noted.Serial)
			continue
		}
		s.faults.set(filepath.Base(name), "%sits serial is not known any more, so that no list of the channel %s is taken; "+
			"look that what is published is what should run, remove what is kept, and start anew", why, channel)
		s.forgotten = append(s.forgotten, channel)
	}
	return nil
}

// list returns the paths of the files whose names have a pattern.
func (s *Store) list(pattern string) ([]string, error) {
	found := make(chan []string, 1)
	err := s.disk.Do("list "+s.dir, func() error {
		names, err := fs.Glob(os.DirFS(s.dir), pattern) // the folder's name is no pattern
		for i, name := range names {
			names[i] = filepath.Join(s.dir, name)
		}
		found <- names
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// judgeRoots says whether the chain of roots is shorter than it was. It does not ask the disk: a store that others use is locked meanwhile.
func (s *Store) judgeRoots() {
	if s.dir == "" {
		return
	}
	path := filepath.Join(s.dir, rootsName)
	switch have := uint64(len(s.roots)); {
	case s.later != nil: // the rest is there, and not for this release
	case have < s.seen.Root:
		s.faults.set(rootsName, "the trust root of version %d was known here, and the chain in %s has reached version %d: no list is taken before the cell has given "+
			"the rest; where the cell's roots were made anew on purpose, remove the folder and start anew", s.seen.Root, path, have)
	default:
		s.faults.clear(rootsName)
	}
}

// judgeForgotten says whether roots were damaged, now or before an earlier start, where nothing tells how far they reached.
func (s *Store) judgeForgotten() error {
	path := filepath.Join(s.dir, rootsName)
	damaged, err := s.list(rootsName + damagedName)
	if err != nil || len(damaged) == 0 {
		return err
	}
	s.rootsForgotten = true
	s.faults.set(rootsName, "the chain of trust roots %s was damaged and is kept as %s%s, and how far it reached is not known any more, so that none is taken; "+
		"look that the cell's root is the one that should count, remove what is kept, and start anew", path, rootsName, damagedName)
	return nil
}

// channelOf is the channel that a file is of.
func channelOf(path string) string {
	prefix, suffix, _ := strings.Cut(specName, "%s")
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), prefix), suffix)
}

// known is what a list of a channel is held against: the last good one, or where it is not there or older than what was seen the serial alone.
func (s *Store) known(channel string, last *accepted) (before *Spec, under uint64, err error) {
	if slices.Contains(s.forgotten, channel) {
		return nil, 0, refuse(Rollback, "%s", s.faults.of(fmt.Sprintf(specName, channel)))
	}
	noted := s.seen.Channels[channel]
	switch {
	case noted.Serial > last.serial:
		return &Spec{Serial: noted.Serial}, noted.Under, nil
	case last.spec == nil && last.serial > 0: // what it held was damaged
		return &Spec{Serial: last.serial}, last.under, nil
	}
	return last.spec, last.under, nil
}

// checkRoots refuses lists while the chain of roots is shorter than it was: a key that was rotated out would count again.
func (s *Store) checkRoots() error {
	switch {
	case s.rootsForgotten:
		return refuse(NoRoot, "%s", s.faults.of(rootsName))
	case s.later == nil && uint64(len(s.roots)) < s.seen.Root:
		return refuse(Rollback, "%s", s.faults.of(rootsName))
	}
	return nil
}

// faults are what is wrong with files, by name. Who asks for them does not wait for the disk.
type faults struct {
	mu  sync.Mutex
	all map[string]string
}

func (f *faults) set(name, format string, args ...any) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]string{}
	}
	f.all[name] = fmt.Sprintf(format, args...)
	return f.all[name]
}

func (f *faults) clear(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, name)
}

func (f *faults) of(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[name]
}

// Faults says what is wrong with what is kept: files that were damaged, until what they held is there again. Each says what to do. It does not
// wait for the disk.
func (s *Store) Faults() []string {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.faults.all)) {
		all = append(all, s.faults.all[name])
	}
	return all
}

// putAside keeps a damaged file for who wants to know what happened, and says so.
func (s *Store) putAside(name string, why error) error {
	path := filepath.Join(s.dir, name)
	fault := s.faults.set(name, "%s was damaged and is kept as %s%s: %v", path, name, damagedName, why)
	if err := s.disk.Do("rename "+path, func() error { return os.Rename(path, path+damagedName) }); err != nil {
		return fmt.Errorf("%s; it cannot be put aside: %w", fault, err)
	}
	return nil
}
