package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// objectShelf serves ranges of the objects of a store. Objects are read whole, once for all who ask, and kept in memory.
type objectShelf struct {
	bucket string
	log    *slog.Logger
	kept   *objectCache
	read   func(ctx context.Context, name string) ([]byte, error)
}

const (
	// readTimeout is for one object, with all tries. A node asks for half a minute, and others may join a read until its end.
	readTimeout = 20 * time.Second
	// readSilence is how long a try goes on without an answer or a part of the object: what is asked of a stream that has no leader is dropped in
	// silence, and has to be asked again.
	readSilence = 2 * time.Second
	readPause   = 200 * time.Millisecond // before another try
	// othersKept is how long an object is kept whose name is not its digest: it may be replaced.
	othersKept = 5 * time.Second
)

var (
	errObjectSize   = errors.New("the object is larger than bundles may be")
	errObjectDigest = errors.New("the object is not the one that its name says")
)

// crowdFor is how long those are to stay away who could not even wait.
const crowdFor = 2 * time.Second

func newObjectShelf(bucket string, memory int64, pending int, log *slog.Logger) *objectShelf {
	return &objectShelf{bucket: bucket, log: log, kept: newObjectCache(memory, pending)}
}

func (s *objectShelf) open(ctx context.Context, conn *nats.Conn) (<-chan struct{}, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	store, err := js.ObjectStore(ctx, s.bucket)
	if err != nil {
		return nil, fmt.Errorf("the object store %s: %w", s.bucket, err)
	}
	s.read = func(ctx context.Context, name string) ([]byte, error) { return readObject(ctx, store, name) }
	return nil, nil
}

// readObject reads one object, with several tries.
func readObject(ctx context.Context, store jetstream.ObjectStore, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, errObjectSilence)
	defer cancel()
	for {
		data, err := readOnce(ctx, store, name, readSilence)
		if err == nil || lastingly(err) {
			return data, err
		}
		if watchers.Rest(ctx, readPause) != nil {
			return nil, err
		}
	}
}

// lastingly reports what another try does not change.
func lastingly(err error) bool {
	for _, lasts := range []error{jetstream.ErrObjectNotFound, jetstream.ErrNameRequired, jetstream.ErrDigestMismatch, errObjectSize, errObjectDigest} {
		if errors.Is(err, lasts) {
			return true
		}
	}
	return false
}

var errObjectSilence = errors.New("the object store does not answer; it may have no leader at the moment")

// readOnce reads one object, until nothing comes for a while. One that is named by its digest is held against it, so that no other is kept in its
// place.
func readOnce(ctx context.Context, store jetstream.ObjectStore, name string, silence time.Duration) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bell := time.AfterFunc(silence, func() {
		defer supervise.Recover(ctx)
		cancel(errObjectSilence)
	})
	defer bell.Stop()
	return beside(ctx, func() ([]byte, error) {
		info, err := store.GetInfo(ctx, name)
		if err != nil {
			return nil, err
		}
		if info.Size > uint64(registry.DefaultLimits().Compressed) {
			return nil, errObjectSize
		}
		bell.Reset(silence)
		object, err := store.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = object.Close() }() // it was read
		data := bytes.NewBuffer(make([]byte, 0, info.Size))
		if _, err := io.Copy(data, heard{object, func() { bell.Reset(silence) }}); err != nil {
			return nil, err
		}
		if checkDigest(name) == nil && digestOf(data.Bytes()) != name {
			return nil, errObjectDigest
		}
		return data.Bytes(), nil
	})
}

// heard tells of every part that is read.
type heard struct {
	from io.Reader
	tell func()
}

// Read implements io.Reader.
func (h heard) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	if n > 0 {
		h.tell()
	}
	return n, err
}

// beside calls f beside the caller, who gets away when ctx ends, whatever f waits for.
func beside[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	supervise.Go(ctx, func() {
		v, err := f()
		done <- result{v, err}
	})
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		r.err = ctx.Err()
	}
	if r.err != nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.value, r.err
}

// answer answers from memory at once, and beside the other requests what is read first. A name becomes part of a subject: the broker
// closes the host's connection where that is too long.
func (s *objectShelf) answer(ctx context.Context, r micro.Request) {
	var q ObjectQuery
	if err := watchers.ReadRequest(r.Data(), &q); err != nil || q.Offset < 0 || q.Length <= 0 || q.Bucket != s.bucket || !objectForm.MatchString(q.Bucket+"/"+q.Name) {
		deny(r, messaging.CodeUnreadable, `ask with {"name": "<sha256>", "bucket": "`+s.bucket+`", "offset": 0, "length": 262144}`)
		return
	}
	if data, ok := s.kept.get(q.Name); ok {
		hand(r, data, q)
		return
	}
	lasting := time.Duration(0)
	if checkDigest(q.Name) != nil {
		lasting = othersKept
	}
	s.kept.load(ctx, q.Name, lasting, func() ([]byte, error) { return s.read(ctx, q.Name) }, func(data []byte, err error) {
		switch {
		case err == nil:
			hand(r, data, q)
		case errors.Is(err, errCrowd):
			messaging.AnswerBusy(r, crowdFor)
		case errors.Is(err, jetstream.ErrObjectNotFound), errors.Is(err, jetstream.ErrNameRequired):
			deny(r, messaging.CodeNotFound, "there is no such object")
		case errors.Is(err, errObjectSize):
			deny(r, messaging.CodeTooLarge, err.Error())
		case !lastingly(err):
			s.log.Warn("object_not_read", "bucket", s.bucket, "object", q.Name, "error", diag.Brief(err.Error(), diag.MaxBrief))
			deny(r, messaging.CodeNotReady, "the object cannot be read at the moment; ask again")
		default:
			s.log.Warn("object_not_read", "bucket", s.bucket, "object", q.Name, "error", diag.Brief(err.Error(), diag.MaxBrief))
			deny(r, messaging.CodeFailed, "the object cannot be read")
		}
	})
}

// hand answers with a range.
func hand(r micro.Request, data []byte, q ObjectQuery) {
	size := int64(len(data))
	from := min(q.Offset, size)
	to := min(size, from+min(q.Length, objectRange))
	_ = r.Respond(data[from:to], micro.WithHeaders(micro.Headers{ // what cannot be sent is for a connection that is gone
		headerObjectSize:   []string{strconv.FormatInt(size, 10)},
		headerObjectOffset: []string{strconv.FormatInt(q.Offset, 10)},
	}))
}
