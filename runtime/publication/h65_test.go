package publication

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers/delivery"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// bucket is a host of a cell whose stream has no leader until a time: it hears nothing of what it asks the stream and says so, or says nothing itself, or
// its stream stores it and says nothing.
type bucket struct {
	until        time.Time
	mute, stores bool
	value        []byte
	asked        int
}

func (b *bucket) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	b.asked++
	if !strings.HasSuffix(m.Subject, publishService) {
		return nil, nats.ErrNoResponders
	}
	var q delivery.PublicationQuery
	if err := json.Unmarshal(m.Data, &q); err != nil {
		return nil, err
	}
	if bytes.Equal(b.value, q.Envelope) {
		return answered(delivery.PublicationAnswer{Revision: 7})
	}
	if time.Now().Before(b.until) {
		if b.stores {
			b.value = q.Envelope
		}
		if b.mute {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {messaging.CodeNotReady}, micro.ErrorHeader: {"ask again"}}}, nil
	}
	b.value = q.Envelope
	return answered(delivery.PublicationAnswer{Revision: 7})
}

func answered(v any) (*nats.Msg, error) {
	data, err := json.Marshal(v)
	return &nats.Msg{Data: data}, err
}

func (b *bucket) shelf() *Shelf {
	return &Shelf{request: b.request, subject: func(service string) string { return "client.U.out." + service }}
}

// TestH65APublicationIsTriedAgainUntilThereIsALeader waits for the leader and not for the answer that does not come; one that was stored although
// nobody heard of it is taken for what it is; and whoever gives up says why.
func TestH65APublicationIsTriedAgainUntilThereIsALeader(t *testing.T) {
	for name, b := range map[string]*bucket{"denied": {}, "in silence": {mute: true}, "stored in silence": {mute: true, stores: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				b.until = began.Add(9 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if revision, err := b.shelf().put(ctx, "spec.default", []byte("x"), 3); err != nil || revision != 7 {
					t.Errorf("revision %d (%v)", revision, err)
				}
				if took := time.Since(began); took > 9*time.Second+tryTimeout+tryPause {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{until: time.Now().Add(time.Hour), mute: true}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := b.shelf().put(ctx, "spec.default", []byte("x"), 3); !errors.Is(err, ErrSilent) || b.asked < 7 {
			t.Errorf("%v after %d tries", err, b.asked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, _, err := (&bucket{}).shelf().get(ctx, "spec.default"); !errors.Is(err, ErrNobody) {
			t.Errorf("where no host has the service: %v", err)
		}
	})
}
