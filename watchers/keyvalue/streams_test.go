package keyvalue

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

func streamOf(t testing.TB, l line, name string) *jetstream.StreamInfo {
	t.Helper()
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	return must[jetstream.Stream](t)(js.Stream(t.Context(), name)).CachedInfo()
}

// keeps looks and holds the outcome.
func keeps(t testing.TB, l line, properties, outcome string) watchers.Report {
	t.Helper()
	rep := check(t, l, "streams", properties, nil)
	if rep.Outcome != outcome {
		t.Fatalf("outcome %s (%s), not %s", rep.Outcome, rep.Message, outcome)
	}
	return rep
}

const everything = `
streams:
  - {name: EVENTS, subjects: [events.>, more], max_age: 7d, persist: async, description: lifecycle, max_bytes: 1GiB, discard: new}
  - name: JOBS
    subjects: [jobs.*]
    retention: workqueue
    storage: memory
    max_messages: 1000
    max_messages_per_subject: 5
    max_message_size: 64KiB
    max_consumers: 7
    discard: new
    discard_new_per_subject: true
    duplicates: 30s
    max_ack_pending: 100
    inactive_threshold: 1h
    compression: none
    allow_direct: false
    allow_message_ttl: true
    delete_marker_ttl: 1m
    allow_atomic: true
    allow_batch: true
    deny_delete: true
    metadata: {owner: fleet}
    republish: {source: jobs.*, destination: copy.$1, headers_only: true}
  - {name: SEALED, subjects: [sealed], deny_purge: true, no_ack: true, compression: s2}
  - {name: COUNTERS, subjects: [count], allow_counters: true, allow_rollup: true}
  - {name: LATER, subjects: [later.>], allow_schedules: true}
buckets:
  - {name: SPECS, history: 64, ttl: 1h, max_value_size: 1MiB, max_bytes: 10MiB, limit_marker_ttl: 1m, republish: {destination: fleet.all.kv.>}}
  - {name: NODES}
objects:
  - {name: BUNDLES, ttl: 30d, max_bytes: 100MiB, compression: s2}
`

func TestStreamsAreCreatedOnceAndThenUnchanged(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	rep := keeps(t, l, everything, machine.OutcomeSuccess)
	want := map[string]any{"created": []any{"EVENTS", "JOBS", "SEALED", "COUNTERS", "LATER", "SPECS", "NODES", "BUNDLES"}, "updated": []any{}}
	if diff := cmp.Diff(want, rep.Payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	rep = keeps(t, l, everything, watchers.OutcomeUnchanged)
	if diff := cmp.Diff(map[string]any{"created": []any{}, "updated": []any{}}, rep.Payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	jobs := streamOf(t, l, "JOBS").Config
	got := []any{jobs.Retention, jobs.Storage, jobs.MaxMsgs, jobs.MaxMsgsPerSubject, jobs.MaxMsgSize, jobs.MaxConsumers, jobs.Duplicates,
		jobs.ConsumerLimits, *jobs.RePublish, jobs.Metadata["owner"], jobs.Replicas, jobs.DenyDelete}
	wanted := []any{jetstream.WorkQueuePolicy, jetstream.MemoryStorage, int64(1000), int64(5), int32(64 << 10), 7, 30 * time.Second,
		jetstream.StreamConsumerLimits{MaxAckPending: 100, InactiveThreshold: time.Hour},
		jetstream.RePublish{Source: "jobs.*", Destination: "copy.$1", HeadersOnly: true}, "fleet", 1, true}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("JOBS (-want +got):\n%s", diff)
	}
	if e := streamOf(t, l, "EVENTS").Config; e.PersistMode != jetstream.AsyncPersistMode || e.MaxAge != 7*24*time.Hour {
		t.Errorf("EVENTS: %+v", e)
	}
}

// TestBucketsAndObjectsAreTheLibrarys holds the layout to the library's own.
func TestBucketsAndObjectsAreTheLibrarys(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	for _, cfg := range []jetstream.KeyValueConfig{
		{Bucket: "PLAIN"},
		{Bucket: "FULL", History: 64, TTL: time.Minute, MaxValueSize: 1 << 20, MaxBytes: 10 << 20, LimitMarkerTTL: time.Minute, Compression: true,
			RePublish: &jetstream.RePublish{Source: ">", Destination: "fleet.all.kv.>"}},
	} {
		must[jetstream.KeyValue](t)(js.CreateKeyValue(t.Context(), cfg))
	}
	must[jetstream.ObjectStore](t)(js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES", TTL: time.Hour, MaxBytes: 1 << 20}))
	keeps(t, l, `
buckets:
  - {name: PLAIN}
  - {name: FULL, history: 64, ttl: 1m, max_value_size: 1MiB, max_bytes: 10MiB, limit_marker_ttl: 1m, compression: s2, republish: {destination: fleet.all.kv.>}}
objects: [{name: BUNDLES, ttl: 1h, max_bytes: 1MiB}]`, watchers.OutcomeUnchanged)
	keeps(t, l, "buckets: [{name: OURS, history: 3}]\nobjects: [{name: OURS}]", machine.OutcomeSuccess)
	kv := must[jetstream.KeyValue](t)(js.KeyValue(t.Context(), "OURS"))
	must[uint64](t)(kv.PutString(t.Context(), "k", "v"))
	store := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), "OURS"))
	must[*jetstream.ObjectInfo](t)(store.PutString(t.Context(), "o", "v"))
}

func TestStreamDrift(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	for name, c := range map[string]struct {
		before, after string // properties of a stream beside its name and subjects
		messages      int
		outcome       string
		says          []string
	}{
		"more":                          {"max_messages: 5", "max_messages: 50", 5, machine.OutcomeSuccess, nil},
		"no bound any more":             {"max_messages: 5", "", 5, machine.OutcomeSuccess, nil},
		"less, and nothing is lost":     {"max_messages: 50", "max_messages: 5", 5, machine.OutcomeSuccess, nil},
		"less, and some are lost":       {"max_messages: 50", "max_messages: 4", 5, machine.OutcomeFail, []string{"max_messages is 50 and is to be 4", "of the 5 messages", "nats stream purge"}},
		"a bound, and some are lost":    {"", "max_messages: 4", 5, machine.OutcomeFail, []string{"max_messages is unlimited"}},
		"fewer bytes":                   {"max_bytes: 1MiB", "max_bytes: 100", 5, machine.OutcomeFail, []string{"max_bytes", "beyond 100 bytes"}},
		"fewer bytes, nothing lost":     {"max_bytes: 1MiB", "max_bytes: 1KiB", 1, machine.OutcomeSuccess, nil},
		"shorter":                       {"max_age: 1h", "max_age: 100ms", 5, machine.OutcomeFail, []string{"max_age is 1h0m0s and is to be 100ms", "older than 100ms"}},
		"shorter, nothing lost":         {"max_age: 2h", "max_age: 1h", 5, machine.OutcomeSuccess, nil},
		"shorter than the window":       {"max_age: 2h", "max_age: 1m", 0, machine.OutcomeSuccess, nil},
		"fewer of a subject":            {"", "max_messages_per_subject: 2", 5, machine.OutcomeFail, []string{"max_messages_per_subject", "beyond 2 of a subject"}},
		"as many of a subject":          {"", "max_messages_per_subject: 5", 5, machine.OutcomeSuccess, nil},
		"storage":                       {"", "storage: memory", 0, machine.OutcomeFail, []string{"storage is file and is to be memory", "nats stream backup"}},
		"persist":                       {"", "persist: async", 0, machine.OutcomeFail, []string{"persist is default and is to be async"}},
		"work queue":                    {"", "retention: workqueue", 0, machine.OutcomeFail, []string{"retention is limits and is to be workqueue"}},
		"interest":                      {"", "retention: interest", 0, machine.OutcomeSuccess, nil},
		"interest, and all is lost":     {"", "retention: interest", 1, machine.OutcomeFail, []string{"that no consumer waits for"}},
		"limits":                        {"retention: interest", "", 0, machine.OutcomeSuccess, nil},
		"delete again":                  {"deny_delete: true", "", 0, machine.OutcomeFail, []string{"deny_delete is true and is to be false"}},
		"purge no more":                 {"", "deny_purge: true", 0, machine.OutcomeSuccess, nil},
		"counters":                      {"", "allow_counters: true", 0, machine.OutcomeFail, []string{"allow_counters"}},
		"no ttl":                        {"allow_message_ttl: true", "", 0, machine.OutcomeFail, []string{"allow_message_ttl"}},
		"several":                       {"description: old", "description: new\ncompression: s2\ndiscard: new\nno_ack: true\nmetadata: {a: b}\nmax_consumers: 5", 5, machine.OutcomeSuccess, nil},
		"what can be, although not all": {"description: old", "description: new\nstorage: memory", 0, machine.OutcomeFail, []string{"storage"}},
		"republish":                     {"", "republish: {destination: copy.>}", 0, machine.OutcomeSuccess, nil},
		"republish no more":             {"republish: {destination: copy.>}", "", 0, machine.OutcomeSuccess, nil},
	} {
		t.Run(name, func(t *testing.T) {
			stream := "S" + strings.ToUpper(strings.NewReplacer(" ", "_", ",", "").Replace(name))
			declare := func(more string) string {
				return "streams:\n  - name: " + stream + "\n    subjects: [" + stream + "]\n    " + strings.ReplaceAll(more, "\n", "\n    ")
			}
			keeps(t, l, declare(c.before), machine.OutcomeSuccess)
			for range c.messages {
				must[*jetstream.PubAck](t)(js.Publish(t.Context(), stream, []byte("body")))
			}
			if strings.Contains(c.after, "100ms") {
				await(t, "old message", func() bool {
					info := streamOf(t, l, stream)
					return info.TimeStamp.Sub(info.State.FirstTime) > 150*time.Millisecond
				})
			}
			rep := keeps(t, l, declare(c.after), c.outcome)
			for _, text := range c.says {
				if !strings.Contains(rep.Message, text) {
					t.Errorf("%q does not say %q", rep.Message, text)
				}
			}
			if got := streamOf(t, l, stream); int(got.State.Msgs) != c.messages || strings.Contains(c.after, "new") && got.Config.Description != "new" {
				t.Errorf("%d messages are left, description %q", got.State.Msgs, got.Config.Description)
			}
			if c.outcome == machine.OutcomeSuccess {
				keeps(t, l, declare(c.after), watchers.OutcomeUnchanged)
			}
		})
	}
}

// TestUndeclaredSettingsStay: what a site has added and no property can say is left alone.
func TestUndeclaredSettingsStay(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	keeps(t, l, "streams: [{name: FROM, subjects: [from]}]", machine.OutcomeSuccess)
	must[jetstream.Stream](t)(js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "TO", Subjects: []string{"to"}, Sources: []*jetstream.StreamSource{{Name: "FROM"}}, Placement: &jetstream.Placement{Cluster: ""},
	}))
	keeps(t, l, "streams: [{name: TO, subjects: [to, more]}]", machine.OutcomeSuccess)
	if got := streamOf(t, l, "TO").Config; len(got.Sources) != 1 || len(got.Subjects) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestOneFailureDoesNotKeepTheOthers(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	rep := keeps(t, l, "streams: [{name: A, subjects: [a.>]}, {name: B, subjects: [a.b]}, {name: C, subjects: [c], replicas: 3}, {name: D, subjects: [d]}]",
		machine.OutcomeFail)
	if diff := cmp.Diff([]any{"A", "D"}, rep.Payload["created"]); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"stream B: creating it: ", "overlap", "stream C: creating it: "} {
		if !strings.Contains(rep.Message, text) {
			t.Errorf("%q does not say %q", rep.Message, text)
		}
	}
}

func TestJetStreamThatIsNotReady(t *testing.T) {
	s := broker(t, func(o *server.Options) { o.JetStream = false })
	l := dial(t, s.ClientURL())
	if rep := keeps(t, l, "buckets: [{name: NODES}]", machine.OutcomeFail); !strings.Contains(rep.Message, "JetStream is not ready") {
		t.Errorf("%+v", rep)
	}
}

// accounts are those of an overlay in small: streams are kept by somebody who is not of the system account.
func accounts(o *server.Options) {
	fleet, system := server.NewAccount("FLEET"), server.NewAccount("SYSTEM")
	o.Accounts = []*server.Account{fleet, system}
	o.SystemAccount = "SYSTEM"
	o.Users = []*server.User{{Username: "fleet", Password: "fleet", Account: fleet}, {Username: "system", Password: "system", Account: system}}
}

func TestAutoIsOneForEachBrokerAtMostThree(t *testing.T) {
	all := cluster(t, accounts)
	for _, s := range all {
		account := must[*server.Account](t)(s.LookupAccount("FLEET"))
		if err := account.EnableJetStream(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	l := dial(t, all[1].ClientURL(), nats.UserInfo("fleet", "fleet"))
	if present, err := callRoll(t.Context(), l.nc); len(present) != 3 || err != nil {
		t.Fatalf("%v, %v", present, err)
	}
	const declared = `
streams: [{name: EVENTS, subjects: [events], persist: async}, {name: ONE, subjects: [one], replicas: 1}, {name: GROWS, subjects: [grows]}]
buckets: [{name: ELECTIONS}]`
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	await(t, "cluster that creates streams", func() bool {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GROWS", Subjects: []string{"grows"}, Replicas: 1})
		return err == nil
	})
	await(t, "success", func() bool { return check(t, l, "streams", declared, nil).Outcome != machine.OutcomeFail })
	for name, want := range map[string]int{"EVENTS": 3, "ONE": 1, "GROWS": 3, "KV_ELECTIONS": 3} {
		if got := streamOf(t, l, name).Config; got.Replicas != want || got.PersistMode != jetstream.DefaultPersistMode {
			t.Errorf("%s has %d replicas, persists %s", name, got.Replicas, got.PersistMode)
		}
		await(t, "replicas of "+name+" that have everything", func() bool { // else the broker that goes takes the only copy with it
			c := streamOf(t, l, name).Cluster
			return c.Leader != "" && len(c.Replicas) == want-1 &&
				!slices.ContainsFunc(c.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
		})
	}
	goes, stays := all[2], all[0] // the broker that goes is not the one that alone has ONE
	if streamOf(t, l, "ONE").Cluster.Leader == goes.Name() {
		goes, stays = stays, goes
	}
	t.Run("a broker that is down takes no replica away", func(t *testing.T) {
		goes.Shutdown()
		await(t, "two brokers", func() bool {
			present, err := callRoll(t.Context(), l.nc)
			return len(present) == 2 && err == nil
		})
		var last watchers.Report
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the last look says %+v", last)
			}
		})
		await(t, "unchanged", func() bool {
			last = check(t, l, "streams", declared, nil)
			return last.Outcome == watchers.OutcomeUnchanged
		})
		if got := streamOf(t, l, "GROWS").Config.Replicas; got != 3 {
			t.Errorf("GROWS has %d replicas", got)
		}
	})
	t.Run("two of three elect and govern", func(t *testing.T) {
		h := patientCandidate(t, l, "h1")
		h.next(machine.OutcomeSuccess, 1)
		other := patientCandidate(t, dial(t, stays.ClientURL(), nats.UserInfo("fleet", "fleet")), "h2")
		other.next(outcomeFollowed, 1)
		stop := elapsed()
		h.stop()
		if took := other.next(machine.OutcomeSuccess, 1).at - stop; took > longLease/2 {
			t.Errorf("handed over after %s", took)
		}
	})
}

// TestAsyncIsForBrokersThatAreAlone: in a cluster a broker that sees no other must not make what can never have replicas.
func TestAsyncIsForBrokersThatAreAlone(t *testing.T) {
	const synced, async = jetstream.DefaultPersistMode, jetstream.AsyncPersistMode
	for name, c := range map[string]struct {
		declared, alone bool
		present, want   jetstream.PersistModeType
	}{
		"alone":                          {true, true, synced, async},
		"alone, not declared":            {false, true, synced, synced},
		"in a cluster":                   {true, false, synced, synced},
		"in a cluster, and it is so":     {true, false, async, async},
		"in a cluster, not declared":     {false, false, synced, synced},
		"it is so, and is not any more":  {false, false, async, synced}, // which drift refuses
		"alone, and it is so and is not": {false, true, async, synced},
	} {
		if got := (&keeping{alone: c.alone}).persist(&want{async: c.declared}, c.present); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestAsyncStaysWhereItIs: a stream that was created on one broker cannot have replicas; that is told, and no failure for ever.
func TestAsyncStaysWhereItIs(t *testing.T) {
	k := &keeping{brokers: 3}
	item := want{kind: "stream", name: "EVENTS"}
	if n, err := k.replicas(t.Context(), &item, 1, jetstream.AsyncPersistMode); n != 1 || err != nil || len(k.notes) != 1 {
		t.Errorf("%d, %v, %q", n, err, k.notes)
	}
}

func TestHostsKeepTheSameStreamsAtOnce(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if rep := check(t, l, "streams", everything, nil); rep.Outcome == machine.OutcomeFail {
				t.Error(rep.Message)
			}
		})
	}
	all.Wait()
	keeps(t, l, everything, watchers.OutcomeUnchanged)
}

func ExampleTypes() {
	for _, t := range Types(nil) {
		fmt.Println(t.Name)
	}
	// Output:
	// kv
	// streams
	// usage
	// brokers
	// election
	// governor
}
