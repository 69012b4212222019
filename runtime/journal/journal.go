// Package journal is the host's log: the one durable truth from which everything else can be rebuilt. It is
// append-only, CRC-framed and chained, cut into segments that each begin with a checkpoint, and synced by
// one committer for all machines (group commit). It knows nothing of machines: it stores bytes under a key.
//
// A directory holds seg-<16 hex digits>.log files, numbered upwards, and LOCK. The newest segment alone gives the
// present state (its checkpoint, then its records); the ones before it are history. A segment is written as
// .tmp and renamed when its head is synced. What was damaged is set aside as .damaged. The format of the bytes
// is described in frame.go and header.go; each closed segment has an index beside it (index.go). Beside the directory lies its mark, which says how far the log reached (mark.go).
//
// It never reads a record's meaning or its time, never retries a failed sync and never reports a record as stored that
// is not.
package journal

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Causes that callers branch on.
var (
	ErrNewer      = errors.New("log of a newer release")         // upgrade the program
	ErrLocked     = errors.New("log is in use")                  // by another process, or by this one
	ErrClosed     = errors.New("journal is closed")              // Append or History after Close
	ErrNotDurable = errors.New("record is not stored")           // the disk failed; Status.Fault says how
	ErrFull       = errors.New("too much is waiting for a sync") // 256 MiB
	ErrTooLarge   = errors.New("too large for the journal")      // see MaxRecord, MaxState and MaxKey
)

// Sizes in bytes.
const (
	MaxRecord = 1 << 20  // the data of one Append
	MaxState  = 16 << 20 // the state of one key in a checkpoint
	MaxKey    = 4 << 10
)

// Options configure a Journal. The zero value of a limit is its default. The newest two segments are kept
// whatever the limits say: the older one is what a damaged checkpoint falls back to.
type Options struct {
	Dir string
	// SegmentBytes is the size above which a new segment begins; default 16 MiB. A segment is at least twice as
	// large as its checkpoint, so that many keys do not make every batch a rotation.
	SegmentBytes int64
	KeepBytes    int64                 // segments are dropped, oldest first, above it; default 256 MiB
	KeepAge      time.Duration         // ... and when their newest record is older; default 30 days
	KeepRecords  int64                 // ... and above this many records; default 10 million
	Now          func() time.Time      // required: the wall clock
	Log          *slog.Logger          // nil is none
	Metrics      prometheus.Registerer // may be nil
	Expected     bool                  // a log has been here, as the caller sees by something else: that there is none is damage
	// Checkpoint writes the current state of everything by calling put for each key, at the
	// beginning of a new segment. It runs on the committer's goroutine and must be consistent with the
	// appends whose done has been called (with an error too: what is in memory is what counts), and with no later ones.
	// It is called at the earliest after the first Append, and then has to include what replay delivered and
	// nobody has claimed yet. Required. put keeps no reference to state. An error makes the journal not
	// durable until a later attempt works.
	Checkpoint func(put func(key string, state []byte) error) error
	// OpenFile opens segment files; nil is os.OpenFile. Tests inject faults here.
	OpenFile func(name string, flag int, perm os.FileMode) (File, error)
	// Hook, for fault injection only, is called at the points of a record's and a segment's life: "append" (before it
	// is queued; on the caller's goroutine), "write", "sync", "synced" (Status shows it, done was not called), "done"
	// (after the batch's done calls), "rotate", "checkpoint" (written, not synced), "rename", "renamed" (the new segment is
	// in place, what retention drops is not removed yet). nil in production.
	Hook func(point string)
}

// File is what the journal needs of a segment file. Datasync makes the data and the size durable.
type File interface {
	WriteAt(p []byte, off int64) (int, error)
	ReadAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Datasync() error
	Close() error
}

// Entry is one frame read back. It belongs to who receives it.
type Entry struct {
	Kind Kind
	Key  string
	Data []byte
}

// Kind is the kind of a frame.
type Kind uint8

// The kinds of frames.
const (
	KindRecord     Kind = 1 // appended by a caller
	KindCheckpoint Kind = 2 // one key's state at the beginning of a segment
	KindGap        Kind = 3 // Data is a JSON Gap: history that is no longer there
)

// Gap is history that was dropped or could not be written. Records of all keys may be in it. The times are those of the
// segments around it, so that they may cover more than what is missing.
type Gap struct {
	Reason  string    `json:"reason"` // GapRetention, GapDamage or GapUnwritten
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Records int64     `json:"records"` // -1 where it cannot be known
}

// The reasons of gaps.
const (
	GapRetention = "retention"
	GapDamage    = "damage"
	GapUnwritten = "unwritten"
)

// Damage says what was wrong with the log when it was opened. That of older segments is found within minutes, where they have no index that is whole.
type Damage struct {
	Segment string
	Offset  int64
	Reason  string
	Lost    int64 // bytes set aside into <segment>.damaged, which is kept as long as the history around it
}

// Status is the journal's health.
type Status struct {
	Durable bool      // appends are being synced
	Since   time.Time // of the present fault, zero when Durable
	Fault   error     // why not
	Damage  []Damage  // found at Open, or soon after it in older segments
	Gaps    []Gap     // oldest first, the newest 64
	Bytes   int64     // of the log's segments, without what is preallocated
	Records int64     // kept
	Segment uint64    // the number of the segment that is written to
	Synced  int64     // the offset in it up to which everything is synced
}
