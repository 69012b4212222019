package delivery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// silentStore is an object store that drops requests in silence, as one does that has no leader.
type silentStore struct {
	jetstream.ObjectStore
	until time.Time // when it has a leader again
	data  []byte
	asked atomic.Int64
	deaf  bool // it does not even notice that nobody waits any more
}

func (s *silentStore) silent(ctx context.Context) error {
	s.asked.Add(1)
	if time.Now().After(s.until) {
		return nil
	}
	if s.deaf {
		time.Sleep(time.Hour)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *silentStore) GetInfo(ctx context.Context, name string, _ ...jetstream.GetObjectInfoOpt) (*jetstream.ObjectInfo, error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	return &jetstream.ObjectInfo{ObjectMeta: jetstream.ObjectMeta{Name: name}, Size: uint64(len(s.data))}, nil
}

func (s *silentStore) Get(context.Context, string, ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	return &result{data: s.data}, nil
}

// result gives an object slowly: a part a second.
type result struct {
	jetstream.ObjectResult
	data []byte
}

func (r *result) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	p[0], r.data = r.data[0], r.data[1:]
	return 1, nil
}

func (*result) Close() error { return nil }

// TestH65AnObjectIsReadSoonAfterItsStreamHasALeaderAgain: what was asked before that is dropped, and asked again. It was waited for for a minute.
func TestH65AnObjectIsReadSoonAfterItsStreamHasALeaderAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		store := &silentStore{until: began.Add(9 * time.Second), data: []byte("12345")}
		data, err := readObject(t.Context(), store, "latest")
		if err != nil || string(data) != "12345" {
			t.Fatalf("%s (%v)", data, err)
		}
		if took := time.Since(began); took > 9*time.Second+readSilence+readPause+5*time.Second { // the object itself takes five
			t.Errorf("it took %s", took)
		}
	})
}

// TestH65NobodyJoinsAReadThatIsStuck: a read has an end, also where the store does not notice that nobody waits any more, and the next one begins anew.
func TestH65NobodyJoinsAReadThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &silentStore{until: time.Now().Add(readTimeout + time.Second), deaf: true, data: []byte("1")}
		kept := newObjectCache(1000, 1000)
		load := func() error {
			told := make(chan error)
			kept.load(t.Context(), "latest", time.Hour, func() ([]byte, error) { return readObject(t.Context(), store, "latest") },
				func(_ []byte, err error) { told <- err })
			return <-told
		}
		began := time.Now()
		if err := load(); !errors.Is(err, errObjectSilence) {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began); took > readTimeout+readSilence {
			t.Errorf("it ends after %s", took)
		}
		time.Sleep(time.Second)
		if err := load(); err != nil {
			t.Errorf("the next one: %v", err)
		}
		time.Sleep(time.Hour) // so that those of the store end
	})
}

// TestH65AnObjectThatCannotBeReadAtTheMomentIsAskedForAgain: the depot says so, and the node does not take it for a refusal.
func TestH65AnObjectThatCannotBeReadAtTheMomentIsAskedForAgain(t *testing.T) {
	s := newObjectShelf("BUNDLES", 1<<20, 1000, slog.New(slog.DiscardHandler))
	s.read = func(context.Context, string) ([]byte, error) { return nil, errObjectSilence }
	r := &answered{told: make(chan string, 1), data: `{"name": "latest", "bucket": "BUNDLES", "offset": 0, "length": 1}`}
	s.answer(t.Context(), r)
	if code := <-r.told; code != messaging.CodeNotReady {
		t.Errorf("the depot answers %s", code)
	}

	a := newArchiveTest(t)
	b := bundleOf(t, "1.0.0")
	turned := 0
	a.broker(&ranges{object: b.Data, answer: func(_ ObjectQuery, m *nats.Msg) *nats.Msg {
		if turned++; turned < 3 {
			return refusal(messaging.CodeNotReady, "the object cannot be read at the moment; ask again")
		}
		return m
	}})
	w := a.object(b)
	w.spec.Timeout = strict.Duration(200 * time.Millisecond)
	a.check(w, watchers.Started, outcomeDeployed)
}

// answered is a request of which the code of its answer is told.
type answered struct {
	micro.Request
	data string
	told chan string
}

func (r *answered) Data() []byte { return []byte(r.data) }

func (r *answered) Error(code, _ string, _ []byte, _ ...micro.RespondOpt) error {
	r.told <- code
	return nil
}
