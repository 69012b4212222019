package broker

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers/keyvalue"
)

// fillRevoked puts tokens into the bucket until it does not take the smallest any more.
func fillRevoked(t testing.TB, kv jetstream.KeyValue) {
	t.Helper()
	for i, size := 0, 1000; size > 0; i++ {
		r := Revocation{Kind: RevokedToken, Value: "f" + strconv.Itoa(i), Reason: strings.Repeat("x", size), By: "o", At: time.Now()}
		value, err := r.Encode()
		if err == nil {
			_, err = kv.Create(t.Context(), r.Key(), value)
		}
		switch {
		case keyvalue.IsFull(err):
			size /= 2
		case err != nil:
			t.Fatal(err)
		case i > 1000:
			t.Fatal("the bucket has no bound")
		}
	}
}

// TestH69AHostThatWasAwayHearsWhatAFullBucketDoesNotTake fills the bucket of revocations, and revokes while a host is away. It refuses who was revoked once it is
// back, and the bucket has the revocation once there is room.
func TestH69AHostThatWasAwayHearsWhatAFullBucketDoesNotTake(t *testing.T) {
	o, dir := newOverlay(t), t.TempDir()
	var configs []Config
	all := o.cluster(t, func(c *Config) {
		copied(filepath.Join(dir, c.Name))(c)
		configs = append(configs, *c)
	})
	following(t, all[0], all[1])
	service := o.connect(t, "", o.service(t, RightFleetService), nats.InProcessServer(all[0].Provider()))
	js, err := jetstream.New(service)
	if err != nil {
		t.Fatal(err)
	}
	bounds := jetstream.KeyValueConfig{Bucket: revokedBucket, Replicas: 3, MaxBytes: 20_000}
	var kv jetstream.KeyValue
	await(t, "the bucket", func() bool { kv, err = js.CreateKeyValue(t.Context(), bounds); return err == nil })
	known(t, all[0], all[1])
	fillRevoked(t, kv)
	if err := all[2].Close(); err != nil {
		t.Fatal(err)
	}
	victim, other := o.node(t, "n1"), o.node(t, "n2")
	value, err := testRevocation(RevokedIdentity, "n1").Encode()
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the stream says that it is full", func() bool {
		_, err = kv.Create(t.Context(), "identity.n1", value)
		return keyvalue.IsFull(err)
	})
	for _, b := range all[:2] {
		await(t, "hosts that are there refuse the victim", func() bool { return b.knowledge.Revoked.Ban(Bearer{Identity: "n1", Purpose: "node"}) })
		await(t, "and say what is not stored", func() bool {
			return strings.Contains(b.Health().RevokedFault, "not in the bucket REVOKED")
		})
	}
	back := configs[2]
	copied(filepath.Join(dir, back.Name))(&back)
	b := startBroker(t, back, Decide)
	following(t, b)
	await(t, "the host that was away refuses the victim", func() bool {
		conn, err := o.dial(t, b.ClientURL(), victim)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, nats.ErrAuthorization)
	})
	if _, err := o.dial(t, b.ClientURL(), other); err != nil {
		t.Errorf("who is not revoked: %v", err)
	}
	bounds.MaxBytes = 100_000
	await(t, "there is room again", func() bool { _, err := js.UpdateKeyValue(t.Context(), bounds); return err == nil })
	await(t, "the bucket has it", func() bool { _, err := kv.Get(t.Context(), "identity.n1"); return err == nil })
	await(t, "nothing is said of it any more", func() bool { return all[0].Health().RevokedFault == "" && b.Health().RevokedFault == "" })
}
