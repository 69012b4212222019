package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recordShelf answers questions about the records of a bucket, which it follows: all of them in pages, of which it keeps in memory what a list
// shows, and single ones, which it reads from the bucket.
type recordShelf struct {
	bucket  string
	fields  []string
	log     *slog.Logger
	payload int // bytes of an answer

	kv jetstream.KeyValue
	js jetstream.JetStream

	turns chan struct{} // of questions that are being answered

	mu    sync.Mutex
	table *recordTable  // nil until the bucket has been read
	moved chan struct{} // closed and replaced whenever table has taken something
}

func newRecordShelf(bucket string, fields []string, log *slog.Logger) *recordShelf {
	return &recordShelf{bucket: bucket, fields: fields, log: log, turns: make(chan struct{}, recordsAtOnce), moved: make(chan struct{})}
}

// recordsAtOnce is how many questions are answered at once; those beyond are to be asked again.
const recordsAtOnce = 64

// recordsChecked is how often the bucket is compared with what has come of it: a watch says nothing of what was purged, nor of a stream that was
// restored from a copy.
const recordsChecked = 5 * time.Second

var errNoLeader = errors.New("has no leader, so that what is known of it may be incomplete; ask again")

func (s *recordShelf) open(ctx context.Context, conn *nats.Conn) (<-chan struct{}, error) {
	var err error
	s.payload = int(conn.MaxPayload())
	if s.js, err = jetstream.New(conn); err != nil {
		return nil, err
	}
	if s.kv, err = s.js.KeyValue(ctx, s.bucket); err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", s.bucket, err)
	}
	f := &recordFollower{shelf: s}
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.follow(ctx, recordsChecked, f.take, f.check), nil
}

// state asks the bucket's leader what it has.
func (s *recordShelf) state(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := s.js.Stream(ctx, "KV_"+s.bucket)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return nil, errNoLeader
	}
	return info, nil
}

// recordFollower keeps a shelf as its bucket is.
type recordFollower struct {
	bucketWatch
	shelf   *recordShelf
	table   *recordTable // what the watch fills
	created time.Time    // of the stream that it follows
	behind  uint64       // the last sequence that the watch was behind with, at the check before; 0 where it was not
}

// begin reads the bucket from its beginning. What is answered stays until all of it has come.
func (f *recordFollower) begin(ctx context.Context) error {
	info, err := f.shelf.state(ctx)
	if err == nil {
		f.watch, err = f.shelf.kv.WatchAll(ctx)
	}
	if err != nil {
		return fmt.Errorf("the bucket %s: %w", f.shelf.bucket, err)
	}
	f.created, f.behind = info.Created, 0
	f.table = newRecordTable(info.State.LastSeq, info.State.NumSubjects)
	return nil
}

// take takes what the watch hears. Where that was less than all, the bucket is read anew at the next check.
func (f *recordFollower) take(e jetstream.KeyValueEntry) {
	if !f.shelf.take(f.table, e) {
		f.end()
		f.shelf.log.Warn("bucket_copy_incomplete", "bucket", f.shelf.bucket)
	}
}

// check reads the bucket anew where it is another one, has less than has come of it, or where what it has more has not come since the check before.
func (f *recordFollower) check(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, recordsChecked)
	defer cancel()
	info, err := f.shelf.state(asked)
	if err != nil {
		return // questions say so
	}
	if f.watch != nil {
		if f.shelf.agrees(f.table, info, f.created) {
			f.behind = 0
			return
		}
		if last := f.shelf.reached(f.table); info.Created.Equal(f.created) && info.State.LastSeq > last && f.behind != last {
			f.behind = last
			return
		}
	}
	watched := f.watch != nil
	f.end()
	if err := f.begin(ctx); err != nil && watched && ctx.Err() == nil {
		f.shelf.log.Warn("bucket_not_followed", "bucket", f.shelf.bucket, "error", err)
	}
}

// take takes an entry into a table; nil is said once when all that was there has come. It reports false where that is less than the bucket's leader has: a copy
// that has yet to be filled answers as an empty bucket would.
func (s *recordShelf) take(t *recordTable, e jetstream.KeyValueEntry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e != nil:
		t.take(e, s.fields)
	case t.count() < t.expected:
		return false
	default:
		t.complete()
		s.table = t
	}
	close(s.moved)
	s.moved = make(chan struct{})
	return true
}

// agrees reports whether a table has what the bucket has.
func (s *recordShelf) agrees(t *recordTable, info *jetstream.StreamInfo, created time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return info.Created.Equal(created) && t.last == info.State.LastSeq && t.count() == info.State.NumSubjects
}

// reached is how far a table has come.
func (s *recordShelf) reached(t *recordTable) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.last
}
