package keyvalue

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// takingBack tries everything by which a value of a bucket is taken away or replaced, and returns what succeeded.
func takingBack(t *testing.T, l line, bucket, key string) (done []string) {
	t.Helper()
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	kv := must[jetstream.KeyValue](t)(js.KeyValue(t.Context(), bucket))
	stream := must[jetstream.Stream](t)(js.Stream(t.Context(), "KV_"+bucket))
	entry := must[jetstream.KeyValueEntry](t)(kv.Get(t.Context(), key))
	rollup := func(to string) func() error {
		return func() error {
			_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "$KV." + bucket + ".z", Header: nats.Header{jetstream.MsgRollup: {to}}})
			return err
		}
	}
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"put", func() error { _, err := kv.Put(t.Context(), key, []byte("other")); return err }},
		{"update", func() error { _, err := kv.Update(t.Context(), key, []byte("other"), entry.Revision()); return err }},
		{"delete", func() error { return kv.Delete(t.Context(), key) }},
		{"purge of a key", func() error { return kv.Purge(t.Context(), key) }},
		{"roll-up of a key", rollup(jetstream.MsgRollupSubject)},
		{"roll-up of all", rollup(jetstream.MsgRollupAll)},
		{"deletion of a message", func() error { return stream.DeleteMsg(t.Context(), entry.Revision()) }},
		{"deletion with overwriting", func() error { return stream.SecureDeleteMsg(t.Context(), entry.Revision()) }},
		{"purge", func() error { return stream.Purge(t.Context()) }},
		{"lower bound", func() error {
			c := stream.CachedInfo().Config
			c.DenyPurge, c.DiscardNewPerSubject, c.AllowRollup = false, false, true
			_, err := js.UpdateStream(t.Context(), c)
			return err
		}},
	} {
		if try.do() == nil {
			done = append(done, try.name)
		}
	}
	return done
}

// TestH69ABucketThatIsWrittenOnce makes one of a bucket that is there: its values stay, whatever is tried, and what was deleted before can be written.
// First the same is tried while it is an ordinary bucket.
func TestH69ABucketThatIsWrittenOnce(t *testing.T) {
	for name, copies := range map[string]int{"alone": 1, "in a cluster": 3} {
		t.Run(name, func(t *testing.T) {
			var l line
			if copies == 1 {
				l = dial(t, broker(t).ClientURL())
			} else {
				l = dial(t, cluster(t)[0].ClientURL())
			}
			before := "buckets: [{name: REVOKED}]"
			await(t, "the bucket", func() bool { return check(t, l, "streams", before, nil).Outcome != machine.OutcomeFail })
			js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
			kv := must[jetstream.KeyValue](t)(js.KeyValue(t.Context(), "REVOKED"))
			put := func(key, value string) { t.Helper(); must[uint64](t)(kv.Put(t.Context(), key, []byte(value))) }
			put("a", "1")
			if done := takingBack(t, l, "REVOKED", "a"); len(done) < 5 {
				t.Fatalf("of an ordinary bucket only %q takes something away: the test would prove nothing", done)
			}
			put("a", "1")
			put("b", "2")
			put("lifted", "3")
			if err := kv.Delete(t.Context(), "lifted"); err != nil {
				t.Fatal(err)
			}
			once := "buckets: [{name: REVOKED, write_once: true}]"
			keeps(t, l, once, machine.OutcomeSuccess)
			keeps(t, l, once, watchers.OutcomeUnchanged)
			if done := takingBack(t, l, "REVOKED", "a"); len(done) > 0 {
				t.Errorf("what is written once is taken back by %q", done)
			}
			put("lifted", "4")
			put("c", "5")
			for key, want := range map[string]string{"a": "1", "b": "2", "lifted": "4", "c": "5"} {
				if e, err := kv.Get(t.Context(), key); err != nil || string(e.Value()) != want {
					t.Errorf("%s: %v, %v, want %s", key, e, err, want)
				}
			}
			for key, outcome := range map[string]string{"a": outcomeExists, "new": outcomeCreated} {
				rep := check(t, l, "kv", "bucket: REVOKED\nkey: "+key+"\nmode: create\nvalue: \"'x'\"", nil)
				if rep.Outcome != outcome {
					t.Errorf("creating %s: %s %s", key, rep.Outcome, rep.Message)
				}
			}
			if rep := check(t, l, "kv", "bucket: REVOKED\nkey: a\nmode: put\nvalue: \"'x'\"", nil); rep.Outcome != machine.OutcomeFail {
				t.Errorf("it is written over: %+v", rep)
			}
		})
	}
}

// TestH69NoMarkerIsMissed makes buckets ones that are written once at the moment at which a replica may still lack the last markers of
// deletions: a key whose marker stays could never be written again.
func TestH69NoMarkerIsMissed(t *testing.T) {
	l := dial(t, cluster(t)[0].ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	for n := range 20 {
		name := fmt.Sprintf("B%d", n)
		await(t, "the bucket", func() bool {
			return check(t, l, "streams", "buckets: [{name: "+name+", replicas: 3}]", nil).Outcome != machine.OutcomeFail
		})
		kv := must[jetstream.KeyValue](t)(js.KeyValue(t.Context(), name))
		for i := range 30 {
			must[uint64](t)(kv.Put(t.Context(), fmt.Sprint(i), []byte("1")))
			if err := kv.Delete(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the bucket that is written once", func() bool { // a broker of a cluster may not know the bucket yet
			return check(t, l, "streams", "buckets: [{name: "+name+", replicas: 3, write_once: true}]", nil).Outcome != machine.OutcomeFail
		})
		for i := range 30 {
			if _, err := kv.Put(t.Context(), fmt.Sprint(i), []byte("1")); err != nil {
				t.Errorf("bucket %s, key %d: %v", name, i, err)
			}
		}
		if err := js.DeleteKeyValue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestH69ABucketThatIsWrittenOnceAndFull refuses what is new, and keeps what it has.
func TestH69ABucketThatIsWrittenOnceAndFull(t *testing.T) {
	l := dial(t, broker(t, func(*server.Options) {}).ClientURL())
	keeps(t, l, "buckets: [{name: REVOKED, write_once: true, max_bytes: 10000}]", machine.OutcomeSuccess)
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	kv := must[jetstream.KeyValue](t)(js.KeyValue(t.Context(), "REVOKED"))
	must[uint64](t)(kv.Put(t.Context(), "first", []byte("1")))
	full := false
	for i := range 100 {
		if _, err := kv.Put(t.Context(), string(rune('a'+i%26))+string(rune('a'+i/26)), make([]byte, 900)); err != nil {
			full = true
			break
		}
	}
	if _, err := kv.Get(t.Context(), "first"); err != nil || !full {
		t.Errorf("full %t, and the first: %v", full, err)
	}
}

// TestKVListsPages reads a bucket page by page, and finds by what is in the values.
func TestKVListsPages(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "B"})
	list := func(more string) watchers.Report {
		return check(t, l, "kv", "bucket: B\nkey: '>'\nmode: list\n"+more, nil)
	}
	if rep := list(""); rep.Outcome != outcomeMissing {
		t.Fatalf("of an empty bucket: %+v", rep)
	}
	for _, key := range []string{"d", "a.x", "c", "b", "text"} {
		value := `{"n": "` + key + `"}`
		if key == "text" {
			value = "no structure"
		}
		must[uint64](t)(kv.Put(t.Context(), key, []byte(value)))
	}
	if err := kv.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	keys := func(rep watchers.Report) (all []string) {
		for _, e := range rep.Payload["entries"].([]any) {
			all = append(all, e.(map[string]any)["key"].(string))
		}
		return all
	}
	for more, want := range map[string]struct{ keys, next string }{
		"":                              {"a.x b d text", ""},
		"most: 2":                       {"a.x b", "b"},
		"most: 2\nafter: \"'b'\"":       {"d text", ""},
		"where: message.value.n == 'd'": {"d", ""},
	} {
		rep := list(more)
		got := ""
		if rep.Outcome == machine.OutcomeSuccess {
			for i, k := range keys(rep) {
				if i > 0 {
					got += " "
				}
				got += k
			}
		}
		if got != want.keys || rep.Payload["next"] != want.next {
			t.Errorf("%q: %q then %v, %s %s", more, got, rep.Payload["next"], rep.Outcome, rep.Message)
		}
	}
}
