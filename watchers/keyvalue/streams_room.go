package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// mostShared is how many percent of what a broker may keep shares come to at most. The rest is for what is being written: a stream that drops
// old messages takes the new one first.
const mostShared = 95

var errNoRoom = errors.New("no broker says how many bytes it may keep, so that shares of that are of nothing: " +
	"give brokers a tag such as stream_bytes:10737418240, or write max_bytes as sizes")

// count asks who is there, once a look.
func (k *keeping) count(ctx context.Context) error {
	if k.present == nil {
		var err error
		if k.present, err = census(ctx, k.nc); err != nil {
			return err
		}
	}
	k.brokers = len(k.present)
	return nil
}

// allot makes sizes of the shares: of what the smallest broker may keep, as any may have to keep all.
func (k *keeping) allot(ctx context.Context, all []want) error {
	shared := false
	for _, item := range all {
		shared = shared || item.spec.MaxBytes.percent > 0
	}
	if !shared {
		return nil
	}
	if err := k.count(ctx); err != nil {
		return err
	}
	for _, b := range k.present {
		if n := b.room(); n > 0 && (k.room == 0 || n < k.room) {
			k.room = n
		}
	}
	if k.room == 0 {
		return errNoRoom
	}
	for i := range all {
		all[i].spec.MaxBytes = all[i].spec.MaxBytes.of(k.room)
	}
	return fits(all, k.room)
}

// fits holds what is promised on disk against what a broker may keep.
func fits(all []want, room int64) error {
	var sum int64
	for _, item := range all {
		if item.spec.Storage == "file" {
			sum += item.spec.MaxBytes.bytes
		}
	}
	if limit := room - room/100*(100-mostShared); sum > limit {
		return fmt.Errorf("the max_bytes of all streams, buckets and object stores come to %d bytes, and a broker may keep %d, of which %d%% are "+
			"left for what is being written: lower max_bytes in the machine streams, or raise stream_bytes in overlay.yaml to at least %d",
			sum, room, 100-mostShared, (sum/mostShared+1)*100)
	}
	return nil
}

// CheckRoom holds the properties of a streams watcher against the bytes that the streams of a broker may take, before there is one.
func CheckRoom(w *machine.WatcherSpec, room int64) error {
	var spec streamsSpec
	if err := strict.Decode(w.Properties, &spec, strict.Options{Unknown: diag.Error}).Err(); err != nil {
		return err
	}
	all := spec.wants()
	for i := range all {
		all[i].spec.MaxBytes = all[i].spec.MaxBytes.of(room)
	}
	return fits(all, room)
}

// ease changes a bound of bytes to what can be where it cannot be as declared, and returns what there is to say of that.
func (w *want) ease(have *jetstream.StreamInfo, wanted *config) string {
	present, held := have.Config.MaxBytes, int64(min(have.State.Bytes, math.MaxInt64/2))
	switch {
	case wanted.MaxBytes <= 0:
	case present > 0 && wanted.MaxBytes > present && away(have):
		wanted.MaxBytes = present // who is away may have less room than those that are there
	case w.spec.MaxBytes.percent > 0 && !w.drops && present <= 0 && held > wanted.MaxBytes:
		share := wanted.MaxBytes
		wanted.MaxBytes = held + held/4
		return fmt.Sprintf("it holds %d bytes, more than its share of %d, so that it is bounded at %d: raise stream_bytes of the hosts, or its share",
			held, share, wanted.MaxBytes)
	}
	return ""
}

// away reports whether a broker that keeps a copy is away.
func away(have *jetstream.StreamInfo) bool {
	if have.Cluster == nil {
		return false
	}
	for _, p := range have.Cluster.Replicas {
		if p.Offline {
			return true
		}
	}
	return false
}
