package broker

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A host keeps what is revoked on its own disk as well, so that one that starts without the others of its cell, and so without the bucket,
// still refuses whom it knew. The file is a line for each revocation: the CRC-32 (IEEE) of the rest in eight hexadecimal digits, a space, and
// JSON; and one line that says when the bucket was first read as a whole. Lines are only ever added, and synced. Nobody who logs in waits for
// the disk.
const (
	// copyLine is the longest line, in bytes: two texts as long as cut leaves them, each byte of which JSON may write as six, and a key as long as a
	// subject may be.
	copyLine  = 32 << 10
	copyBytes = 512 << 20 // the largest file that is read
)

// revokedCopy is that file.
type revokedCopy struct {
	path  string
	now   func() time.Time
	disk  statefile.Disk
	add   func(lines []byte) error // appends to the file; a test of a disk that hangs has another
	known atomic.Bool              // the bucket has been read as a whole, since the file was begun

	writing sync.Mutex // held while lines are written, by who keeps revocations; never by who logs in

	mu      sync.Mutex   // held for moments, never while the disk is asked
	fault   string       // why the file does not have, or did not have, all that it should
	unsaved []Revocation // that could not be written yet
	mark    *time.Time   // when the bucket had been read, where that could not be written yet
}

// copyEntry is a line of the file: a revocation, or when the bucket had been read.
type copyEntry struct {
	Key   string          `json:"key,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	Read  *time.Time      `json:"read,omitempty"`
}

var errCopyDamaged = errors.New("it is damaged")

// OpenRevocations is the set of revocations that is kept in a file, which is made where there is none. Until the bucket has been read, by this
// process or by one before it, Known is false. A file that is damaged, or something else in its place, is put aside as FILE.damaged: what can be
// read of it counts, and Known is false, too. It never fails, and waits for the disk no longer than statefile.Patience: a host whose disk does
// not work refuses what it knows of.
func OpenRevocations(path string, now func() time.Time) *Revocations {
	r := NewRevocations()
	c := &revokedCopy{path: path, now: now}
	c.add, r.copied = c.appendLines, c
	entries, err := c.read()
	known := false
	for _, e := range entries {
		if e.Read != nil {
			known = true
			continue
		}
		if one, err := readRevocation(e.Key, e.Value); err == nil {
			r.Add(one)
		}
	}
	switch {
	case err == nil:
		c.known.Store(known)
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errCopyDamaged), errors.Is(err, statefile.ErrNotRegular):
		c.fault = fmt.Sprintf("the copy of what is revoked, %s, was damaged and is kept as %s.damaged: %v; %d revocations of it could be read", path, path, err, r.Len())
		c.begin(entries)
	default:
		c.fault = fmt.Sprintf("the copy of what is revoked cannot be read: %v", err)
	}
	return r
}

// read reads the file. With errCopyDamaged come the lines that are whole.
func (c *revokedCopy) read() (entries []copyEntry, err error) {
	f, err := c.disk.Stream(c.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseCopy(io.LimitReader(f, copyBytes+1))
}

// parseCopy passes over what is no line, and goes on behind the next line end.
func parseCopy(from io.Reader) (entries []copyEntry, err error) {
	in := bufio.NewReaderSize(from, copyLine)
	read, unreadable := 0, 0
	for {
		line, readErr := in.ReadSlice('\n')
		read += len(line)
		long := errors.Is(readErr, bufio.ErrBufferFull)
		for errors.Is(readErr, bufio.ErrBufferFull) {
			line, readErr = in.ReadSlice('\n')
			read += len(line)
		}
		if readErr != nil && readErr != io.EOF {
			return entries, readErr
		}
		if e, ok := parseCopyLine(bytes.TrimSuffix(line, []byte("\n"))); ok && !long && readErr == nil {
			entries = append(entries, e)
		} else if long || len(line) > 0 { // also a line without an end, which was being written when the host died
			unreadable++
		}
		switch {
		case read > copyBytes:
			return entries, fmt.Errorf("%w: it has more than %d bytes, and what follows was not read", errCopyDamaged, copyBytes)
		case readErr == io.EOF && unreadable > 0:
			return entries, fmt.Errorf("%w: %d lines of it could not be read", errCopyDamaged, unreadable)
		case readErr == io.EOF:
			return entries, nil
		}
	}
}

func parseCopyLine(line []byte) (e copyEntry, ok bool) {
	sum, content, ok := bytes.Cut(line, []byte(" "))
	var want [4]byte
	if !ok || len(sum) != hex.EncodedLen(len(want)) {
		return e, false
	}
	if _, err := hex.Decode(want[:], sum); err != nil {
		return e, false
	}
	have := crc32.ChecksumIEEE(content)
	if want != [4]byte{byte(have >> 24), byte(have >> 16), byte(have >> 8), byte(have)} {
		return e, false
	}
	err := json.Unmarshal(content, &e)
	return e, err == nil && (e.Key != "") != (e.Read != nil)
}

// encode is the entry's line; nil where it would be too long.
func (e copyEntry) encode() []byte {
	content, err := json.Marshal(e)
	if err != nil || len(content)+10 > copyLine {
		return nil
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(content), content)
}

// begin begins the file anew with what could be read, without a mark that it is all, and keeps the other aside.
func (c *revokedCopy) begin(entries []copyEntry) {
	var content []byte
	for _, e := range entries {
		if e.Read == nil {
			content = append(content, e.encode()...)
		}
	}
	err := c.disk.Do("begin "+c.path, func() error {
		if err := os.Rename(c.path, c.path+".damaged"); err != nil {
			return err
		}
		return renameio.WriteFile(c.path, content, 0o600)
	})
	if err != nil {
		c.fault += fmt.Sprintf("; and it cannot be begun anew: %v", err)
	}
}

// appendLines adds lines, synced. What is there is never changed.
func (c *revokedCopy) appendLines(lines []byte) error {
	_, err := os.Stat(c.path)
	made := errors.Is(err, fs.ErrNotExist)
	f, err := statefile.Open(c.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Write(lines)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Truncate(at) // half a line would be damage, and is written again
	}
	if err = errors.Join(err, f.Close()); err != nil || !made {
		return err
	}
	return statefile.SyncDir(filepath.Dir(c.path))
}

// cut bounds a text of a revocation in the file.
func cut(text string) string {
	const most = 2 << 10
	return text[:min(len(text), most)]
}

// Keep writes revocations to the file, with what could not be written before. Where nothing is kept it does nothing. It waits for the disk.
func (r *Revocations) Keep(of ...Revocation) error {
	if r == nil || r.copied == nil {
		return nil
	}
	r.note(of...)
	return r.copied.save()
}

// note has revocations be written at the next Keep.
func (r *Revocations) note(of ...Revocation) {
	if c := r.copied; c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unsaved = append(c.unsaved, of...)
	}
}

// save writes what is to be written, and notes what became of it.
func (c *revokedCopy) save() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	unsaved, mark := c.unsaved, c.mark
	c.mu.Unlock()
	if len(unsaved) == 0 && mark == nil {
		return nil
	}
	var lines []byte
	for _, one := range unsaved {
		value, err := json.Marshal(revocationValue{Reason: cut(one.Reason), By: cut(one.By), At: one.At.UTC(), Purpose: one.Purpose})
		if err != nil {
			return fmt.Errorf("keeping what is revoked: %w", err)
		}
		lines = append(lines, copyEntry{Key: one.Key(), Value: value}.encode()...)
	}
	if mark != nil {
		lines = append(lines, copyEntry{Read: mark}.encode()...)
	}
	err := c.disk.Do("write "+c.path, func() error { return c.add(lines) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fault = fmt.Sprintf("what is revoked cannot be kept on disk: %v", err)
		return fmt.Errorf("keeping what is revoked: %w", err)
	}
	c.unsaved = slices.Clone(c.unsaved[len(unsaved):])
	if c.mark == mark {
		c.mark = nil
	}
	if c.known.Load() {
		c.fault = ""
	}
	return nil
}

// Learnt notes that the bucket has been read as a whole: what is in the set is all that was revoked until now.
func (r *Revocations) Learnt() error {
	r.learn()
	return r.Keep()
}

// learn is Learnt, of which the file is told at the next Keep.
func (r *Revocations) learn() {
	if r == nil || r.copied == nil || r.copied.known.Swap(true) {
		return
	}
	at := r.copied.now().UTC().Truncate(time.Second)
	r.copied.mu.Lock()
	defer r.copied.mu.Unlock()
	r.copied.mark = &at
}

// Known reports whether what the bucket had has been read, by this process or one before it. Until then nobody but services is let in.
func (r *Revocations) Known() bool { return r == nil || r.copied == nil || r.copied.known.Load() }

// Fault says what is wrong with the copy on disk, "" where nothing is.
func (r *Revocations) Fault() string {
	if r == nil || r.copied == nil {
		return ""
	}
	r.copied.mu.Lock()
	defer r.copied.mu.Unlock()
	return r.copied.fault
}

// kept are the revocations of the file whose keys are not among those that are there.
func (r *Revocations) kept(there map[string]bool) (missing []Revocation) {
	if r == nil || r.copied == nil {
		return nil
	}
	entries, _ := r.copied.read() // what is damaged is said when it is opened
	for _, e := range entries {
		if one, err := readRevocation(e.Key, e.Value); e.Key != "" && err == nil && !there[one.Key()] {
			missing = append(missing, one)
		}
	}
	return missing
}
