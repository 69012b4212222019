package journal

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// mark is what is remembered of a log outside of its folder, so that a log that is gone, or a part of it, is not taken for one to which
// less was written. It is written when a log is opened, when a segment is begun and when the log is closed, always after what it says is
// synced: it can be older than the log, never newer.
type mark struct {
	Format  int       `json:"format"`
	Log     string    `json:"log"`     // the id in the segments' headers, in hexadecimal digits
	Segment uint64    `json:"segment"` // the number of the newest one
	Size    int64     `json:"size"`    // bytes of it that were synced
	At      time.Time `json:"at"`      // when this was written
}

const (
	markFormat = 1
	markSuffix = ".mark"
	markLimit  = 4 << 10 // bytes; a mark has some 150
)

// MarkFile is where the mark of a log lies: beside its folder.
func MarkFile(dir string) string { return filepath.Clean(dir) + markSuffix }

// readMark reads the mark of a log. One that is not there, cannot be read (the error says why) or is of a newer format says nothing.
func readMark(dir string) (m mark, ok bool, err error) {
	text, err := statefile.Read(MarkFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err == nil && len(text) > markLimit {
		err = fmt.Errorf("it has more than %d bytes", markLimit)
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return mark{}, false, err
	}
	return m, m.Format == markFormat && m.Segment > 0, nil
}

// write replaces the mark, synced for good where it is to be.
func (m mark) write(dir string, synced bool) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	name := MarkFile(dir)
	file, err := statefile.Open(name+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if synced {
		err = errors.Join(err, file.Sync())
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+tmpSuffix, name); err != nil || !synced {
		return err
	}
	return statefile.SyncDir(filepath.Dir(name))
}

// missing says what of a log is not there any more, nil for nothing. found are the segments that can be read up to the newest, of which
// got was found out, and unusable those after it, which are there but tell nothing.
func (m mark) missing(found, unusable []segment, got findings) *Damage {
	when := m.At.UTC().Format(time.RFC3339)
	d := &Damage{Segment: segmentName(m.Segment)}
	if len(found)+len(unusable) == 0 {
		d.Reason = fmt.Sprintf("the whole log is gone, which reached this segment by %s: every machine starts from its initial state", when)
		return d
	}
	if len(found) > 0 {
		if id := found[len(found)-1].header.id; hex.EncodeToString(id[:]) != m.Log {
			d.Segment = filepath.Base(found[len(found)-1].path)
			d.Reason = fmt.Sprintf("it is of another log than was here by %s", when)
			return d
		}
	}
	newest := append(found[:len(found):len(found)], unusable...)
	switch last := newest[len(newest)-1].number; {
	case last < m.Segment:
		d.Reason = fmt.Sprintf("it is gone, although the log reached it by %s: what it and those before it back to %s held is lost", when, segmentName(last))
	case last == m.Segment && len(unusable) == 0 && got.damage == nil && got.end < m.Size:
		d.Offset, d.Reason = got.end, fmt.Sprintf("the segment ends here, although %d bytes were synced by %s", m.Size, when)
	default:
		return nil
	}
	return d
}

// lost notes what the mark, or what lies beside the log, says is missing, and returns the gap that it leaves.
func (j *Journal) lost(found, unusable []segment, got findings) []Gap {
	m, ok, err := readMark(j.opts.Dir)
	if err != nil {
		j.opts.Log.Warn("the log's mark is not read: that the newest part of the log was removed would not be noticed", "file", MarkFile(j.opts.Dir), "error", err)
	}
	j.next = max(j.next, m.Segment+1)
	var d *Damage
	switch {
	case ok:
		d = m.missing(found, unusable, got)
	case j.opts.Expected && len(found)+len(unusable) == 0:
		d = &Damage{Segment: filepath.Base(j.opts.Dir), Reason: "the whole log is gone: every machine starts from its initial state"}
	}
	if d == nil {
		return nil
	}
	j.status.Damage = append(j.status.Damage, *d)
	return []Gap{j.damageGap(m.At)}
}

// remember writes the mark. It is synced when the log is opened or closed; what a loss of power takes of those between makes it older. A log without one works all the same, and only cannot tell that it was removed.
func (j *Journal) remember(synced bool) {
	j.mu.Lock()
	last := j.segs[len(j.segs)-1]
	j.mu.Unlock()
	m := mark{Format: markFormat, Log: hex.EncodeToString(last.header.id[:]), Segment: last.number, Size: last.end, At: j.opts.Now().UTC()}
	dir := j.opts.Dir
	if err := j.disk.do("mark", func() error { return m.write(dir, synced) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.opts.Log.Warn("the log's mark is not written", "file", MarkFile(dir), "error", err)
	}
}
