package keyvalue

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// roomy is a broker that says how many bytes its streams may take.
func roomy(t testing.TB, tag string) line {
	return dial(t, broker(t, func(o *server.Options) { o.Tags.Add(tag) }).ClientURL())
}

func TestSharesAreOfWhatABrokerMayKeep(t *testing.T) {
	l := roomy(t, "stream_bytes:1000000")
	const shares = `
streams: [{name: EVENTS, subjects: [events], max_bytes: 30%, shrink: drop}, {name: BY_SIZE, subjects: [size], max_bytes: 1KiB}]
buckets: [{name: NODES, max_bytes: 8%}]
objects: [{name: BUNDLES, max_bytes: 9%}]`
	keeps(t, l, shares, machine.OutcomeSuccess)
	for name, want := range map[string]int64{"EVENTS": 300000, "BY_SIZE": 1024, "KV_NODES": 80000, "OBJ_BUNDLES": 90000} {
		if got := streamOf(t, l, name).Config.MaxBytes; got != want {
			t.Errorf("%s is bounded at %d, not %d", name, got, want)
		}
	}
	keeps(t, l, shares, watchers.OutcomeUnchanged)
	rep := keeps(t, l, "streams: [{name: BY_SIZE, subjects: [size], max_bytes: 999999}]\nbuckets: [{name: NODES, max_bytes: 8%}]", machine.OutcomeFail)
	for _, text := range []string{"come to 1079999 bytes", "may keep 1000000", "raise stream_bytes"} {
		if !strings.Contains(rep.Message, text) {
			t.Errorf("%q does not say %q", rep.Message, text)
		}
	}
}

func TestSharesOfNothingAreRefused(t *testing.T) {
	for _, tag := range []string{"other", "stream_bytes:-5", "stream_bytes:many"} {
		rep := keeps(t, roomy(t, tag), "buckets: [{name: NODES, max_bytes: 8%}]", machine.OutcomeFail)
		if !strings.Contains(rep.Message, "no broker says how many bytes it may keep") {
			t.Errorf("%q", rep.Message)
		}
	}
}

// TestWhatHoldsMoreThanItsShare: what must be kept is kept, and bounded where it is; what may be dropped is cut down to its share.
func TestWhatHoldsMoreThanItsShare(t *testing.T) {
	l := roomy(t, "stream_bytes:100000")
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	keeps(t, l, "streams: [{name: KEPT, subjects: [kept]}, {name: CUT, subjects: [cut]}]", machine.OutcomeSuccess)
	for range 40 {
		must[*jetstream.PubAck](t)(js.Publish(t.Context(), "kept", make([]byte, 1000)))
		must[*jetstream.PubAck](t)(js.Publish(t.Context(), "cut", make([]byte, 1000)))
	}
	held := int64(streamOf(t, l, "KEPT").State.Bytes)
	const shares = "streams: [{name: KEPT, subjects: [kept], max_bytes: 10%}, {name: CUT, subjects: [cut], max_bytes: 10%, shrink: drop}]"
	rep := keeps(t, l, shares, machine.OutcomeFail)
	if !strings.Contains(rep.Message, "stream KEPT: it holds") || !strings.Contains(rep.Message, "raise stream_bytes") {
		t.Errorf("%q", rep.Message)
	}
	if got := streamOf(t, l, "KEPT"); got.State.Msgs != 40 || got.Config.MaxBytes != held+held/4 {
		t.Errorf("KEPT has %d messages, bounded at %d", got.State.Msgs, got.Config.MaxBytes)
	}
	if got := streamOf(t, l, "CUT"); got.State.Bytes > 10000 || got.State.Msgs == 0 || got.Config.MaxBytes != 10000 {
		t.Errorf("CUT has %d bytes in %d messages, bounded at %d", got.State.Bytes, got.State.Msgs, got.Config.MaxBytes)
	}
	rep = keeps(t, l, shares, machine.OutcomeFail) // and it does not grow with what it holds
	if got := streamOf(t, l, "KEPT"); got.Config.MaxBytes != held+held/4 || !strings.Contains(rep.Message, "would be deleted") {
		t.Errorf("bounded at %d: %s", got.Config.MaxBytes, rep.Message)
	}
}

// TestABoundGrowsOnlyWhileAllCopiesAreThere: the broker that is away may be the smallest.
func TestABoundGrowsOnlyWhileAllCopiesAreThere(t *testing.T) {
	item := want{spec: commonSpec{MaxBytes: allotment{percent: 10}}}
	for name, c := range map[string]struct {
		have, wants, bound int64
		offline            bool
	}{
		"all are there":      {100, 200, 200, false},
		"one is away":        {100, 200, 100, true},
		"it becomes smaller": {200, 100, 100, true},
		"it had no bound":    {-1, 100, 100, true},
	} {
		have := &jetstream.StreamInfo{Config: config{MaxBytes: c.have}, Cluster: &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{{}, {Offline: c.offline}}}}
		wanted := config{MaxBytes: c.wants}
		if said := item.ease(have, &wanted); wanted.MaxBytes != c.bound || said != "" {
			t.Errorf("%s: bounded at %d, %s", name, wanted.MaxBytes, said)
		}
	}
}

func TestTheSmallestBrokerCounts(t *testing.T) {
	k := &keeping{present: []brokerInfo{{Tags: []string{"stream_bytes:3000"}}, {}, {Tags: []string{"stream_bytes:2000"}}}}
	all := []want{{spec: commonSpec{Storage: "file", MaxBytes: allotment{percent: 50}}}}
	if err := k.allot(t.Context(), all); err != nil || all[0].spec.MaxBytes.bytes != 1000 {
		t.Errorf("%d, %v", all[0].spec.MaxBytes.bytes, err)
	}
}
