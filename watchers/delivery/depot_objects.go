package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
)

// objectShelf serves ranges of the objects of a store. Objects are read whole, once for all who ask, and kept in memory.
type objectShelf struct {
	bucket string
	log    *slog.Logger
	kept   *objectCache
	read   func(ctx context.Context, name string) ([]byte, error)
}

const (
	readTimeout = time.Minute // for one object
	// othersKept is how long an object is kept whose name is not its digest: it may be replaced.
	othersKept = 5 * time.Second
)

var (
	errObjectSize   = errors.New("the object is larger than bundles may be")
	errObjectDigest = errors.New("the object is not the one that its name says")
)

func newObjectShelf(bucket string, memory int64, log *slog.Logger) *objectShelf {
	return &objectShelf{bucket: bucket, log: log, kept: newObjectCache(memory)}
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

// readObject reads one object. One that is named by its digest is held against it, so that no other is kept in its place.
func readObject(ctx context.Context, store jetstream.ObjectStore, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	info, err := store.GetInfo(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.Size > uint64(registry.DefaultLimits().Compressed) {
		return nil, errObjectSize
	}
	data, err := store.GetBytes(ctx, name)
	if err == nil && checkDigest(name) == nil && digestOf(data) != name {
		err = errObjectDigest
	}
	return data, err
}

// answer answers from memory at once, and beside the other requests what is read first. A name becomes part of a subject: the broker
// closes the host's connection where that is too long.
func (s *objectShelf) answer(ctx context.Context, r micro.Request) {
	var q objectQuery
	if err := json.Unmarshal(r.Data(), &q); err != nil || q.Offset < 0 || q.Length <= 0 || q.Bucket != s.bucket || !objectForm.MatchString(q.Bucket+"/"+q.Name) {
		deny(r, codeUnreadable, `ask with {"name": "<sha256>", "bucket": "`+s.bucket+`", "offset": 0, "length": 262144}`)
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
		case errors.Is(err, jetstream.ErrObjectNotFound), errors.Is(err, jetstream.ErrNameRequired):
			deny(r, codeNotFound, "there is no such object")
		case errors.Is(err, errObjectSize):
			deny(r, codeTooLarge, err.Error())
		default:
			s.log.Warn("object_not_read", "bucket", s.bucket, "object", q.Name, "error", diag.Brief(err.Error(), diag.MaxBrief))
			deny(r, codeFailed, "the object cannot be read")
		}
	})
}

// hand answers with a range.
func hand(r micro.Request, data []byte, q objectQuery) {
	size := int64(len(data))
	from := min(q.Offset, size)
	to := min(size, from+min(q.Length, objectRange))
	_ = r.Respond(data[from:to], micro.WithHeaders(micro.Headers{ // what cannot be sent is for a connection that is gone
		headerObjectSize:   []string{strconv.FormatInt(size, 10)},
		headerObjectOffset: []string{strconv.FormatInt(q.Offset, 10)},
	}))
}
