package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// leaderless is a JetStream whose buckets cannot be watched while it has no leader.
type leaderless struct {
	jetstream.JetStream
	away    atomic.Bool
	refused atomic.Int64
}

var errLeaderless = errors.New("no leader answers")

// KeyValue implements jetstream.JetStream.
func (l *leaderless) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := l.JetStream.KeyValue(ctx, bucket)
	return &leaderlessBucket{KeyValue: kv, of: l}, err
}

type leaderlessBucket struct {
	jetstream.KeyValue
	of *leaderless
}

// WatchAll implements jetstream.KeyValue.
func (b *leaderlessBucket) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	if b.of.away.Load() {
		b.of.refused.Add(1)
		return nil, errLeaderless
	}
	return b.KeyValue.WatchAll(ctx, opts...)
}

// TestH61ABucketThatCannotBeWatchedAgainEndsNothing publishes, and takes the leader away before the depot has
// read the bucket anew: the depot serves what it had, and what was published once there is a leader.
func TestH61ABucketThatCannotBeWatchedAgainEndsNothing(t *testing.T) {
	t.Parallel()
	d := newDepotTest(t)
	kv := d.bucket()
	d.fill(kv, "spec.default", "first")
	js := &leaderless{JetStream: d.js}
	s := newSpecShelf("SPECS", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	lost, err := s.follow(ctx, js)
	if err != nil {
		t.Fatal(err)
	}
	serves := func(text string) bool {
		a, err := s.find(specQuery{Channels: []string{"default"}})
		return err == nil && a.Specs["default"] == text
	}
	d.until("the bucket is read", func() bool { return serves("first") })
	js.away.Store(true)
	d.fill(kv, "spec.default", "second")
	d.until("the bucket cannot be watched", func() bool { return js.refused.Load() > 0 })
	if !serves("second") {
		t.Error("the depot does not serve what it had while there is no leader")
	}
	js.away.Store(false)
	d.fill(kv, "spec.default", "third")
	d.until("the bucket is watched again", func() bool { return serves("third") })
	cancel()
	<-lost
}
