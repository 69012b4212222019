package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bucket reads and writes the keys of a key-value bucket in NATS's layout (ADR-8). The library's KeyValue asks for the stream's
// information first, for which nodes have no permission and which a cluster answers slowly; this asks for nothing but the key.
type bucket struct {
	nc   *nats.Conn
	name string
}

// entry is the last thing that was written to a key.
type entry struct {
	key      string
	value    []byte
	revision uint64 // 0 where nothing was ever written
	gone     bool   // there is no value: nothing was written, or a marker of a deletion
}

var (
	errConflict = errors.New("the key has another revision")
	errNoBucket = errors.New("the bucket does not exist, or JetStream is not ready")
)

const operationHeader = "KV-Operation"

func (b *bucket) stream() string            { return "KV_" + b.name }
func (b *bucket) subject(key string) string { return "$KV." + b.name + "." + key }

// read returns the last entry of a key. It is a direct get, which any replica answers, where the bucket allows that.
func (b *bucket) read(ctx context.Context, key string) (entry, error) {
	js, err := b.nc.JetStream()
	if err != nil {
		return entry{}, fmt.Errorf("reading %s.%s: %w", b.name, key, err)
	}
	m, err := patiently(ctx, func(ctx context.Context) (*nats.RawStreamMsg, error) {
		m, err := js.GetLastMsg(b.stream(), b.subject(key), nats.DirectGet(), nats.Context(ctx))
		if errors.Is(err, nats.ErrNoResponders) {
			m, err = js.GetLastMsg(b.stream(), b.subject(key), nats.Context(ctx))
		}
		return m, err
	})
	switch {
	case errors.Is(err, nats.ErrMsgNotFound):
		return entry{key: key, gone: true}, nil
	case errors.Is(err, nats.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders):
		return entry{}, fmt.Errorf("reading %s.%s: %w; a streams watcher keeps buckets", b.name, key, errNoBucket)
	case err != nil:
		return entry{}, fmt.Errorf("reading %s.%s: %w", b.name, key, err)
	}
	return entry{key: key, value: m.Data, revision: m.Sequence, gone: marksDeletion(m.Header)}, nil
}

// info asks for the stream of the bucket.
func (b *bucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("asking how full %s is: %w", b.name, err)
	}
	info, err := patiently(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		s, err := js.Stream(ctx, b.stream())
		if err != nil {
			return nil, err
		}
		return s.CachedInfo(), nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking how full %s is: %w", b.name, err)
	}
	return info, nil
}

// tryTimeout is how long one try to read waits for its answer.
const tryTimeout = 2 * time.Second

// patiently asks with short tries until ctx ends: what is asked of a stream that has no leader is dropped in silence, and has to be asked again.
func patiently[T any](ctx context.Context, ask func(ctx context.Context) (T, error)) (T, error) {
	for {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		v, err := ask(once)
		silence := err != nil && once.Err() != nil
		cancel()
		if !silence || ctx.Err() != nil {
			return v, err
		}
	}
}

// readAtLeast reads a key that is known to have had a revision. A replica that lags behind shows an older one, so that it is asked
// again; one that is still older after that has been restored from a copy, and counts.
func (b *bucket) readAtLeast(ctx context.Context, key string, revision uint64) (entry, error) {
	const tries = 5
	e, err := b.read(ctx, key)
	for n := 1; n < tries && err == nil && e.revision < revision; n++ {
		e, err = b.read(ctx, key)
	}
	return e, err
}

// marksDeletion tells a marker, of a client or of the server's own limits, from a value.
func marksDeletion(h nats.Header) bool {
	switch h.Get(operationHeader) {
	case "DEL", "PURGE":
		return true
	}
	return h.Get(jetstream.MarkerReasonHeader) != ""
}

// put writes a value whatever the key holds, and returns its revision.
func (b *bucket) put(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.publish(ctx, &nats.Msg{Subject: b.subject(key), Data: value})
}

// update writes a value where the key's last revision, of a value or a marker, is the given one; 0 is that of a key without
// either. It returns errConflict where it is another.
func (b *bucket) update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return b.publish(ctx, &nats.Msg{Subject: b.subject(key), Data: value}, jetstream.WithExpectLastSequencePerSubject(revision))
}

// remove writes a marker of a deletion, as update does.
func (b *bucket) remove(ctx context.Context, key string, revision uint64) (uint64, error) {
	m := nats.NewMsg(b.subject(key))
	m.Header.Set(operationHeader, "DEL")
	return b.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(revision))
}

func (b *bucket) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	key := m.Subject[len(b.subject("")):]
	js, err := jetstream.New(b.nc)
	if err != nil {
		return 0, fmt.Errorf("writing %s.%s: %w", b.name, key, err)
	}
	ack, err := js.PublishMsg(ctx, m, opts...)
	switch {
	case wrongRevision(err), writtenOnce(err):
		return 0, fmt.Errorf("writing %s.%s: %w", b.name, key, errConflict)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return 0, fmt.Errorf("writing %s.%s: %w; a streams watcher keeps buckets", b.name, key, errNoBucket)
	case err != nil:
		return 0, fmt.Errorf("writing %s.%s: %w", b.name, key, err)
	}
	return ack.Sequence, nil
}

// codeNotStored is the answer where a bound of the stream refuses a message.
const codeNotStored jetstream.ErrorCode = 10077

// writtenOnce reports whether a key has the one value that it may have. The words are those of nats-server (server/store.go, 2.15.2).
func writtenOnce(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNotStored && strings.Contains(api.Description, "messages per subject")
}

// wrongRevision knows both codes: replicated streams answer the second while another write is under way.
func wrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
