package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var (
	errNoArchive = errors.New("there is no intact slot of this digest, and nothing to unpack")
	errContent   = errors.New("all that an archive holds must be in one folder of the payload's name")
)

// Install unpacks an archive into a slot of its own, verifies it, and points NAME to it, in that order, so that a crash leaves the old or the new.
// A slot of that digest that is there and intact is used again, and archive may then be nil; a damaged one is replaced. The slot before is kept
// for a way back. What stands where the pointer goes and is not of Slots is moved to target/.replaced. verify may be nil.
func (s *Slots) Install(name, digest string, archive io.ReaderAt, size int64, verify func(dir string) error, l Limits) (dir string, err error) {
	switch {
	case !slotName.MatchString(name):
		err = errSlotName
	case !isDigest(digest):
		err = errSlotDigest
	default:
		err = s.prepare()
	}
	if err == nil {
		err = s.locked(func() error { return s.install(name, digest, archive, size, verify, l) })
	}
	if err != nil {
		return "", fmt.Errorf("installing %q: %w", name, err)
	}
	return s.slot(name, digest), nil
}

func (s *Slots) install(name, digest string, archive io.ReaderAt, size int64, verify func(dir string) error, l Limits) error {
	if err := s.discard(nothing); err != nil {
		return err
	}
	before, _ := s.pointer(name)
	if _, ok := s.Prepared(name, digest, verify); !ok {
		if archive == nil {
			return errNoArchive
		}
		if err := s.fill(name, digest, archive, size, verify, l); err != nil {
			return err
		}
	}
	if before == digest {
		return nil
	}
	if before != "" { // before the pointer is changed: afterwards nobody would know which one is the way back
		if err := s.discard(func(n, d string) bool { return n == name && d != digest && d != before }); err != nil {
			return err
		}
	}
	return s.point(name, digest)
}

// fill makes the slot of a digest. Until all of it is right it has another name.
func (s *Slots) fill(name, digest string, archive io.ReaderAt, size int64, verify func(dir string) error, l Limits) error {
	made := filepath.Join(s.Target, slotsFolder, leftover+"new")
	if err := Unpack(archive, size, digest, made, l); err != nil {
		return err
	}
	s.at("unpacked")
	err := s.settle(filepath.Join(made, name), made, verify)
	if err == nil {
		err = s.place(filepath.Join(made, name), s.slot(name, digest))
	}
	return errors.Join(err, os.RemoveAll(made))
}

// settle holds what was unpacked to what it should be, and makes it durable.
func (s *Slots) settle(payload, made string, verify func(dir string) error) error {
	entries, err := os.ReadDir(made)
	if err != nil {
		return err
	}
	if len(entries) != 1 || !isFolder(payload) {
		return fmt.Errorf("%w: %s", errContent, filepath.Base(payload))
	}
	if verify != nil {
		if err := verify(payload); err != nil {
			return err
		}
	}
	if err := s.syncAll(payload); err != nil {
		return err
	}
	s.at("verified")
	return nil
}

// place gives a payload its name. A damaged one of that name is exchanged with it at once, where the system can.
func (s *Slots) place(made, slot string) error {
	err := os.Rename(made, slot)
	if _, there := os.Lstat(slot); err != nil && there == nil {
		err = s.swap(made, slot)
	}
	if err != nil {
		return err
	}
	s.at("placed")
	return s.sync(filepath.Join(s.Target, slotsFolder))
}

// swap puts what is made in the place of what is there. What was there has the other's name afterwards, or is removed.
func (s *Slots) swap(made, there string) error {
	if err := s.exchange(made, there); err == nil {
		return nil
	}
	away := filepath.Join(s.Target, slotsFolder, leftover+"damaged")
	if err := os.Rename(there, away); err != nil {
		return err
	}
	s.at("damaged one taken away")
	return errors.Join(os.Rename(made, there), os.RemoveAll(away))
}

// point makes the link of a name.
func (s *Slots) point(name, digest string) error {
	pointer, to := filepath.Join(s.Target, name), filepath.Join(slotsFolder, name+"-"+digest)
	if _, ours := s.pointer(name); !ours {
		if err := s.setAside(name, to); err != nil {
			return err
		}
	}
	made := filepath.Join(s.Target, slotsFolder, leftover+"link")
	if err := os.Symlink(to, made); err != nil {
		return err
	}
	s.at("link made")
	if err := os.Rename(made, pointer); err != nil {
		return err
	}
	s.at("pointed")
	return s.sync(s.Target)
}

// setAside moves what is not of Slots out of the way. The link takes its place at the same moment, where the system can.
func (s *Slots) setAside(name, to string) error {
	pointer, aside := filepath.Join(s.Target, name), filepath.Join(s.Target, asideFolder)
	if _, err := os.Lstat(pointer); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	place, err := s.free(filepath.Join(aside, name), to)
	if err != nil {
		return err
	}
	s.at("room made")
	if err := s.exchange(place, pointer); err == nil {
		s.at("set aside")
		return errors.Join(s.sync(aside), s.sync(s.Target))
	}
	if err := errors.Join(os.Remove(place), os.Rename(pointer, place)); err != nil {
		return err
	}
	s.at("set aside")
	return errors.Join(s.sync(aside), s.sync(s.Target))
}

// free finds a name of which nothing is there, but for the link of one that a crash has ended, and makes the link with it.
func (s *Slots) free(base, to string) (string, error) {
	for n := 1; ; n++ {
		place := base + "-" + strconv.Itoa(n)
		if old, err := os.Readlink(place); err == nil && strings.HasPrefix(old, slotsFolder+"/") {
			if err := os.Remove(place); err != nil {
				return "", err
			}
		}
		if err := os.Symlink(to, place); !errors.Is(err, fs.ErrExist) {
			return place, err
		}
	}
}
