package keyvalue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestG45ABucketKeepsRoomForItsKeys: create takes no new key from the percentage on, and what is there may grow.
func TestG45ABucketKeepsRoomForItsKeys(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES", MaxBytes: 100_000})
	now := time.Now()
	free := &room{}
	does := func(mode, key string, size int) string {
		t.Helper()
		spec := &kvSpec{Connection: "fleet", Bucket: "NODES", Key: watchers.PlainText(key), Mode: mode, KeepFree: 20}
		if mode != modeCreate {
			spec.KeepFree = 0
		}
		w := &kvWriter{spec: spec, connections: l, room: free}
		b := &bucket{nc: l.nc, name: "NODES"}
		var rep watchers.Report
		var err error
		if mode == modeCreate {
			rep, err = w.create(t.Context(), b, &watchers.Look{At: now}, key, make([]byte, size))
		} else {
			rep, err = put(t.Context(), b, key, make([]byte, size))
		}
		if err != nil {
			t.Fatal(err)
		}
		return rep.Outcome
	}
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if got := does(modeCreate, key, 10_000); got != outcomeCreated {
			t.Fatalf("%s is %s", key, got)
		}
	}
	now = now.Add(roomHolds)
	if got := does(modeCreate, "i", 10); got != outcomeFull {
		t.Errorf("another key is %s", got)
	}
	if got := does(modePut, "a", 12_000); got != machine.OutcomeSuccess {
		t.Errorf("what is there grows: %s", got)
	}
	if err := kv.Purge(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := does(modeCreate, "i", 10); got != outcomeFull {
		t.Errorf("how full it was counts for %v: %s", roomHolds, got)
	}
	now = now.Add(roomHolds)
	if got := does(modeCreate, "i", 10); got != outcomeCreated {
		t.Errorf("where there is room again it is %s", got)
	}
}

// TestG45ThousandsAskHowFullABucketIsTogether: one of them asks, and the others wait for its answer, or until nobody wants theirs any more.
func TestG45ThousandsAskHowFullABucketIsTogether(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES", MaxBytes: 100_000})
	asked, err := l.nc.SubscribeSync("$JS.API.STREAM.INFO.KV_NODES")
	if err != nil {
		t.Fatal(err)
	}
	free, b, now := &room{}, &bucket{nc: l.nc, name: "NODES"}, time.Now()
	const together = 200
	answered := make(chan error, together)
	for range together {
		go func() {
			_, err := free.taken(t.Context(), b, now)
			answered <- err
		}()
	}
	for range together {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := asked.Pending(); n != 1 || err != nil {
		t.Errorf("the bucket was asked %d times: %v", n, err)
	}
	free.asking, free.until = make(chan struct{}), time.Time{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := free.taken(ctx, b, now); !errors.Is(err, context.Canceled) {
		t.Errorf("who is not asked any more: %v", err)
	}
}

func formula(t testing.TB, text string) *watchers.Formula {
	t.Helper()
	f, err := watchers.CompileFormula(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestG45AFullBucketSaysSo: what a bucket has no room for is full in every mode that writes, and is told apart from what keep_free reserves.
func TestG45AFullBucketSaysSo(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES", MaxBytes: 1_000})
	if _, err := kv.Put(t.Context(), "a", make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	large, slots := formula(t, `"`+strings.Repeat("x", 1000)+`"`), formula(t, "3")
	for _, mode := range []string{modePut, modeCreate, modeUpdate, modeClaim} {
		spec := &kvSpec{Connection: "fleet", Bucket: "NODES", Key: watchers.PlainText("b"), Mode: mode, Value: large}
		switch mode {
		case modeUpdate:
			spec.Key = watchers.PlainText("a")
		case modeClaim:
			spec.Slots = slots
		}
		rep := (&kvWriter{spec: spec, connections: l, room: &room{}}).Check(t.Context(), newLook(nil))
		if rep.Outcome != outcomeFull || rep.Payload["reserved"] != false || !strings.Contains(rep.Message, "NODES is full") {
			t.Errorf("%s: %+v", mode, rep)
		}
	}
	spec := &kvSpec{Connection: "fleet", Bucket: "NODES", Key: watchers.PlainText("b"), Mode: modeCreate, Value: slots, KeepFree: 50}
	if rep := (&kvWriter{spec: spec, connections: l, room: &room{}}).Check(t.Context(), newLook(nil)); rep.Outcome != outcomeFull || rep.Payload["reserved"] != true {
		t.Errorf("what is reserved: %+v", rep)
	}
}
