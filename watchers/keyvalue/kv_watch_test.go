package keyvalue

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
)

func every(d time.Duration) func(*machine.WatcherSpec) {
	return func(w *machine.WatcherSpec) { w.Interval = d }
}

// follows drives a listener through the life of a key.
func follows(t *testing.T, kv jetstream.KeyValue, h *hearing) {
	t.Helper()
	must[uint64](t)(kv.PutString(t.Context(), "k", "one"))
	created := h.next(outcomeCreated, 1)
	if diff := cmp.Diff(map[string]any{"CONF_k": "one"}, created.Data); diff != "" {
		t.Error(diff)
	}
	must[uint64](t)(kv.PutString(t.Context(), "other", "x"))
	must[uint64](t)(kv.PutString(t.Context(), "k", `{"two": 2}`))
	changed := h.next(outcomeChanged, 1)
	if diff := cmp.Diff(map[string]any{"CONF_k": map[string]any{"two": 2}}, changed.Data); diff != "" {
		t.Error(diff)
	}
	if err := kv.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if gone := h.next(outcomeDeleted, 1); gone.Data["CONF_k"] != nil {
		t.Errorf("%v", gone.Data)
	}
	must[uint64](t)(kv.PutString(t.Context(), "k", "three"))
	h.next(outcomeCreated, 2)
}

func TestWatchFollowsAKey(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	h := listen(t, newWatcher(t, l, "kv", "bucket: CONF\nkey: k\nmode: watch"), newLook(nil))
	follows(t, kv, h)
	h.stop()
	await(t, "stream without consumers", func() bool { return consumers(t, l, "KV_CONF") == 0 })
	if got := h.outcomes(); !slices.Equal(got, []string{outcomeCreated, outcomeChanged, outcomeDeleted, outcomeCreated}) {
		t.Errorf("%v", got)
	}
}

// nodeOnly is what a node may do with a bucket: read its keys directly and hear what is republished.
func nodeOnly(o *server.Options) {
	o.Users = []*server.User{
		{Username: "admin", Password: "admin"},
		{Username: "node", Password: "node", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.DIRECT.GET.KV_CONF.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "fleet.all.>"}},
		}},
	}
}

func TestRepublishedKeyNeedsNoMorePermissionsThanANodeHas(t *testing.T) {
	s := broker(t, nodeOnly)
	admin := dial(t, s.ClientURL(), nats.UserInfo("admin", "admin"))
	node := dial(t, s.ClientURL(), nats.UserInfo("node", "node"))
	kv := keyValue(t, admin, jetstream.KeyValueConfig{
		Bucket: "CONF", RePublish: &jetstream.RePublish{Source: ">", Destination: "fleet.all.kv.>"},
	})
	w := newWatcher(t, node, "kv", "bucket: CONF\nkey: k\nmode: watch\nrepublish_trigger: fleet.all.kv.$KV.CONF.k", every(time.Hour))
	h := listen(t, w, newLook(nil))
	await(t, "subscription", func() bool { return node.nc.NumSubscriptions() > 0 })
	follows(t, kv, h)
	if n := consumers(t, admin, "KV_CONF"); n != 0 {
		t.Errorf("%d consumers", n)
	}
	p := newPoller(t, node, "bucket: CONF\nkey: k")
	p.want(outcomeCreated, map[string]any{"CONF_k": "three"})
}

func TestRepublishedMessagesThatAreNotOurs(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	must[uint64](t)(kv.PutString(t.Context(), "k", "true"))
	h := listen(t, newWatcher(t, l, "kv", "bucket: CONF\nkey: k\nmode: watch\nrepublish_trigger: spec.k", every(time.Hour)), newLook(nil))
	created := h.next(outcomeCreated, 1)
	send := func(revision, stream, subject, text string) {
		m := nats.NewMsg("spec.k")
		m.Header.Set(nats.JSSequence, revision)
		m.Header.Set(nats.JSStream, stream)
		m.Header.Set(nats.JSSubject, subject)
		m.Data = []byte(text)
		if err := l.nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	send("", "", "", "no header")
	send("x", "KV_CONF", "$KV.CONF.k", "no number")
	send("90", "KV_OTHER", "$KV.CONF.k", "another stream")
	send("90", "KV_CONF", "$KV.CONF.kk", "another key")
	send("1", "KV_CONF", "$KV.CONF.k", "a duplicate")
	send("0", "KV_CONF", "$KV.CONF.k", "out of order")
	send("91", "KV_CONF", "$KV.CONF.k", "newer")
	changed := h.next(outcomeChanged, 1)
	if changed.Payload["value"] != "newer" || created.Payload["value"] != "true" || len(h.reports()) != 2 {
		t.Errorf("%v", h.reports())
	}
}

// TestPollRepairsWhatWasNotHeard: a change that nobody republished is found by the interval's read, and so is one that was missed
// while the connection was down.
func TestPollRepairsWhatWasNotHeard(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	h := listen(t, newWatcher(t, l, "kv", "bucket: CONF\nkey: k\nrepublish_trigger: nowhere", every(50*time.Millisecond)), newLook(nil))
	must[uint64](t)(kv.PutString(t.Context(), "k", "v"))
	h.next(outcomeCreated, 1)
	must[uint64](t)(kv.PutString(t.Context(), "k", "w"))
	h.next(outcomeChanged, 1)

	slow := dial(t, s.ClientURL())
	r := listen(t, newWatcher(t, slow, "kv", "bucket: CONF\nkey: k\nrepublish_trigger: nowhere", every(time.Hour)), newLook(nil))
	r.next(outcomeCreated, 1)
	must[uint64](t)(kv.PutString(t.Context(), "k", "x"))
	if err := slow.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	r.next(outcomeChanged, 1)
}

// TestE36RestoredBucketIsFollowed takes the bucket away and brings one with lower revisions.
func TestE36RestoredBucketIsFollowed(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	for range 5 {
		must[uint64](t)(kv.PutString(t.Context(), "k", "new"))
	}
	h := listen(t, newWatcher(t, l, "kv", "bucket: CONF\nkey: k\nmode: watch", every(100*time.Millisecond)), newLook(nil))
	h.next(outcomeCreated, 1)
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	if err := js.DeleteKeyValue(t.Context(), "CONF"); err != nil {
		t.Fatal(err)
	}
	kv = keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	must[uint64](t)(kv.PutString(t.Context(), "k", "old"))
	await(t, "old value", func() bool {
		all := h.reports()
		return all[len(all)-1].Payload["value"] == "old"
	})
	must[uint64](t)(kv.PutString(t.Context(), "k", "newer"))
	await(t, "next value", func() bool {
		all := h.reports()
		return all[len(all)-1].Payload["value"] == "newer"
	})
}
