package journal

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// opener opens a segment, as Options.OpenFile.
type opener func(name string, flag int, perm os.FileMode) (File, error)

// segment is what is known of one segment of the log.
type segment struct {
	path   string
	header header
	broken error // the header cannot be used: nothing of it can be read
	closed       // end is -1 where it is not known
	linked bool  // the segment before this one is the one that its header names
}

const (
	segmentSuffix = ".log"
	tmpSuffix     = ".tmp"
	asideSuffix   = ".damaged"
)

func segmentName(number uint64) string { return fmt.Sprintf("seg-%016x%s", number, segmentSuffix) }

// segmentNumber is the number in a name that begins as a segment's does.
func segmentNumber(name string) (uint64, bool) {
	var number uint64
	if len(name) < len(segmentName(0)) {
		return 0, false
	}
	name = name[:len(segmentName(0))]
	if _, err := fmt.Sscanf(name, "seg-%016x.log", &number); err != nil || name != segmentName(number) {
		return 0, false
	}
	return number, true
}

// survey reads the headers of a directory's segments, lowest number first. It fails with ErrNewer when any of them
// is of a newer format: nothing may be changed then.
func survey(dir string, open opener) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the log: %w", err)
	}
	var found []segment
	for _, entry := range entries {
		number, ok := segmentNumber(entry.Name())
		if !ok || entry.Name() != segmentName(number) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		var h header
		err := regular(path, entry)
		if err == nil {
			h, err = readHeader(path, number, open)
		}
		if errors.Is(err, ErrNewer) {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, segment{path: path, header: h, broken: err, closed: closed{number: number, end: -1, last: h.created}})
	}
	return found, nil
}

// regular says what a segment is where it is no file: it is not opened, as a pipe would be waited for.
func regular(path string, entry os.DirEntry) error {
	if entry.Type().IsRegular() {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w is missing: this is no file (%s)", errHeader, info.Mode())
	}
	return nil
}

func readHeader(path string, number uint64, open opener) (header, error) {
	file, err := open(path, os.O_RDONLY, 0)
	if err != nil {
		return header{}, fmt.Errorf("open segment: %w", err)
	}
	defer file.Close()
	buf := make([]byte, headerSize)
	n, err := file.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, fmt.Errorf("read header: %w", err)
	}
	h, err := decodeHeader(buf[:n])
	if err != nil {
		return header{}, err
	}
	if h.number != number {
		return header{}, fmt.Errorf("%w is that of segment %d", errHeader, h.number)
	}
	return h, nil
}

// link puts the segments in order that lead to the last of found, oldest first, and gives each what its successor
// knows of it. Segments that were begun but never used are left out, as are those that retention dropped.
func link(found []segment, dropped uint64) []segment {
	var chain []segment
	for i := len(found) - 1; i >= 0 && found[i].number > dropped; {
		seg := found[i]
		want := seg.header.prev.number
		if seg.broken != nil {
			want = seg.number - 1
		}
		i = before(found[:i], want)
		seg.linked = want <= dropped || seg.broken != nil
		if i >= 0 && found[i].number == want && seg.broken == nil && seg.header.id == found[i].id(seg.header.id) {
			found[i].closed, seg.linked = seg.header.prev, true
		}
		chain = append(chain, seg)
	}
	slices.Reverse(chain)
	return chain
}

// id is the log a segment belongs to, or the one asked for where its header does not say.
func (s segment) id(want [16]byte) [16]byte {
	if s.broken != nil {
		return want
	}
	return s.header.id
}

// before is the index of the newest segment whose number is not above want, or -1.
func before(found []segment, want uint64) int {
	for i := len(found) - 1; i >= 0; i-- {
		if found[i].number <= want {
			return i
		}
	}
	return -1
}

// findings are what reading one whole segment tells.
type findings struct {
	closed
	headEnd int64 // behind the head's last frame
	ledger  ledger
	hash    hash.Hash // of the bytes before end
	damage  *badFrame // nil where the data ends as it should
	size    int64     // of the file
}

// inspect reads the newest segment without delivering anything. It fails with a *badFrame when the segment's head is
// not intact, so that it cannot be used, and otherwise only when the file cannot be read.
func inspect(seg segment, open opener) (findings, error) {
	file, size, err := openSized(seg.path, open)
	if err != nil {
		return findings{}, err
	}
	defer file.Close()
	got := findings{closed: seg.closed, size: size}
	s := scan(file, seg.header, -1, size)
	for err == nil {
		var e Entry
		if e, err = s.next(); err == nil {
			err = got.add(e, s)
		}
	}
	got.end, got.chain, got.hash = s.off, s.chain, s.sum
	copy(got.sum[:], s.sum.Sum(nil))
	bad, isBad := errors.AsType[*badFrame](err)
	switch {
	case !isBad && !errors.Is(err, io.EOF):
		return findings{}, fmt.Errorf("%s: %w", seg.path, err)
	case got.headEnd == 0 && !isBad:
		return findings{}, s.bad("the checkpoint is incomplete")
	case got.headEnd == 0:
		return findings{}, bad
	}
	got.damage = bad
	return got, nil
}

func (f *findings) add(e Entry, s *scanner) (err error) {
	switch e.Kind {
	case KindRecord:
		f.records++
	case kindEnd:
		f.headEnd = s.off
	case kindLedger:
		f.ledger, err = parseLedger(e.Data)
	}
	if err != nil {
		return s.bad("%v", err)
	}
	return nil
}

func openSized(path string, open opener) (File, int64, error) {
	file, err := open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("open segment: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("open segment: %w", err)
	}
	return file, info.Size(), nil
}

// totals are the bytes and records of segments, as far as they are known.
func totals(segs []segment) (bytes, records int64) {
	for _, seg := range segs {
		bytes += max(seg.end, 0)
		records += seg.records
	}
	return bytes, records
}

// began is the time the segment was made, as far as it is known.
func (s segment) began() time.Time {
	if s.broken != nil {
		return s.last
	}
	return s.header.created
}

// newest is the time of the newest append of a segment.
func (s segment) newest() time.Time {
	if s.last.Before(s.header.created) {
		return s.header.created
	}
	return s.last
}
