package keyvalue

import (
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
		spec := &kvSpec{Connection: "fleet", Bucket: "NODES", Key: key, Mode: mode, KeepFree: 20}
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
