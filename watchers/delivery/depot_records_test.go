package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
)

const ofRecords = "name: nodes\nsubject: node.*.out.nodes\nserves: records\nbucket: NODES\nfields: [state, owner, note]"

// recordPage is a page as who asks reads it.
type recordPage struct {
	Records []struct {
		Key      string          `json:"key"`
		Revision uint64          `json:"revision"`
		Record   json.RawMessage `json:"record"`
	} `json:"records"`
	Known    int    `json:"known"`
	Revision uint64 `json:"revision"`
	Next     string `json:"next"`
}

// asks asks a depot of records, and reads its answer into answer; code is that of a denial.
func (d *depotTest) asks(question string, answer any) (code, text string) {
	d.t.Helper()
	m, err := d.asker.Request("node.n1=example.out.nodes", []byte(question), archivePatience)
	if err != nil {
		d.t.Fatal(err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return code, m.Header.Get(micro.ErrorHeader)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		d.t.Fatalf("%v: %s", err, m.Data)
	}
	return "", ""
}

func (d *depotTest) nodes(config ...func(*jetstream.KeyValueConfig)) jetstream.KeyValue {
	d.t.Helper()
	c := jetstream.KeyValueConfig{Bucket: "NODES"}
	for _, change := range config {
		change(&c)
	}
	var kv jetstream.KeyValue
	d.until("the bucket is made", func() (made bool) {
		var err error
		kv, err = d.js.CreateKeyValue(d.t.Context(), c)
		return err == nil
	})
	return kv
}

// list reads all pages as lines.
func (d *depotTest) list(limit int) []string {
	d.t.Helper()
	lines, after, revision := []string{}, "", uint64(0)
	for {
		var p recordPage
		if code, text := d.asks(fmt.Sprintf(`{"after": %q, "revision": %d, "limit": %d}`, after, revision, limit), &p); code != "" {
			return append(lines, code+" "+text)
		}
		for _, r := range p.Records {
			lines = append(lines, r.Key+" "+string(r.Record))
		}
		if p.Next == "" {
			return lines
		}
		after, revision = p.Next, p.Revision
	}
}

func TestDepotServesRecords(t *testing.T) {
	d := newDepotTest(t)
	stop := d.serve(ofRecords)
	d.says(machine.OutcomeFail) // there is no bucket yet
	kv := d.nodes()
	d.says(machine.OutcomeSuccess)
	put := func(key, value string) uint64 {
		t.Helper()
		revision, err := kv.Put(t.Context(), key, []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	if diff := cmp.Diff([]string{}, d.list(0)); diff != "" {
		t.Errorf("an empty bucket: %s", diff)
	}
	last := put("n2=example", `{"state": "active", "owner": "h1", "secret": "s", "note": "`+strings.Repeat("x", 2000)+`"}`)
	put("n1=example", `{"owner": {"b": 1, "a": [2]}, "state": "assigned"}`)
	put("n3", "no JSON")
	put("n4", `["a"]`)
	put("n5", `{"state": "gone"}`)
	if err := kv.Delete(t.Context(), "n5"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`n1=example {"state":"assigned","owner":{"b":1,"a":[2]}}`, `n2=example {"state":"active","owner":"h1"}`, "n3 null", "n4 null",
	}
	for _, limit := range []int{0, 1, 2, 3, 4, 100} { // what was written a moment ago is in the list
		if diff := cmp.Diff(want, d.list(limit)); diff != "" {
			t.Errorf("in pages of %d, -want +got\n%s", limit, diff)
		}
	}
	var one recordAnswer
	if code, _ := d.asks(`{"key": "n2=example"}`, &one); code != "" || one.Revision != last || !strings.Contains(string(one.Record), `"secret": "s"`) && !strings.Contains(string(one.Record), `"secret":"s"`) || one.Written.IsZero() {
		t.Errorf("one: %s %+v", code, one)
	}
	if code, _ := d.asks(`{"key": "n3"}`, &one); code != "" || string(one.Record) != `"no JSON"` {
		t.Errorf("one that is no JSON: %s %s", code, one.Record)
	}
	for question, want := range map[string]string{
		`{"key": "n5"}`: "404", `{"key": "n9"}`: "404", `{"key": "a b"}`: "404", `{"key": ">"}`: "404", `{"key": 7}`: "400", `[]`: "400", `x`: "400",
		`{"limit": -1}`: "400", `{"after": "` + strings.Repeat("n", 5000) + `"}`: "400",
	} {
		if code, text := d.asks(question, &one); code != want {
			t.Errorf("%.40s: %s %s", question, code, text)
		}
	}
	stop()
}

// TestDepotListsWhatWasJustWritten writes and lists in turn: a list never lacks what was acknowledged before it was asked for.
func TestDepotListsWhatWasJustWritten(t *testing.T) {
	d := newDepotTest(t)
	kv := d.nodes()
	d.serve(ofRecords)
	d.says(machine.OutcomeSuccess)
	for n := range 300 {
		if _, err := kv.Put(t.Context(), fmt.Sprintf("n%03d", n), []byte(`{"state": "active"}`)); err != nil {
			t.Fatal(err)
		}
		if got := len(d.list(0)); got != n+1 {
			t.Fatalf("%d of %d records are listed", got, n+1)
		}
	}
}

// TestDepotReadsAnotherBucketAnew takes the bucket away, whose name another one gets, and what is in it, of which a watch says nothing.
func TestDepotReadsAnotherBucketAnew(t *testing.T) {
	d := newDepotTest(t)
	kv := d.nodes()
	for n := range 5 {
		if _, err := kv.Put(t.Context(), fmt.Sprintf("n%d", n), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	d.serve(ofRecords)
	d.says(machine.OutcomeSuccess)
	if got := d.list(0); len(got) != 5 {
		t.Fatalf("listed: %q", got)
	}
	if err := kv.Purge(t.Context(), "n0"); err != nil {
		t.Fatal(err)
	}
	stream, err := d.js.Stream(t.Context(), "KV_NODES")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.NODES.n1")); err != nil {
		t.Fatal(err)
	}
	d.until("what was purged is not listed", func() bool { return len(d.list(0)) == 3 })
	if err := d.js.DeleteKeyValue(t.Context(), "NODES"); err != nil {
		t.Fatal(err)
	}
	if code, text := d.asks(`{}`, &recordPage{}); code != "503" {
		t.Errorf("without a bucket: %s %s", code, text)
	}
	kv = d.nodes()
	if _, err := kv.Put(t.Context(), "m1", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	d.until("the other bucket is listed", func() bool { got := d.list(0); return len(got) == 1 && strings.HasPrefix(got[0], "m1 ") })
}

// TestH67ARegisterWithoutALeaderIsNoEmptyOne: a copy that has no leader, or that has yet to be filled, answers as an empty bucket would.
func TestH67ARegisterWithoutALeaderIsNoEmptyOne(t *testing.T) {
	for name, c := range map[string]struct{ leader, want string }{
		"no leader":     {"", "has no leader"},
		"an empty copy": {"a", "not all that the bucket has has come here yet"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			defer s.Shutdown()
			if !s.ReadyForConnections(archivePatience) {
				t.Fatal("the broker does not listen")
			}
			conn, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			info := func(leader string) string {
				return fmt.Sprintf(`{"type": "io.nats.jetstream.api.v1.stream_info_response", "config": {"name": "KV_NODES", "subjects": ["$KV.NODES.>"], `+
					`"max_msgs_per_subject": 1, "allow_direct": true}, "state": {"messages": 99, "num_subjects": 99, "last_seq": 99}, "cluster": {"leader": %q}}`, leader)
			}
			var leader atomic.Pointer[string]
			leader.Store(new("a"))
			for subject, answer := range map[string]func() string{
				"$JS.API.STREAM.INFO.KV_NODES": func() string { return info(*leader.Load()) },
				"$JS.API.CONSUMER.CREATE.KV_NODES.>": func() string {
					return `{"type": "io.nats.jetstream.api.v1.consumer_create_response", "stream_name": "KV_NODES", "name": "w", ` +
						`"config": {"name": "w", "ack_policy": "none", "deliver_policy": "last_per_subject"}, "num_pending": 0}`
				},
				"$JS.API.CONSUMER.DELETE.>": func() string { return `{"type": "io.nats.jetstream.api.v1.consumer_delete_response", "success": true}` },
			} {
				if _, err := conn.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(answer())) }); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			shelf := newRecordShelf("NODES", nil, slog.New(slog.DiscardHandler))
			lost, err := shelf.open(ctx, conn)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { cancel(); <-lost }()
			leader.Store(&c.leader)
			asked, done := context.WithTimeout(ctx, 200*time.Millisecond)
			defer done()
			r := &told{}
			shelf.answerPage(asked, r, recordQuery{})
			if r.code != "503" || !strings.Contains(r.text, c.want) {
				t.Errorf("answered with %s %s", r.code, r.text)
			}
		})
	}
}

// told is a request that keeps how it was denied.
type told struct {
	micro.Request
	code, text string
}

// Respond implements micro.Request.
func (r *told) Respond([]byte, ...micro.RespondOpt) error { r.code = "answered"; return nil }

// Error implements micro.Request.
func (r *told) Error(code, text string, _ []byte, _ ...micro.RespondOpt) error {
	r.code, r.text = code, text
	return nil
}

// TestDepotAnswersOfRecordsFit has pages of records that are long.
func TestDepotAnswersOfRecordsFit(t *testing.T) {
	d := newDepotTest(t)
	kv := d.nodes()
	const count = 2500
	for n := range count {
		value := fmt.Sprintf(`{"state": %q, "owner": %q}`, strings.Repeat("s", 1000), strings.Repeat("\"", 400))
		if _, err := kv.Put(t.Context(), fmt.Sprintf("n%04d", n), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	d.serve(ofRecords)
	d.says(machine.OutcomeSuccess)
	if got := d.list(0); len(got) != count {
		t.Errorf("%d of %d are listed", len(got), count)
	}
}

// BenchmarkDepotListsNodes lists 20,000 nodes, whose records are as a cell's.
func BenchmarkDepotListsNodes(b *testing.B) {
	d := newDepotTest(b)
	const count = 20_000
	d.t = b
	kv := d.nodes()
	for n := range count {
		value := fmt.Sprintf(`{"identity":"node%05d.example.net","state":"active","cell":"main","public_key":"%064x","owner":"overlay1.example.net","first_seen":1767607200,`+
			`"last_seen":1767610800,"token_id":"0123456789abcdef0123456789abcdef","previous_id":"0123456789abcdef0123456789abcdef","proof":"%064x"}`, n, n, n)
		if _, err := kv.Put(b.Context(), fmt.Sprintf("node%05d=example=net", n), []byte(value)); err != nil {
			b.Fatal(err)
		}
	}
	d.serve(strings.Replace(ofRecords, "[state, owner, note]", "[state, cell, public_key, owner, first_seen, last_seen, replace]", 1))
	d.says(machine.OutcomeSuccess)
	d.list(0) // by then all has been read
	var longest time.Duration
	for b.Loop() {
		begun := time.Now()
		if got := d.list(0); len(got) != count {
			b.Fatalf("%d of %d are listed", len(got), count)
		}
		longest = max(longest, time.Since(begun))
	}
	b.ReportMetric(float64(longest.Milliseconds()), "longest-ms")
}
