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
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// A host keeps what is revoked on its own disk as well, so that one that starts without the others of its cell, and so without the bucket,
// still refuses whom it knew. The file is a line for each revocation: the CRC-32 (IEEE) of the rest in eight hexadecimal digits, a space, and
// JSON; and one line that says when the bucket was first read as a whole. Lines are only ever added, and synced.
const (
	copyLine  = 16 << 10  // the longest line, in bytes
	copyBytes = 512 << 20 // the largest file that is read
)

// revokedCopy is that file.
type revokedCopy struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	known   bool         // the bucket has been read as a whole, since the file was begun
	fault   string       // why the file does not have, or did not have, all that it should
	unsaved []Revocation // that could not be written yet
}

// copyEntry is a line of the file: a revocation, or when the bucket had been read.
type copyEntry struct {
	Key   string          `json:"key,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	Read  *time.Time      `json:"read,omitempty"`
}

var errCopyDamaged = errors.New("it is damaged")

// OpenRevocations is the set of revocations that is kept in a file, which is made where there is none. Until the bucket has been read, by this
// process or by one before it, Known is false. A file that is damaged is put aside as FILE.damaged: what can be read of it counts, and Known is
// false, too. It never fails: a host whose disk does not work refuses what it knows of.
func OpenRevocations(path string, now func() time.Time) *Revocations {
	r := NewRevocations()
	r.copied = &revokedCopy{path: path, now: now}
	entries, err := readCopy(path)
	for _, e := range entries {
		if e.Read != nil {
			r.copied.known = true
			continue
		}
		if one, err := readRevocation(e.Key, e.Value); err == nil {
			r.Add(one)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errCopyDamaged):
		r.copied.known = false
		r.copied.fault = fmt.Sprintf("the copy of what is revoked, %s, was damaged and is kept as %s.damaged; %d revocations of it could be read", path, path, r.Len())
		r.copied.begin(entries)
	case err != nil:
		r.copied.known = false
		r.copied.fault = fmt.Sprintf("the copy of what is revoked cannot be read: %v", err)
	}
	return r
}

// readCopy reads the file. With errCopyDamaged come the lines that are whole.
func readCopy(path string) (entries []copyEntry, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseCopy(io.LimitReader(f, copyBytes+1))
}

func parseCopy(from io.Reader) (entries []copyEntry, err error) {
	in := bufio.NewReaderSize(from, copyLine)
	for read := 0; ; {
		line, readErr := in.ReadSlice('\n')
		read += len(line)
		switch {
		case readErr == io.EOF && len(line) == 0:
			return entries, err
		case readErr == io.EOF: // a line without an end was being written when the host died
			return entries, fmt.Errorf("%w: its last line has no end", errCopyDamaged)
		case errors.Is(readErr, bufio.ErrBufferFull), read > copyBytes:
			return entries, fmt.Errorf("%w: a line is longer than %d bytes, or all of it than %d", errCopyDamaged, copyLine, copyBytes)
		case readErr != nil:
			return entries, readErr
		}
		e, ok := parseCopyLine(bytes.TrimSuffix(line, []byte("\n")))
		if !ok {
			err = fmt.Errorf("%w: a line does not have its checksum", errCopyDamaged)
			continue
		}
		entries = append(entries, e)
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
	err := os.Rename(c.path, c.path+".damaged")
	if err == nil {
		err = renameio.WriteFile(c.path, content, 0o600)
	}
	if err != nil {
		c.fault += fmt.Sprintf("; and it cannot be begun anew: %v", err)
	}
}

// append adds lines, synced. What is there is never changed.
func (c *revokedCopy) append(lines []byte) error {
	_, err := os.Stat(c.path)
	made := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
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
	return syncFolder(filepath.Dir(c.path))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Keep writes revocations to the file, with those that could not be written before. Where nothing is kept it does nothing.
func (r *Revocations) Keep(of ...Revocation) error {
	if r == nil || r.copied == nil {
		return nil
	}
	c := r.copied
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsaved = append(c.unsaved, of...)
	if len(c.unsaved) == 0 {
		return nil
	}
	var lines []byte
	for _, one := range c.unsaved {
		value, err := json.Marshal(revocationValue{Reason: cut(one.Reason), By: cut(one.By), At: one.At.UTC(), Purpose: one.Purpose})
		if err != nil {
			return fmt.Errorf("keeping what is revoked: %w", err)
		}
		lines = append(lines, copyEntry{Key: one.Key(), Value: value}.encode()...)
	}
	return c.write(lines)
}

// cut bounds a text of a revocation in the file.
func cut(text string) string {
	const most = 2 << 10
	return text[:min(len(text), most)]
}

// write appends, and notes what became of it; under the lock.
func (c *revokedCopy) write(lines []byte) error {
	if err := c.append(lines); err != nil {
		c.fault = fmt.Sprintf("what is revoked cannot be kept on disk: %v", err)
		return fmt.Errorf("keeping what is revoked: %w", err)
	}
	c.unsaved = nil
	if c.known {
		c.fault = ""
	}
	return nil
}

// Learnt notes that the bucket has been read as a whole: what is in the set is all that was revoked until now.
func (r *Revocations) Learnt() error {
	if r == nil || r.copied == nil {
		return nil
	}
	err := r.Keep()
	c := r.copied
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return err
	}
	c.known = true // also where it cannot be kept: this process has read it
	at := c.now().UTC().Truncate(time.Second)
	if err == nil {
		err = c.write(copyEntry{Read: &at}.encode())
	}
	return err
}

// Known reports whether what the bucket had has been read, by this process or one before it. Until then nobody but services is let in.
func (r *Revocations) Known() bool {
	if r == nil || r.copied == nil {
		return true
	}
	r.copied.mu.Lock()
	defer r.copied.mu.Unlock()
	return r.copied.known
}

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
	r.copied.mu.Lock()
	defer r.copied.mu.Unlock()
	entries, _ := readCopy(r.copied.path) // what is damaged is said when it is opened
	for _, e := range entries {
		if one, err := readRevocation(e.Key, e.Value); e.Key != "" && err == nil && !there[one.Key()] {
			missing = append(missing, one)
		}
	}
	return missing
}
