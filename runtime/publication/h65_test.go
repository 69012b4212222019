package publication

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bucket is one whose stream has no leader until a time: it drops in silence what it is asked, or stores it and says nothing.
type bucket struct {
	jetstream.KeyValue
	until  time.Time
	stores bool
	value  []byte
	asked  int
}

func (b *bucket) Update(ctx context.Context, _ string, value []byte, _ uint64) (uint64, error) {
	b.asked++
	if b.value != nil {
		return 0, jetstream.ErrKeyRevisionMismatch
	}
	if time.Now().Before(b.until) {
		if b.stores {
			b.value = value
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	b.value = value
	return 7, nil
}

func (b *bucket) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	return entry{value: b.value}, nil
}

type entry struct {
	jetstream.KeyValueEntry
	value []byte
}

func (e entry) Value() []byte    { return e.value }
func (e entry) Revision() uint64 { return 7 }

// TestH65APublicationIsTriedAgainUntilThereIsALeader waits for the leader and not for the answer that does not come; one that was stored although
// nobody heard of it is taken for what it is; and whoever gives up says why.
func TestH65APublicationIsTriedAgainUntilThereIsALeader(t *testing.T) {
	for _, stores := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			b := &bucket{until: began.Add(9 * time.Second), stores: stores}
			s := &Shelf{specs: b}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			revision, err := s.replace(ctx, "default", []byte("spec"), &Published{Revision: 6})
			if err != nil || revision != 7 || !bytes.Equal(b.value, []byte("spec")) {
				t.Errorf("revision %d (%v)", revision, err)
			}
			if took := time.Since(began); took > 9*time.Second+tryTimeout+tryPause {
				t.Errorf("it took %s", took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{until: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := (&Shelf{specs: b}).replace(ctx, "default", nil, &Published{}); !errors.Is(err, ErrSilent) || b.asked < 9 {
			t.Errorf("%v after %d tries", err, b.asked)
		}
	})
}
