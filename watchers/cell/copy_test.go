package cell

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// streamsAt are those of a new server.
func streamsAt(t *testing.T) jetstream.JetStream {
	t.Helper()
	s := must[*server.Server](t)(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}))
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	nc := must[*nats.Conn](t)(nats.Connect(s.ClientURL()))
	t.Cleanup(nc.Close)
	return must[jetstream.JetStream](t)(jetstream.New(nc))
}

const manyEvents = 2*copyPending + 10

// aloneStreams are what a host that was alone might have.
func aloneStreams(t *testing.T) jetstream.JetStream {
	t.Helper()
	ctx, js := t.Context(), streamsAt(t)
	must[jetstream.Stream](t)(js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, PersistMode: jetstream.AsyncPersistMode}))
	for i := range manyEvents {
		must[*jetstream.PubAck](t)(js.Publish(ctx, "events.n", fmt.Append(nil, i)))
	}
	kv := must[jetstream.KeyValue](t)(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "NODES", History: 5}))
	for _, text := range []string{"n1=first", "n2=ours", "n1=second", "n3=gone"} {
		must[uint64](t)(kv.PutString(ctx, text[:2], text[3:]))
	}
	if err := kv.Delete(ctx, "n3"); err != nil {
		t.Fatal(err)
	}
	must[uint64](t)(kv.Create(ctx, "n4", []byte("created")))
	return js
}

func TestStreamsAreCopiedOnce(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	theirs := must[jetstream.KeyValue](t)(to.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "NODES", History: 5}))
	must[uint64](t)(theirs.PutString(ctx, "n2", "theirs"))
	m := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	for range 2 { // as after an interruption
		if err := m.Copy(ctx, []string{"EVENTS", "KV_NODES"}); err != nil {
			t.Fatal(err)
		}
	}
	events := must[jetstream.Stream](t)(to.Stream(ctx, "EVENTS")).CachedInfo()
	if s := events.State; s.Msgs != manyEvents || s.FirstSeq != manyEvents+1 || events.Config.PersistMode != jetstream.DefaultPersistMode {
		t.Errorf("EVENTS has %+v, persists %s", s, events.Config.PersistMode)
	}
	last := must[*jetstream.RawStreamMsg](t)(must[jetstream.Stream](t)(to.Stream(ctx, "EVENTS")).GetLastMsgForSubject(ctx, "events.n"))
	if diff := cmp.Diff(fmt.Sprint(manyEvents-1), string(last.Data)); diff != "" {
		t.Error(diff)
	}
	got := map[string][]string{}
	for _, key := range []string{"n1", "n2", "n3", "n4"} {
		for _, e := range must[[]jetstream.KeyValueEntry](t)(theirs.History(ctx, key)) {
			got[key] = append(got[key], e.Operation().String()+" "+string(e.Value()))
		}
	}
	const put, del = "KeyValuePutOp ", "KeyValueDeleteOp "
	want := map[string][]string{"n1": {put + "first", put + "second"}, "n2": {put + "theirs"}, "n3": {put + "gone", del}, "n4": {put + "created"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("NODES (-want +got):\n%s", diff)
	}
}

// TestRevisionsGoOn: what is done by an older revision or term than the last has to stay refused.
func TestRevisionsGoOn(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	theirs := must[jetstream.KeyValue](t)(to.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "NODES", History: 5}))
	m := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	if err := m.Copy(ctx, []string{"KV_NODES"}); err != nil {
		t.Fatal(err)
	}
	before := must[jetstream.Stream](t)(from.Stream(ctx, "KV_NODES")).CachedInfo().State.LastSeq
	if e := must[jetstream.KeyValueEntry](t)(theirs.Get(ctx, "n1")); e.Revision() <= before {
		t.Errorf("the key has revision %d, and the last was %d", e.Revision(), before)
	}
}

// TestAStreamThatCannotBeOpened is not left behind in silence.
func TestAStreamThatCannotBeOpened(t *testing.T) {
	m := &Copier{From: streamsAt(t), To: streamsAt(t), Log: slog.New(slog.DiscardHandler)}
	if err := m.Copy(t.Context(), []string{"KV_NODES"}); err == nil {
		t.Error("it is taken for copied")
	}
}
