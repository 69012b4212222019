package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// Journal is an open log. From Open to Close it has two goroutines, the committer and the indexer.
type Journal struct {
	opts    Options
	lock    *os.File
	disk    *patience
	indexer *indexer
	metrics *metrics
	wake    chan struct{}
	ended   chan struct{} // closed by the committer as its last act

	mu      sync.Mutex // never held during I/O or a call to somebody else
	pending *batch
	closed  bool
	room    int       // bytes that may be pending
	segs    []segment // oldest first; the last one is being written
	ledger  ledger    // written by the committer alone
	status  Status    // without the sums over segs

	// The committer's own, and Open's before there is one.
	spare     *batch
	cur       *writer // nil during a fault
	next      uint64  // number of the next segment
	fault     error   // nil while appends are stored
	owed      []Gap   // that could not be written down yet
	unwritten Gap     // records refused in the present fault
	retry     *time.Timer
	armed     bool
	closeErr  error
}

// Open reads the log of a directory, which it makes and locks, and hands every entry that matters for the present state to replay:
// the last intact checkpoint and all records after it. The damage it found, if any, is in Status. A log of a newer
// release is refused with ErrNewer, a directory in use with ErrLocked. Where a log can be read but not be written (a full
// disk, a read-only file system) Open succeeds and Status says that nothing is durable. Where it cannot be read Open fails, also where
// the disk has answered nothing for half a minute; replay may be called once more after that.
//
// Damage costs at least the damaged record and all after it: the good prefix is used, the rest is set aside. When
// the newest segment's checkpoint is damaged, the segment before it is used, and when none can be, the log begins
// anew; in all cases Status.Damage is not empty and History has a gap. What cannot be seen is that the newest segment, and
// only that, was cut exactly between two frames behind what the log's mark knows of: it looks like a log to which less was written.
func Open(opts Options, replay func(Entry) error) (*Journal, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	s, result := &starting{}, make(chan opened, 1)
	go func() {
		j, err := open(opts, s, replay)
		result <- opened{j, err}
	}()
	return s.wait(&opts, result)
}

func open(opts Options, s *starting, replay func(Entry) error) (*Journal, error) {
	if err := makeDir(opts.Dir); err != nil {
		return nil, err
	}
	lock, err := acquire(opts.Dir)
	if err != nil {
		return nil, err
	}
	j := newJournal(opts, lock)
	if err := j.start(s, replay); err != nil {
		j.retire()
		return nil, errors.Join(fmt.Errorf("open the log %s: %w", opts.Dir, err), statefile.Unlock(lock))
	}
	return j, nil
}

func (j *Journal) start(s *starting, replay func(Entry) error) error {
	if err := j.load(s, replay); err != nil {
		return err
	}
	if s.abandoned.Load() {
		return errHangs
	}
	if err := j.metrics.register(j.opts.Metrics); err != nil {
		return err
	}
	go j.run()
	go j.indexer.run(j)
	j.indexer.poke()
	return nil
}

func newJournal(opts Options, lock *os.File) *Journal {
	j := &Journal{
		opts: opts, lock: lock, disk: newPatience(), indexer: newIndexer(), metrics: newMetrics(),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		pending: &batch{}, spare: &batch{}, room: maxPending,
		status: Status{Durable: true},
		retry:  time.NewTimer(time.Hour),
	}
	j.retry.Stop()
	j.metrics.durable.Set(1)
	return j
}

func (o Options) complete() (Options, error) {
	if o.Dir == "" || o.Checkpoint == nil || o.Now == nil {
		return o, errors.New("open the log: Dir, Checkpoint and Now are required")
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 16<<20)
	o.KeepBytes = cmp.Or(o.KeepBytes, 256<<20)
	o.KeepAge = cmp.Or(o.KeepAge, 30*24*time.Hour)
	o.KeepRecords = cmp.Or(o.KeepRecords, 10_000_000)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.OpenFile == nil {
		o.OpenFile = openFile
	}
	return o, nil
}

func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the log's folder: %w", err)
	}
	return statefile.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// load finds the newest usable segment, replays it and prepares it for appending.
func (j *Journal) load(s *starting, replay func(Entry) error) error {
	reading := s.open(j.opts.OpenFile)
	found, err := survey(j.opts.Dir, reading)
	if err != nil {
		return err
	}
	if j.next, err = nextNumber(j.opts.Dir); err != nil {
		return err
	}
	found, unusable, got, err := usable(found, reading)
	if err != nil {
		return err
	}
	lost := j.lost(found, unusable, got)
	if s.abandoned.Load() { // nothing may be written any more
		return errHangs
	}
	if len(found) == 0 {
		return j.create(unusable, lost)
	}
	newest := found[len(found)-1]
	if err := deliverAll(newest, got, reading, replay); err != nil {
		return err
	}
	j.segs, j.ledger = link(found, got.ledger.Through), got.ledger
	j.segs[len(j.segs)-1].closed = got.closed
	j.resume(got, unusable, lost)
	return nil
}

// usable finds the newest segment with an intact head: the last of the ones it returns first. Those after it cannot be used.
func usable(found []segment, open opener) (rest, unusable []segment, got findings, err error) {
	for i := len(found) - 1; i >= 0; i-- {
		seg := found[i]
		err := seg.broken
		if err == nil {
			got, err = inspect(seg, open)
		}
		if err == nil {
			return found[:i+1], found[i+1:], got, nil
		}
		if _, bad := errors.AsType[*badFrame](err); !bad && !errors.Is(err, errHeader) {
			return nil, nil, got, err
		}
		found[i].broken = err
	}
	return nil, found, got, nil
}

func deliverAll(seg segment, got findings, open opener, replay func(Entry) error) error {
	file, size, err := openSized(seg.path, open)
	if err != nil {
		return err
	}
	defer file.Close()
	for s := scan(file, seg.header, got.end, size); ; {
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s changed while it was read: %w", seg.path, err)
		}
		if e.Kind != KindCheckpoint && e.Kind != KindRecord {
			continue
		}
		if err := replay(e); err != nil {
			return fmt.Errorf("%s: replay of %q: %w", seg.path, e.Key, err)
		}
	}
}

// nextNumber is above that of every file of the log, the ones set aside included.
func nextNumber(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("list the log: %w", err)
	}
	var top uint64
	for _, entry := range entries {
		if number, ok := segmentNumber(entry.Name()); ok {
			top = max(top, number)
		}
	}
	return top + 1, nil
}
