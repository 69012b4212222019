package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// reading brings a stream's last messages into a sheet, and then every message that comes.
type reading struct {
	sheet    *sheet
	stream   jetstream.Stream
	consumer jetstream.Consumer
	created  time.Time
	messages jetstream.ConsumeContext
	caughtUp chan struct{} // says so once
	lost     <-chan struct{}
	unseen   int    // looks at the stream in a row that came to nothing
	behind   uint64 // one more than the last message at the look before, where the stream had more; 0 where it had none

	mu       sync.Mutex
	unpacker unpacker
	found    map[string]bool // nodes of which the stream has something; nil once that is known
	last     uint64          // sequence of the last message
	stopped  bool
}

// streamTimeout is for the broker's answers. What a stream is asked while it has no leader is dropped in silence: it is asked again soon.
const streamTimeout = 3 * time.Second

// consumerLasts is how long the broker keeps a consumer that nobody reads by. One that is gone is made again.
const consumerLasts = 30 * time.Second

// newReading begins to read by one ordered consumer, which goes on by itself after the connection was away.
func newReading(of context.Context, conn *nats.Conn, spec *viewSpec, s *sheet) (*reading, error) {
	ctx, cancel := context.WithTimeout(of, streamTimeout)
	defer cancel()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	r := &reading{sheet: s, caughtUp: make(chan struct{}, 1), found: map[string]bool{}}
	if r.stream, err = js.Stream(ctx, spec.Stream); err != nil {
		return nil, fmt.Errorf("the stream %s: %w", spec.Stream, err)
	}
	info := r.stream.CachedInfo()
	r.created = info.Created
	s.keeps(info.Config.MaxAge, forgetNothing)
	consumer, err := r.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{spec.Filter}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, InactiveThreshold: consumerLasts,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the stream %s: %w", spec.Stream, err)
	}
	r.consumer = consumer
	waiting := consumer.CachedInfo().NumPending
	if r.messages, err = consumer.Consume(func(m jetstream.Msg) {
		defer supervise.Recover(of)
		r.take(m)
	}); err != nil {
		return nil, fmt.Errorf("reading the stream %s: %w", spec.Stream, err)
	}
	r.lost = r.messages.Closed()
	if waiting == 0 {
		r.caught()
	}
	return r, nil
}

// stop ends it. What is on its way comes to nothing: another reading may have begun.
func (r *reading) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.messages.Stop()
}

// take takes a message of the stream.
func (r *reading) take(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // it is none of JetStream's
	}
	r.keep(m, meta)
	if meta.NumPending == 0 {
		r.caught()
	}
}

// keep puts a message into the sheet, unless it came before.
func (r *reading) keep(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	r.mu.Lock()
	defer r.mu.Unlock() // also after a panic, so that the reading can be stopped
	if r.stopped || meta.Sequence.Stream <= r.last {
		return
	}
	r.last = meta.Sequence.Stream
	node, err := nodeOf(m.Subject())
	if err != nil {
		r.sheet.refuse(err.Error())
		return
	}
	if r.found != nil {
		r.found[node] = true
	}
	if r.sheet.has(node, meta.Sequence.Stream, meta.Timestamp) {
		return
	}
	document, err := r.unpacker.inventory(node, m.Data())
	if err != nil {
		r.sheet.refuse(err.Error())
		return
	}
	r.sheet.take(&entry{
		identity: node, seen: meta.Timestamp, digest: digestOf(m), document: document, seq: meta.Sequence.Stream,
	})
}

// digestOf is the digest that the adapter sent along, "" where it is none.
func digestOf(m jetstream.Msg) string {
	if digest := m.Headers().Get(DigestHeader); len(digest) <= maxDigest {
		return digest
	}
	return ""
}

// maxDigest is room for any digest that is written in hex.
const maxDigest = 128

// caught forgets what the stream does not have any more, when all that it has was read for the first time.
func (r *reading) caught() {
	r.mu.Lock()
	found := r.found
	r.found = nil
	r.mu.Unlock()
	if found == nil {
		return
	}
	r.sheet.keeps(r.sheet.lasting(), func(node string) bool { return !found[node] })
	r.caughtUp <- struct{}{}
}

// maxUnseen is how often in a row the stream may not be looked at.
const maxUnseen = 3

// check looks whether the stream is the one that is being read, and how long it keeps what it has.
func (r *reading) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	info, err := r.stream.Info(ctx)
	if err != nil {
		if r.unseen++; r.unseen < maxUnseen && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // a broker that has just come back, or a leader that is being elected
		}
		return fmt.Errorf("looking at the stream: %w", err)
	}
	r.unseen = 0
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if !info.Created.Equal(r.created) || info.State.LastSeq < last {
		return errOtherStream
	}
	r.sheet.keeps(info.Config.MaxAge, forgetNothing)
	if info.State.LastSeq == last {
		r.caught() // the message that would have said so is gone
		r.behind = 0
		return nil
	}
	return r.moves(ctx, last)
}

// moves holds a consumer that has not brought all that the stream has against what it had brought at the look before: one that has more to bring and
// brought nothing since stands still, as after a leader's end. It is then made anew.
func (r *reading) moves(ctx context.Context, last uint64) error {
	info, err := r.consumer.Info(ctx)
	switch {
	case err != nil:
		return nil //nolint:nilerr // it is made anew, or its leader elected; the stream's own look counts how long that takes
	case info.NumPending == 0 && info.Delivered.Stream <= last:
		r.behind = 0
		return nil
	case r.behind == 0 || r.behind != last+1:
		r.behind = last + 1 // one more, so that 0 is none
		return nil
	}
	return errStoodStill
}

var errStoodStill = errors.New("the stream has more than its consumer brings, which stood still; it is read again")
