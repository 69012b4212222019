package keyvalue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// poller is a machine with a poll watcher: it keeps what the watcher stores.
type poller struct {
	t    *testing.T
	w    watchers.Checker
	data map[string]any
}

func newPoller(t *testing.T, c Connections, properties string) *poller {
	t.Helper()
	return &poller{t: t, w: newWatcher(t, c, "kv", properties).(watchers.Checker), data: map[string]any{}}
}

func (p *poller) look() watchers.Report {
	p.t.Helper()
	look := newLook(p.data)
	facts, err := watchers.NewFacts([]byte(`{"role": "web", "site": {"name": "lon"}}`))
	if err != nil {
		p.t.Fatal(err)
	}
	look.Facts = facts
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	rep := p.w.Check(ctx, look)
	for key, v := range rep.Data {
		if p.data[key] = v; v == nil {
			delete(p.data, key)
		}
	}
	return rep
}

// want looks and holds the outcome and what the data is then.
func (p *poller) want(outcome string, data map[string]any) watchers.Report {
	p.t.Helper()
	rep := p.look()
	if rep.Outcome != outcome {
		p.t.Errorf("outcome %s (%s), not %s", rep.Outcome, rep.Message, outcome)
	}
	if diff := cmp.Diff(data, p.data); diff != "" {
		p.t.Errorf("data (-want +got):\n%s", diff)
	}
	return rep
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPollFollowsAKey(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	put := func(text string) uint64 {
		t.Helper()
		return must[uint64](t)(kv.PutString(t.Context(), "web.port", text))
	}
	p := newPoller(t, l, "bucket: CONF\nkey: web.port")
	p.want(watchers.OutcomeUnchanged, map[string]any{})
	revision := put("8080")
	rep := p.want(outcomeCreated, map[string]any{"CONF_web.port": "8080"})
	if diff := cmp.Diff(map[string]any{"key": "web.port", "revision": int(revision), "value": "8080"}, rep.Payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	p.want(watchers.OutcomeUnchanged, map[string]any{"CONF_web.port": "8080"})
	put("8080")
	p.want(watchers.OutcomeUnchanged, map[string]any{"CONF_web.port": "8080"})
	put(` {"port": 8080, "big": 12345678901234567, "tls": 1.5} `)
	structured := map[string]any{"CONF_web.port": map[string]any{"port": 8080, "big": 12345678901234567, "tls": 1.5}}
	p.want(outcomeChanged, structured)
	p.want(watchers.OutcomeUnchanged, structured)
	if err := kv.Delete(t.Context(), "web.port"); err != nil {
		t.Fatal(err)
	}
	p.want(outcomeDeleted, map[string]any{})
	p.want(watchers.OutcomeUnchanged, map[string]any{})
	if names := consumers(t, l, "KV_CONF"); names > 0 {
		t.Errorf("reading left %d consumers", names)
	}
}

func consumers(t testing.TB, l line, stream string) int {
	t.Helper()
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	st := must[jetstream.Stream](t)(js.Stream(t.Context(), stream))
	return st.CachedInfo().State.Consumers
}

func TestPollStoresAsAsked(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	hiera := `{"hierarchy": {"order": ["role:{{ lookup('facts.role') }}", "site:{{ lookup('facts.site.name') }}"], "merge": "deep"},
		"data": {"level": "INFO", "list": ["a"]}, "overrides": {"role:web": {"list": ["b"]}, "site:lon": {"level": "WARN"}}}`
	for name, c := range map[string]struct {
		value, properties string
		outcome           string
		data              map[string]any
	}{
		"no prefix":       {"v", "bucket_prefix: false", outcomeCreated, map[string]any{"k": "v"}},
		"store_key":       {"v", "store_key: it", outcomeCreated, map[string]any{"it": "v"}},
		"query":           {`{"a": {"b": [1, 2]}}`, "query: a.b.1", outcomeCreated, map[string]any{"CONF_k": 2}},
		"array query":     {`[{"n": "x"}, {"n": "y"}]`, "query: '#.n'", outcomeCreated, map[string]any{"CONF_k": []any{"x", "y"}}},
		"query misses":    {`{"a": 1}`, "query: b", machine.OutcomeFail, map[string]any{}},
		"query of a text": {`plain`, "query: b", machine.OutcomeFail, map[string]any{}},
		"broken JSON":     {`{"a": }`, "", outcomeCreated, map[string]any{"CONF_k": `{"a": }`}},
		"hiera":           {hiera, "hiera_config: true", outcomeCreated, map[string]any{"CONF_k": map[string]any{"level": "WARN", "list": []any{"a", "b"}}}},
		"hiera and query": {hiera, "hiera_config: true\nquery: level", outcomeCreated, map[string]any{"CONF_k": "WARN"}},
		"hiera of a text": {"x", "hiera_config: true", machine.OutcomeFail, map[string]any{}},
		"too large":       {strings.Repeat("x", machine.MaxData+1), "", machine.OutcomeFail, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			must[uint64](t)(kv.PutString(t.Context(), "k", c.value))
			newPoller(t, l, "bucket: CONF\nkey: k\n"+c.properties).want(c.outcome, c.data)
		})
	}
}

func TestPollReportsEqualValuesWhereAsked(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	put := func() { t.Helper(); must[uint64](t)(kv.PutString(t.Context(), "k", "v")) }
	data := map[string]any{"CONF_k": "v"}
	put()
	get := newPoller(t, l, "bucket: CONF\nkey: k\non_successful_get: true")
	get.want(outcomeCreated, data)
	get.want(machine.OutcomeSuccess, data)
	match := newPoller(t, l, "bucket: CONF\nkey: k\non_matching_update: true")
	match.data["CONF_k"] = "v" // from before a restart
	match.want(watchers.OutcomeUnchanged, data)
	match.want(watchers.OutcomeUnchanged, data)
	put()
	match.want(machine.OutcomeSuccess, data)
	match.want(watchers.OutcomeUnchanged, data)
}

func TestLargeValueIsLeftOutOfTheEvent(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "CONF"})
	large := strings.Repeat("x", machine.MaxPayload)
	must[uint64](t)(kv.PutString(t.Context(), "k", large))
	rep := newPoller(t, l, "bucket: CONF\nkey: k").want(outcomeCreated, map[string]any{"CONF_k": large})
	if _, there := rep.Payload["value"]; there {
		t.Error("the event holds more than an event may")
	}
}

func TestPollPlan(t *testing.T) {
	w := &kvPoller{}
	ask := func(moment watchers.Moment, elapsed time.Duration) time.Duration {
		return w.Plan(watchers.Planning{Moment: moment, Elapsed: elapsed, Interval: time.Minute}).After
	}
	if got := ask(watchers.Started, 0); got != 1 {
		t.Errorf("started: %s", got)
	}
	w.looked = true
	if got := ask(watchers.Looked, time.Second); got != time.Minute {
		t.Errorf("looked: %s", got)
	}
	if got := ask(watchers.Entered, 31*time.Second); got != 30*time.Second {
		t.Errorf("entered soon after: %s", got)
	}
	if got := ask(watchers.Entered, 2*time.Minute); got != 1 {
		t.Errorf("entered late: %s", got)
	}
	if got := ask(watchers.Looked, 2*time.Minute); got != time.Minute { // the look was left out
		t.Errorf("left out: %s", got)
	}
}

func TestWriteModes(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES", History: 5})
	set := func(text string) func(key string) int {
		return func(key string) int { return int(must[uint64](t)(kv.PutString(t.Context(), key, text))) }
	}
	deleted := func(key string) int {
		set("x")(key)
		if err := kv.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		return 0
	}
	nothing := func(string) int { return 0 }
	same, other := set(`{"name":"n1","state":"assigned"}`), set("other")
	for name, c := range map[string]struct {
		before  func(key string) int // returns the revision that is data.revision
		mode    string
		outcome string
		stays   bool // the key is as it was before
	}{
		"put":                         {nothing, "mode: put", machine.OutcomeSuccess, false},
		"put over":                    {other, "mode: put", machine.OutcomeSuccess, false},
		"create":                      {nothing, "mode: create", outcomeCreated, false},
		"create after a deletion":     {deleted, "mode: create", outcomeCreated, false},
		"create again":                {same, "mode: create", machine.OutcomeSuccess, true},
		"create over":                 {other, "mode: create", outcomeExists, true},
		"update":                      {other, "mode: update\nrevision: data.revision", outcomeChanged, false},
		"update an older one":         {other, "mode: update\nrevision: data.revision - 1", outcomeConflict, true},
		"update again":                {same, "mode: update\nrevision: data.revision - 1", machine.OutcomeSuccess, true},
		"update any":                  {other, "mode: update", outcomeChanged, false},
		"update nothing":              {nothing, "mode: update", outcomeMissing, true},
		"update what is deleted":      {deleted, "mode: update", outcomeMissing, true},
		"update a revision that went": {deleted, "mode: update\nrevision: '1'", outcomeMissing, true},
		"update without a number":     {other, "mode: update\nrevision: data.name", machine.OutcomeFail, true},
		"delete":                      {other, "mode: delete\nrevision: data.revision", outcomeDeleted, false},
		"delete an older one":         {other, "mode: delete\nrevision: data.revision - 1", outcomeConflict, true},
		"delete any":                  {other, "mode: delete", outcomeDeleted, false},
		"delete nothing":              {nothing, "mode: delete", machine.OutcomeSuccess, true},
		"delete again":                {deleted, "mode: delete", machine.OutcomeSuccess, true},
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "-")
			set("padding")("padding")
			revision := c.before(key)
			b := &bucket{nc: l.nc, name: "NODES"}
			before := must[entry](t)(b.read(t.Context(), key))
			properties := "bucket: NODES\nkey: '{{ lookup \"data.name\" }}'\n" + c.mode
			if !strings.HasPrefix(c.mode, "mode: delete") {
				properties += "\nvalue: '{state: \"assigned\", name: \"n1\"}'"
			}
			rep := check(t, l, "kv", properties, map[string]any{"revision": revision, "name": key})
			if rep.Outcome != c.outcome {
				t.Fatalf("outcome %s (%s), not %s", rep.Outcome, rep.Message, c.outcome)
			}
			after := must[entry](t)(b.read(t.Context(), key))
			if (before.revision == after.revision) != c.stays {
				t.Errorf("revision %d became %d", before.revision, after.revision)
			}
			if r, told := rep.Payload["revision"]; told && r != int(after.revision) {
				t.Errorf("the event tells revision %v, the key has %d", r, after.revision)
			}
			if !c.stays && after.gone != strings.HasPrefix(c.mode, "mode: delete") {
				t.Errorf("the key holds %+v", after)
			}
		})
	}
}

// TestOneOfManyUpdates holds that a revision fences: of several who build on one revision, one writes.
func TestOneOfManyUpdates(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES"})
	revision := must[uint64](t)(kv.PutString(t.Context(), "n1", "free"))
	var mu sync.Mutex
	var all sync.WaitGroup
	outcomes := map[string]int{}
	for i := range 8 {
		all.Go(func() {
			rep := check(t, l, "kv", fmt.Sprintf("bucket: NODES\nkey: n1\nmode: update\nvalue: '\"owner%d\"'\nrevision: '%d'", i, revision), nil)
			mu.Lock()
			defer mu.Unlock()
			outcomes[rep.Outcome]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[string]int{outcomeChanged: 1, outcomeConflict: 7}, outcomes); diff != "" {
		t.Error(diff)
	}
}

func TestClaim(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "USES"})
	claim := func(value string) watchers.Report {
		return check(t, l, "kv", "bucket: USES\nkey: token1\nmode: claim\nslots: input.uses ?? 20\nvalue: data.key", map[string]any{"key": value})
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	keys, outcomes := map[string]string{}, map[string]int{}
	for i := range 25 {
		all.Go(func() {
			rep := claim(fmt.Sprintf("node%d", i))
			mu.Lock()
			defer mu.Unlock()
			outcomes[rep.Outcome]++
			if key, _ := rep.Payload["key"].(string); rep.Outcome == outcomeCreated {
				if other, twice := keys[key]; twice {
					t.Errorf("%s is node%d's and %s's", key, i, other)
				}
				keys[key] = fmt.Sprintf("node%d", i)
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[string]int{outcomeCreated: 20, outcomeExhausted: 5}, outcomes); diff != "" {
		t.Error(diff)
	}
	for key, node := range keys {
		if rep := claim(node); rep.Outcome != machine.OutcomeSuccess || rep.Payload["key"] != key {
			t.Errorf("%s claims again and has %s %v, not %s", node, rep.Outcome, rep.Payload, key)
		}
	}
	if err := kv.Delete(t.Context(), "token1.7"); err != nil {
		t.Fatal(err)
	}
	if rep := claim("another"); rep.Outcome != outcomeCreated || rep.Payload["key"] != "token1.7" {
		t.Errorf("a slot that is free again is not claimed: %+v", rep)
	}
}

func TestKeyFromTemplatesIsNoPattern(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "NODES"})
	for _, name := range []string{">", "a.*", "a b", "", "a..b", ".a"} {
		rep := check(t, l, "kv", "bucket: NODES\nkey: '{{ lookup \"data.name\" }}'\nmode: put\nvalue: '1'", map[string]any{"name": name})
		if rep.Outcome != machine.OutcomeFail || !strings.Contains(rep.Message, "is not a key") {
			t.Errorf("%q: %+v", name, rep)
		}
	}
}

func TestKVSaysWhatIsMissing(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	for name, c := range map[string]struct {
		c    Connections
		want string
	}{
		"no connections": {nil, "run the machine with"},
		"typed nil":      {(*noPool)(nil), "run the machine with"},
		"not connected":  {noPool{}, "a connection watcher"},
		"no bucket":      {l, "a streams watcher"},
	} {
		for _, mode := range []string{"mode: poll", "mode: put\nvalue: '1'", "mode: create\nvalue: '1'", "mode: claim\nvalue: '1'\nslots: '3'"} {
			rep := check(t, c.c, "kv", "bucket: ABSENT\nkey: k\n"+mode, nil)
			if rep.Outcome != machine.OutcomeFail || !strings.Contains(rep.Message, c.want) {
				t.Errorf("%s, %s: %+v", name, mode, rep)
			}
		}
	}
}

// noPool is a pool without connections.
type noPool struct{}

func (noPool) Conn(string, string) (*nats.Conn, error) { return nil, context.Canceled }

func (noPool) Wait(ctx context.Context, _, _ string) (*nats.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestACreateIsNotRefusedForNothing: a leader that has lost the other hosts refuses a second try for the sake of the first, and has no value. That is no value of
// another's, so that who writes tries again or says that it does not know.
func TestACreateIsNotRefusedForNothing(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	must[jetstream.Stream](t)(js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_REVOKED", Subjects: []string{"$KV.REVOKED.other"}, AllowDirect: true, MaxMsgsPerSubject: 1,
	}))
	must[*nats.Subscription](t)(l.nc.Subscribe("$KV.REVOKED.key", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"type": "io.nats.jetstream.api.v1.pub_ack_response", "stream": "KV_REVOKED", "seq": 0,
			"error": {"code": 400, "err_code": 10164, "description": "wrong last sequence"}}`))
	}))
	rep := check(t, l, "kv", "bucket: REVOKED\nkey: key\nmode: create\nvalue: '1'", nil)
	if rep.Outcome != machine.OutcomeFail || !strings.Contains(rep.Message, errUndecided.Error()) {
		t.Errorf("outcome %s: %s", rep.Outcome, rep.Message)
	}
}
