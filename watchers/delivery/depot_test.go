package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// depotTest is a broker with JetStream, a depot that is served from it, and somebody who asks.
type depotTest struct {
	t     testing.TB
	pool  *messaging.Pool
	asker *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	// services are those of the host, but for its pool.
	services Services

	mu       sync.Mutex
	outcomes []string
}

func newDepotTest(t testing.TB) *depotTest {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(archivePatience) {
		t.Fatal("the broker does not start")
	}
	d := &depotTest{t: t, log: slog.New(slog.DiscardHandler)}
	d.pool = messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{s.ClientURL()}, InboxPrefix: "_INBOX.depot"}, nil
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(d.pool.Close)
	if err := d.pool.Keep(context.Background(), "overlay1", "fleet"); err != nil {
		t.Fatal(err)
	}
	if d.asker, err = nats.Connect(s.ClientURL(), nats.CustomInboxPrefix("_INBOX.n1=example")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.asker.Close)
	if d.js, err = jetstream.New(d.asker); err != nil {
		t.Fatal(err)
	}
	return d
}

// serve runs a depot until what it returns is called, or the test ends.
func (d *depotTest) serve(properties string) (stop func()) {
	d.t.Helper()
	n, list := strict.Parse("test.yaml", []byte(properties+"\ninbox: '\"_INBOX.\" + message.tokens[1] + \".\"'"))
	if list.HasErrors() {
		d.t.Fatal(list)
	}
	services := d.services
	services.Pool = d.pool
	services.Stores = func(id string) (*registry.Store, error) { return d.services.Stores(id) } // of the moment
	prepared, list := depotType(services).Prepare(&machine.WatcherSpec{Name: "w", Type: "depot", Strict: true, Properties: n})
	if list.HasErrors() {
		d.t.Fatal(list)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		prepared.New().(watchers.Listener).Listen(ctx, &watchers.Look{
			Machine: "bundles", Watcher: "w", Identity: "overlay1", Log: d.log, Facts: new(watchers.Facts),
		}, func(r watchers.Report) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.outcomes = append(d.outcomes, r.Outcome)
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	d.t.Cleanup(stop)
	return stop
}

const (
	ofSpecs   = "name: specs\nsubject: node.*.out.spec\nserves: specs\nbucket: SPECS"
	ofObjects = "name: bundles\nsubject: node.*.out.bundle\nserves: objects\nbucket: BUNDLES\nmemory: 1"
)

func (d *depotTest) says(outcome string) {
	d.t.Helper()
	d.until("the depot says "+outcome, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Contains(d.outcomes, outcome)
	})
}

func (d *depotTest) until(what string, holds func() bool) {
	d.t.Helper()
	deadline, tick := time.NewTimer(archivePatience), time.NewTicker(2*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			d.t.Fatal("timed out waiting until " + what)
		case <-tick.C:
		}
	}
}

func (d *depotTest) bucket() (kv jetstream.KeyValue) {
	d.t.Helper()
	const storeNotMade jetstream.ErrorCode = 10049 // while nats-server still removes the folder of the bucket before
	d.until("the bucket is made", func() bool {
		var err error
		kv, err = d.js.CreateKeyValue(d.t.Context(), jetstream.KeyValueConfig{Bucket: "SPECS", History: 64})
		var api *jetstream.APIError
		if err != nil && !(errors.As(err, &api) && api.ErrorCode == storeNotMade) {
			d.t.Fatal(err)
		}
		return err == nil
	})
	return kv
}

// ask asks for specs, "" where there is no such answer but an error.
func (d *depotTest) ask(query string) (a specAnswer, code string) {
	d.t.Helper()
	m, err := d.asker.Request("node.n1=example.out.spec", []byte(query), archivePatience)
	if err != nil {
		d.t.Fatal(err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return a, code
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		d.t.Fatal(err)
	}
	return a, ""
}

// specContent compares what answers give, whatever digests they name.
var specContent = cmpopts.IgnoreFields(specAnswer{}, "Digests", "Unchanged")

func TestDepotServesSpecs(t *testing.T) {
	d := newDepotTest(t)
	d.serve(ofSpecs)
	d.says(machine.OutcomeFail) // there is no bucket yet
	kv := d.bucket()
	put := func(key, value string) {
		t.Helper()
		if _, err := kv.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put("root.1", `{"one": "1"}`)
	put("root.2", "two")
	put("root.10", "ten")
	put("spec.default", "first")
	d.says(machine.OutcomeSuccess)
	for i, step := range []struct {
		do    func()
		query string
		want  specAnswer
	}{
		{func() {}, `{"channels": ["default", "none"]}`, specAnswer{Specs: map[string]string{"default": "first"}, Roots: []string{`{"one": "1"}`, "two", "ten"}}},
		{func() { put("spec.default", "second") }, `{"channels": ["default"], "root": 1}`, specAnswer{Specs: map[string]string{"default": "second"}, Roots: []string{"two", "ten"}}},
		{func() { put("spec.default", strings.Repeat("x", 60<<10)) }, `{"channels": ["default"], "root": 10}`,
			specAnswer{Specs: map[string]string{"default": strings.Repeat("x", 60<<10)}, Roots: []string{}}},
		{func() { put("root.11", strings.Repeat("r", 5<<10)) }, `{"channels": ["default"], "root": 10}`,
			specAnswer{Specs: map[string]string{}, Roots: []string{strings.Repeat("r", 5<<10)}, More: true}},
		{func() { _ = kv.Delete(t.Context(), "spec.default") }, `{"channels": ["default"], "root": 11}`, specAnswer{Specs: map[string]string{}, Roots: []string{}}},
	} {
		step.do()
		var got specAnswer
		deadline := time.Now().Add(archivePatience)
		for got, _ = d.ask(step.query); !cmp.Equal(step.want, got, specContent) && time.Now().Before(deadline); got, _ = d.ask(step.query) {
		}
		if diff := cmp.Diff(step.want, got, specContent); diff != "" {
			t.Errorf("step %d (-want +got):\n%.500s", i, diff)
		}
	}
	for query, want := range map[string]string{"nonsense": messaging.CodeUnreadable, `{"channels": ["` + strings.Repeat(`a","`, 20) + `b"]}`: messaging.CodeUnreadable} {
		if _, code := d.ask(query); code != want {
			t.Errorf("%.30s: the code is %q, want %s", query, code, want)
		}
	}
}

// TestH63WhoHasTheListIsToldThatItIsUnchanged asks with the digest that came with a list. Who asks without one, as the release before does, is
// given all of it.
func TestH63WhoHasTheListIsToldThatItIsUnchanged(t *testing.T) {
	s := newSpecShelf("SPECS", slog.New(slog.DiscardHandler))
	s.stock = newSpecStock()
	s.stock.specs["default"], s.stock.roots[3] = "first", "three"
	find := func(known map[string]string, root uint64, channels ...string) *specAnswer {
		t.Helper()
		a, err := s.find(specQuery{Channels: channels, Root: root, Known: known})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := find(nil, 3, "default")
	digest := first.Digests["default"]
	if first.Specs["default"] != "first" || len(digest) != 64 || len(first.Unchanged) > 0 {
		t.Fatalf("who says nothing is answered %+v", first)
	}
	given := map[string]string{"default": "first"}
	digests := map[string]string{"default": digest}
	for name, tt := range map[string]struct {
		known map[string]string
		root  uint64
		want  specAnswer
	}{
		"who has it":                  {digests, 3, specAnswer{Unchanged: []string{"default", "none"}}},
		"who has it, and not a root":  {digests, 2, specAnswer{Unchanged: []string{"default", "none"}, Roots: []string{"three"}}},
		"who has another":             {map[string]string{"default": "other"}, 3, specAnswer{Specs: given, Digests: digests, Unchanged: []string{"none"}}},
		"who has none":                {map[string]string{"default": ""}, 3, specAnswer{Specs: given, Digests: digests, Unchanged: []string{"none"}}},
		"who has one that is no more": {map[string]string{"default": digest, "none": "other"}, 3, specAnswer{Unchanged: []string{"default"}}},
	} {
		if _, said := tt.known["none"]; !said {
			tt.known = maps.Clone(tt.known)
			tt.known["none"] = ""
		}
		got := find(tt.known, tt.root, "default", "none")
		if diff := cmp.Diff(&tt.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDepotAnswersToTheAskerOnly drops what wants its answer led elsewhere.
func TestDepotAnswersToTheAskerOnly(t *testing.T) {
	d := newDepotTest(t)
	d.bucket()
	d.serve(ofSpecs)
	d.says(machine.OutcomeSuccess)
	elsewhere, err := d.asker.SubscribeSync("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"elsewhere", "_INBOX.n2=example.x", "$JS.API.STREAM.DELETE.KV_SPECS"} {
		if err := d.asker.PublishRequest("node.n1=example.out.spec", reply, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if _, code := d.ask(`{"channels": []}`); code != "" {
		t.Errorf("a proper request is answered by %s", code)
	}
	if n, _, err := elsewhere.Pending(); n > 0 || err != nil {
		t.Errorf("%d answers were led elsewhere (%v)", n, err)
	}
	if _, err := d.js.KeyValue(t.Context(), "SPECS"); err != nil {
		t.Errorf("the bucket: %v", err)
	}
}

// piece asks for a part of an object.
func (d *depotTest) piece(name string, offset, length int64) (*nats.Msg, string) {
	d.t.Helper()
	body, err := json.Marshal(ObjectQuery{Name: name, Bucket: "BUNDLES", Offset: offset, Length: length})
	if err != nil {
		d.t.Fatal(err)
	}
	m, err := d.asker.Request("node.n1=example.out.bundle", body, archivePatience)
	if err != nil {
		d.t.Fatal(err)
	}
	return m, m.Header.Get(micro.ErrorCodeHeader)
}

func TestDepotServesObjects(t *testing.T) {
	d := newDepotTest(t)
	store, err := d.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES"})
	if err != nil {
		t.Fatal(err)
	}
	data := largeArchive(700 << 10)
	name := digestOf(data)
	if _, err := store.PutBytes(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(t.Context(), digestOf([]byte("other")), data); err != nil {
		t.Fatal(err)
	}
	d.serve(ofObjects)
	d.says(machine.OutcomeSuccess)
	var got []byte
	for int64(len(got)) < int64(len(data)) {
		m, code := d.piece(name, int64(len(got)), 1<<30)
		if code != "" || len(m.Data) > objectRange || m.Header.Get(headerObjectSize) != strconv.Itoa(len(data)) || m.Header.Get(headerObjectOffset) != strconv.Itoa(len(got)) {
			t.Fatalf("at %d: %s %v, %d bytes", len(got), code, m.Header, len(m.Data))
		}
		got = append(got, m.Data...)
	}
	if digestOf(got) != name {
		t.Error("the parts are another object")
	}
	if m, code := d.piece(name, int64(len(data))+5, 10); code != "" || len(m.Data) > 0 {
		t.Errorf("behind the end there are %d bytes (%s)", len(m.Data), code)
	}
	for query, want := range map[string]string{
		strings.Repeat("0", 64): messaging.CodeNotFound, digestOf([]byte("other")): messaging.CodeFailed,
	} {
		if _, code := d.piece(query, 0, 10); code != want {
			t.Errorf("%q: the code is %q, want %s", query, code, want)
		}
	}
	for _, body := range []string{"nonsense", `{"name": "x", "bucket": "OTHER", "length": 1}`, `{"name": "x", "bucket": "BUNDLES", "offset": -1, "length": 1}`, `{"name": "x", "bucket": "BUNDLES"}`} {
		m, err := d.asker.Request("node.n1=example.out.bundle", []byte(body), archivePatience)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != messaging.CodeUnreadable {
			t.Errorf("%s: %v, %v", body, m, err)
		}
	}
}

// TestDepotServesArchives has the archive watcher download by a depot: both sides agree.
func TestDepotServesArchives(t *testing.T) {
	d := newDepotTest(t)
	store, err := d.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES"})
	if err != nil {
		t.Fatal(err)
	}
	b := bundleOf(t, "1.0.0")
	if _, err := store.PutBytes(t.Context(), b.Digest, b.Data); err != nil {
		t.Fatal(err)
	}
	d.serve(ofObjects)
	d.says(machine.OutcomeSuccess)
	a := newArchiveTest(t)
	a.services.Pool = messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{d.asker.ConnectedUrl()}, InboxPrefix: "_INBOX.n1=example"}, nil
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(a.services.Pool.Close)
	if err := a.services.Pool.Keep(context.Background(), archiveNode, "fleet"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.services.Pool.Wait(t.Context(), archiveNode, "fleet"); err != nil {
		t.Fatal(err)
	}
	a.check(a.watcher(a.spec(b, "object://BUNDLES/"+b.Digest)), watchers.Started, outcomeDeployed)
}

func TestObjectCache(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := newObjectCache(100, 1000)
	var reads atomic.Int64
	load := func(name string, size int) error {
		done := make(chan error, 1)
		c.load(t.Context(), name, 0, func() ([]byte, error) {
			reads.Add(1)
			if size < 0 {
				return nil, errors.New("no such object")
			}
			return make([]byte, size), nil
		}, func(_ []byte, err error) { done <- err })
		return <-done
	}
	for _, tt := range []struct {
		name string
		size int
		kept string
	}{{"a", 40, "a"}, {"b", 40, "a b"}, {"c", 40, "b c"}, {"large", 101, ""}, {"none", -1, ""}, {"d", 60, "d"}, {"e", 40, "d e"}} {
		err := load(tt.name, tt.size)
		if (err != nil) != (tt.size < 0) {
			t.Errorf("%s: %v", tt.name, err)
		}
		var kept []string
		for _, name := range []string{"a", "b", "c", "d", "e", "large", "none"} {
			c.mu.Lock()
			if c.objects[name] != nil {
				kept = append(kept, name)
			}
			c.mu.Unlock()
		}
		if got := strings.Join(kept, " "); got != tt.kept {
			t.Errorf("after %s there is %q, want %q", tt.name, got, tt.kept)
		}
	}
	if reads.Load() != 7 {
		t.Errorf("%d reads", reads.Load())
	}
}

// TestObjectCacheReadsOnce has many ask for the same object at once.
func TestObjectCacheReadsOnce(t *testing.T) {
	c := newObjectCache(1000, 1000)
	var reads, answers atomic.Int64
	gate, all := make(chan struct{}), sync.WaitGroup{}
	for range 100 {
		all.Add(1)
		c.load(t.Context(), "a", 0, func() ([]byte, error) {
			reads.Add(1)
			<-gate
			return []byte("x"), nil
		}, func(data []byte, err error) {
			if string(data) == "x" && err == nil {
				answers.Add(1)
			}
			all.Done()
		})
	}
	close(gate)
	all.Wait()
	if reads.Load() != 1 || answers.Load() != 100 {
		t.Errorf("%d reads and %d answers", reads.Load(), answers.Load())
	}
}

// TestObjectCacheForgetsOthers keeps an object whose name is not its digest for a moment only.
func TestObjectCacheForgetsOthers(t *testing.T) {
	c := newObjectCache(1000, 1000)
	for i := range 2 {
		done := make(chan struct{})
		c.load(t.Context(), "latest", time.Nanosecond, func() ([]byte, error) { return fmt.Append(nil, i), nil }, func([]byte, error) { close(done) })
		<-done
		if data, ok := c.get("latest"); ok {
			t.Errorf("%q is still there", data)
		}
	}
}
