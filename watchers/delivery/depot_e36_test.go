package delivery

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// serves waits until the depot answers with a spec of the channel default, "" for none, and with so many roots.
func (d *depotTest) serves(spec string, roots ...string) {
	d.t.Helper()
	want := specAnswer{Specs: map[string]string{}, Roots: append([]string{}, roots...)}
	if spec != "" {
		want.Specs["default"] = spec
	}
	d.answers("the depot serves "+spec, `{"channels": ["default"]}`, func(got specAnswer) bool { return cmp.Equal(want, got, specContent) })
}

// answers waits for an answer; there may be nobody to answer for a moment.
func (d *depotTest) answers(what, query string, holds func(a specAnswer) bool) {
	d.t.Helper()
	d.until(what, func() bool {
		m, err := d.asker.Request("node.n1=example.out.spec", []byte(query), archivePatience)
		if errors.Is(err, nats.ErrNoResponders) {
			return false
		}
		var got specAnswer
		return err == nil && m.Header.Get(micro.ErrorCodeHeader) == "" && json.Unmarshal(m.Data, &got) == nil && holds(got)
	})
}

// fill writes a bucket as it was, or might have been.
func (d *depotTest) fill(kv jetstream.KeyValue, pairs ...string) {
	d.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if _, err := kv.Put(d.t.Context(), pairs[i], []byte(pairs[i+1])); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestE36DepotFollowsTheBucket does to the bucket what goes wrong with streams, while a depot serves it. What it serves is what the bucket has, whoever
// made that; what it held in memory does not outlive it.
func TestE36DepotFollowsTheBucket(t *testing.T) {
	for name, step := range map[string]struct {
		do   func(d *depotTest, kv jetstream.KeyValue)
		spec string
		root []string
	}{
		"restored from an old copy": {func(d *depotTest, _ jetstream.KeyValue) {
			d.remove()
			d.fill(d.bucket(), "root.1", "one", "spec.default", "older")
		}, "older", []string{"one"}},
		"restored with more than there was": {func(d *depotTest, _ jetstream.KeyValue) {
			d.remove()
			kv := d.bucket()
			d.fill(kv, "root.1", "one", "root.2", "two", "root.3", "three", "spec.default", "a", "spec.default", "b", "spec.default", "c")
		}, "c", []string{"one", "two", "three"}},
		"made again, empty": {func(d *depotTest, _ jetstream.KeyValue) {
			d.remove()
			d.bucket()
		}, "", nil},
		"purged": {func(d *depotTest, _ jetstream.KeyValue) { d.purge() }, "", nil},
		"a spec purged": {func(d *depotTest, _ jetstream.KeyValue) {
			d.purge(jetstream.WithPurgeSubject("$KV.SPECS.spec.default"))
		}, "", []string{"one", "two"}},
		"history purged": {func(d *depotTest, _ jetstream.KeyValue) {
			d.purge(jetstream.WithPurgeSubject("$KV.SPECS.spec.default"), jetstream.WithPurgeKeep(1))
		}, "second", []string{"one", "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDepotTest(t)
			kv := d.bucket()
			d.fill(kv, "root.1", "one", "root.2", "two", "spec.default", "first", "spec.default", "second")
			d.serve(ofSpecs)
			d.serves("second", "one", "two")
			step.do(d, kv)
			d.serves(step.spec, step.root...)
			kv, err := d.js.KeyValue(t.Context(), "SPECS")
			if err != nil {
				t.Fatal(err)
			}
			d.fill(kv, "root.1", "one", "root.2", "two", "spec.default", "next")
			d.answers("what is put later is served", `{"channels": ["default"], "root": 2}`, func(a specAnswer) bool { return a.Specs["default"] == "next" })
		})
	}
}

// remove removes the bucket.
func (d *depotTest) remove() {
	d.t.Helper()
	if err := d.js.DeleteKeyValue(d.t.Context(), "SPECS"); err != nil {
		d.t.Fatal(err)
	}
}

// purge removes messages as an operator does who works on the stream itself, which tells no consumer.
func (d *depotTest) purge(opts ...jetstream.StreamPurgeOpt) {
	d.t.Helper()
	s, err := d.js.Stream(d.t.Context(), "KV_SPECS")
	if err == nil {
		err = s.Purge(d.t.Context(), opts...)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}
