package machine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// plainVault seals nothing, but keeps every value to its field, and hides it from who looks for it.
type plainVault struct{ id string }

func (v plainVault) Seal(f SecretField, value []byte) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s|%q|%s", v.id, f, value))
}

func (v plainVault) Open(f SecretField, text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	value, ok := bytes.CutPrefix(b, fmt.Appendf(nil, "%s|%q|", v.id, f))
	if err != nil || !ok {
		return nil, errors.New("not sealed for this field by this vault")
	}
	return value, nil
}

// secret is what must be in nothing that is stored or shown.
const secret = "hunter2hunter2"

const joiner = `format: 1
name: joiner
version: 1.0.0
initial_state: idle
secret_input: [site.password]
data:
  token: {type: string, default: "", secret: true}
  document: {type: object, default: {}, secret: true}
  reason: {type: string, default: ""}
  length: {type: integer, default: 0}
transitions:
  - {name: given, from: [idle], destination: joined, when: event.payload.body.token startsWith "hunter", set: {token: event.payload.body.token, reason: event.payload.reason}}
  - {name: given, from: [idle], destination: idle, set: {reason: "'no token'"}}
  - {name: read, from: [joined], destination: joined, set: {document: event.payload, reason: "'read'"}}
  - {name: wrong, from: [joined], destination: idle, set: {length: int(data.token)}}
  - {name: known, from: [joined], destination: joined, when: data.token == input.site.password}
  - {name: left, from: [joined], destination: idle, set: {token: "''"}}
watchers:
  - {name: issue, type: token, state_match: [joined], success_transition: left, fail_transition: left}
  - {name: fetch, type: kv, state_match: [joined], success_transition: read, secret: [value.password]}
`

func secretTypes() typeList {
	return typeList{
		{Name: "token", Outcomes: []Outcome{{Name: OutcomeSuccess, Payload: map[string]ValueType{"token": String, "id": String}, Secrets: []string{"token"}}}},
		{Name: "kv", Outcomes: []Outcome{{Name: OutcomeSuccess, Payload: map[string]ValueType{"value": Any, "key": String}}}},
	}
}

func loadSecret(t testing.TB, text string) *Definition {
	t.Helper()
	d, list := Load("joiner.yaml", []byte(text), secretTypes())
	if d == nil {
		t.Fatal(list)
	}
	return d
}

// sealing runs a machine as a host does: what is stored is sealed, what it works with is not.
type sealing struct {
	*live
	vault Vault
	kept  Snapshot
}

func startSealing(t testing.TB, d *Definition, v Vault) *sealing {
	l := &sealing{live: &live{t: t, d: d, at: testTime}, vault: v}
	l.take(d.Start(Origin{Instance: "n1", Input: map[string]any{"site": map[string]any{"password": secret, "name": "east"}}}, l.at))
	return l
}

func (l *sealing) take(r Record) Record {
	l.t.Helper()
	stored := l.d.Seal(&r, l.vault)
	b, head, err := EncodeRecord(stored)
	if err != nil {
		l.t.Fatal(err)
	}
	l.s, l.kept = l.s.Apply(&r, head), l.kept.Apply(stored, head)
	l.records, l.raw = append(l.records, *stored), append(l.raw, b)
	return r
}

func (l *sealing) step(ev Event) Record {
	l.t.Helper()
	return l.take(l.d.Step(&l.s, ev, l.at))
}

// story is a run with a secret in every place.
func (l *sealing) story() *sealing {
	l.step(Event{Name: "given", Payload: map[string]any{"body": map[string]any{"token": secret, "id": 7}, "reason": "new"}})
	l.step(Event{Name: "read", Payload: map[string]any{"value": map[string]any{"password": secret, "user": "web"}, "key": "k"}, Cause: Cause{Kind: CauseWatcher, Name: "fetch"}})
	l.step(Event{Name: "known"})
	l.step(Event{Name: "wrong"})
	l.step(Event{Name: "mistyped", Payload: map[string]any{"body": map[string]any{"token": secret}}, Cause: Cause{Kind: CauseOperator}})
	l.step(Event{Data: map[string]any{"token": secret + "!"}, Payload: map[string]any{"output": "token=" + secret}, Cause: Cause{Kind: CauseWatcher, Name: "fetch"}})
	l.take(l.d.Recover(&l.s, l.at))
	l.step(Event{Name: "left", Payload: map[string]any{"token": secret, "id": "i"}, Cause: Cause{Kind: CauseWatcher, Name: "issue"}})
	return l
}

func TestSecretsAreStoredSealed(t *testing.T) {
	l := startSealing(t, loadSecret(t, joiner), plainVault{"a"}).story()
	for i, raw := range l.raw {
		if bytes.Contains(raw, []byte("hunter")) {
			t.Errorf("record %d holds the secret: %s", i+1, raw)
		}
		stored, err := DecodeRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"transcript": Transcript(stored), "concealed": toJSON(l.d.Conceal(stored))} {
			if strings.Contains(text, "hunter") || strings.Contains(strings.ReplaceAll(text, `"(secret)":"(secret)"`, ""), `"(secret)":`) {
				t.Errorf("the %s of record %d shows a secret or its sealed form: %s", what, i+1, text)
			}
		}
	}
	if text := toJSON(l.kept); strings.Contains(text, "hunter") {
		t.Errorf("the snapshot as it is stored holds the secret: %s", text)
	}
	if l.records[1].Payload["reason"] != "new" || l.records[1].Set["reason"] != "new" {
		t.Errorf("what is no secret is sealed: %s", toJSON(l.records[1]))
	}
	if _, sealed := sealedText(l.records[6].Payload); !sealed {
		t.Errorf("the payload beside a secret that is set is in clear: %s", l.raw[6])
	}
	if got := l.kept.Data["token"]; got != "" {
		t.Errorf("an empty secret is stored as %v", got)
	}
	if r := l.records[4]; r.Kind != RecordRefused || strings.Contains(r.Reason, "hunter") || !strings.Contains(r.Reason, "secret") {
		t.Errorf("a failure over a secret is told as %q", r.Reason)
	}
	opened, closed := OpenSnapshot(&l.kept, "joiner", l.vault)
	if diff := cmp.Diff(&l.s, opened); diff != "" || len(closed) > 0 {
		t.Errorf("opened, closed %v (-live +opened):\n%s", closed, diff)
	}
}

func TestSealedTraceReplays(t *testing.T) {
	d := loadSecret(t, joiner)
	l := startSealing(t, d, plainVault{"a"}).story()
	for name, vault := range map[string]Vault{"with the key": l.vault, "without": nil, "with another": plainVault{"b"}} {
		done, err := ReplaySealed(openTrace(t, l.sealedTrace(t)), d, ReplayOptions{Vault: vault})
		if err != nil || done.Snapshot.State != l.s.State || done.Snapshot.Seq != l.s.Seq {
			t.Errorf("%s: %v, in %s after record %d", name, err, done.Snapshot.State, done.Snapshot.Seq)
		}
		if vault == l.vault {
			if diff := cmp.Diff(l.s, done.Snapshot); diff != "" || len(done.Unseen.Values) > 0 {
				t.Errorf("%s: unseen %v (-live +replayed):\n%s", name, done.Unseen, diff)
			}
			continue
		}
		want := Unseen{
			Values: []string{"data.document", "data.token", "input.site.password", "payload", "payload.body.token", "payload.token"},
			Guards: []UnseenGuard{
				{Seq: 2, Event: "given", When: `event.payload.body.token startsWith "hunter"`},
				{Seq: 4, Event: "known", When: "data.token == input.site.password"},
			},
		}
		if diff := cmp.Diff(want, done.Unseen); diff != "" {
			t.Errorf("%s (-want +unseen):\n%s", name, diff)
		}
	}
}

// sealedTrace is the run as a host exports it.
func (l *sealing) sealedTrace(t fataler) []byte {
	of := *l.live
	of.s = l.kept
	return of.trace(t, 0)
}

// TestSealedTraceIsHeldAgainstTheManifest holds that a replay sees what it can: without the key everything that no secret decides, with it all.
func TestSealedTraceIsHeldAgainstTheManifest(t *testing.T) {
	d := loadSecret(t, joiner)
	l := startSealing(t, d, plainVault{"a"}).story()
	for name, tt := range map[string]struct {
		from, to string
		without  string // the field in which the difference is seen without the key
		with     string
	}{
		"nothing else":         {"name: joiner", "name: joiner", "", ""},
		"a set of no secret":   {`reason: "'read'"`, `reason: "'seen'"`, "set", "set"},
		"a destination":        {"name: left, from: [joined], destination: idle", "name: left, from: [joined], destination: joined", "kind", "kind"},
		"a guard on a secret":  {`startsWith "hunter"`, `startsWith "other"`, "", "guards"},
		"a secret that is set": {`set: {token: "''"}`, `set: {token: "'x'"}`, "set", "set"},
	} {
		text := strings.Replace(joiner, tt.from, tt.to, 1)
		other := loadSecret(t, text)
		for _, c := range []struct {
			key   Vault
			field string
		}{{nil, tt.without}, {l.vault, tt.with}} {
			_, err := ReplaySealed(openTrace(t, l.sealedTrace(t)), other, ReplayOptions{Vault: c.key})
			var diff *Difference
			field := ""
			if errors.As(err, &diff) {
				field = diff.Field
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if field != c.field {
				t.Errorf("%s, key %v: the difference is in %q, want %q: %v", name, c.key != nil, field, c.field, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: the difference tells the secret: %v", name, err)
			}
		}
	}
}

func TestSealedTraceIsTampered(t *testing.T) {
	l := startSealing(t, loadSecret(t, joiner), plainVault{"a"}).story()
	trace := string(l.sealedTrace(t))
	sealed := l.records[1].Set["token"].(map[string]any)[Concealed].(string)
	other := l.records[1].Payload["body"].(map[string]any)["token"].(map[string]any)[Concealed].(string)
	moved := strings.Replace(trace, sealed, other, 1)
	if _, err := Replay(openTrace(t, []byte(moved)), l.d, nil, nil); err == nil || !strings.Contains(err.Error(), "SC706") {
		t.Errorf("a sealed value that was replaced: %v", err)
	}
}

func TestRestoreWithoutTheKey(t *testing.T) {
	d := loadSecret(t, joiner)
	l := startSealing(t, d, plainVault{"a"})
	l.step(Event{Name: "given", Payload: map[string]any{"body": map[string]any{"token": secret}, "reason": "new"}})
	l.vault = plainVault{"b"}
	s, gone := d.Restore(&l.kept, l.vault)
	if want := []string{"data.token", "input.site.password"}; !slices.Equal(gone, want) {
		t.Fatalf("gone are %v, want %v", gone, want)
	}
	l.s = *s
	r := d.Recover(s, l.at)
	d.Forget(&r, s, gone)
	l.take(r)
	if l.s.Data["token"] != "" || l.s.Data["reason"] != "new" || !strings.Contains(r.Reason, "data.token, input.site.password") {
		t.Errorf("the machine goes on with %v, recorded as %q", l.s.Data, r.Reason)
	}
	if diff := cmp.Diff(map[string]any{"site": map[string]any{"name": "east"}}, l.s.Input); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	l.step(Event{Name: "left"})
	for _, v := range []Vault{nil, plainVault{"a"}, plainVault{"b"}} {
		if _, err := ReplaySealed(openTrace(t, l.sealedTrace(t)), d, ReplayOptions{Vault: v}); err != nil {
			t.Errorf("replay with %v: %v", v, err)
		}
	}
}

// TestUpgradeChangesWhatIsSecret holds that a manifest which declares a secret seals what was stored in clear, and that one which does not
// have it any more drops it.
func TestUpgradeChangesWhatIsSecret(t *testing.T) {
	open := strings.NewReplacer(", secret: true", "", "secret_input: [site.password]\n", "", ", secret: [value.password]", "").Replace(joiner)
	without := strings.NewReplacer("  token: {type: string, default: \"\", secret: true}\n", "", "data.token == input.site.password", "true",
		"int(data.token)", "7", "token: event.payload.body.token, ", "",
		", set: {token: \"''\"}", "").Replace(joiner)
	l := startSealing(t, loadSecret(t, open), plainVault{"a"})
	l.step(Event{Name: "given", Payload: map[string]any{"body": map[string]any{"token": secret}, "reason": "new"}})
	if !strings.Contains(toJSON(l.kept), secret) {
		t.Fatal("the manifest without secrets seals")
	}
	texts := map[string]*Definition{}
	upgrade := func(d *Definition, gone []string) {
		t.Helper()
		l.d, texts[string(d.Manifest.Source)] = d, d
		r := d.Replace(&l.s, l.at)
		d.Reseal(&r, &l.kept, &l.s)
		d.Forget(&r, &l.s, gone)
		l.take(r)
	}
	first := l.d
	upgrade(loadSecret(t, joiner), nil)
	if text := toJSON(l.kept); strings.Contains(text, "hunter") {
		t.Errorf("what was stored in clear still is: %s", text)
	}
	r := l.d.Recover(&l.s, l.at)
	l.d.Reseal(&r, &l.kept, &l.s)
	if l.take(r); len(r.Set) > 0 {
		t.Errorf("a restart says again what is sealed: %v", r.Set)
	}
	gone := loadSecret(t, without).Orphans(l.d, &l.s)
	if upgrade(loadSecret(t, without), gone); l.s.Data["token"] != nil || !slices.Equal(gone, []string{"data.token"}) {
		t.Errorf("gone %v, data %v", gone, l.s.Data)
	}
	var trace bytes.Buffer
	w, err := NewTraceWriter(&trace, HeaderFor(first, "", testTime))
	for i, raw := range l.raw {
		if i == 2 || i == 4 {
			text := map[int]string{2: joiner, 4: without}[i]
			err = errors.Join(err, w.Manifest(text))
		}
		err = errors.Join(err, w.Record(raw))
	}
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string) (*Definition, error) { return texts[text], nil }
	for _, v := range []Vault{nil, l.vault} {
		if _, err := ReplaySealed(openTrace(t, trace.Bytes()), first, ReplayOptions{Load: of, Vault: v}); err != nil {
			t.Errorf("replay with %v: %v", v, err)
		}
	}
}

// TestWhatLooksSealedIsData holds that nobody can have a machine forget its data by sending something that looks like a sealed value.
func TestWhatLooksSealedIsData(t *testing.T) {
	d := loadSecret(t, strings.Replace(joiner, "  reason: {type: string", "  reason: {type: any", 1))
	l := startSealing(t, d, plainVault{"a"})
	forged := map[string]any{Concealed: "1.x.y"}
	l.step(Event{Name: "given", Payload: map[string]any{"body": map[string]any{"token": secret}, "reason": forged}})
	s, gone := d.Restore(&l.kept, l.vault)
	if diff := cmp.Diff(forged, s.Data["reason"]); diff != "" || len(gone) > 0 {
		t.Errorf("gone %v (-sent +restored):\n%s", gone, diff)
	}
}

func TestReadsOf(t *testing.T) {
	for text, want := range map[string][]string{
		`data.a + event.payload.b?.c`:                    {"data.a", "event.payload.b.c"},
		`data["a"].b[0].c`:                               {"data.a.b"},
		`data[event.name]`:                               {"data", "event.name"},
		`filter(data.list, # > input.x.y)`:               {"data.list", "input.x.y"},
		`let x = event.payload; x.token`:                 {"event.payload"},
		`event`:                                          {"event"},
		`len("data.token")`:                              {},
		`(data.a ?? {}).b`:                               {"data.a"},
		`{a: data.x, b: [event.payload["y"]]}`:           {"data.x", "event.payload.y"},
		`data.`:                                          {},
		`map(event.payload.items, .token) | first()`:     {"event.payload.items"},
		`event.payload.a == data.a ? input.b : data.c`:   {"data.a", "data.c", "event.payload.a", "input.b"},
		`get(event.payload, "token") + get(data, "x.y")`: {"data", "event.payload"},
	} {
		got := []string{}
		for _, p := range readsOf(text) {
			got = append(got, strings.Join(p, "."))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestSealedValuesComeBack holds for any values in any of the places: stored and opened they are what they were, a replay that has the key
// sees no difference, and one without it none either.
func TestSealedValuesComeBack(t *testing.T) {
	d := loadSecret(t, strings.ReplaceAll(joiner, "type: string", "type: any"))
	names := []string{"given", "read", "wrong", "known", "left", "mistyped", ""}
	value := rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(rapid.Just[any](nil), rapid.String().AsAny(), rapid.IntRange(-9, 9).AsAny(), rapid.Bool().AsAny(), rapid.Just[any](map[string]any{Concealed: "x"}),
			rapid.MapOfN(rapid.SampledFrom([]string{"token", "password", "a"}), rapid.String().AsAny(), 0, 3).AsAny())
	})
	rapid.Check(t, func(rt *rapid.T) {
		l := &sealing{live: &live{t: t, d: d, at: testTime}, vault: plainVault{"a"}}
		l.take(d.Start(Origin{Input: map[string]any{"site": value.Draw(rt, "site")}}, l.at))
		for range rapid.IntRange(1, 6).Draw(rt, "events") {
			l.step(Event{
				Name:    rapid.SampledFrom(names).Draw(rt, "name"),
				Payload: rapid.MapOfN(rapid.SampledFrom([]string{"body", "reason", "token", "value"}), value, 0, 3).Draw(rt, "payload"),
				Data:    rapid.MapOfN(rapid.SampledFrom([]string{"token", "reason"}), value, 0, 2).Draw(rt, "data"),
				Cause:   Cause{Kind: CauseWatcher, Name: rapid.SampledFrom([]string{"issue", "fetch"}).Draw(rt, "watcher")},
			})
		}
		for _, v := range []Vault{l.vault, nil} {
			done, err := ReplaySealed(openTrace(rt, l.sealedTrace(rt)), d, ReplayOptions{Vault: v})
			if err != nil {
				rt.Fatalf("replay with %v: %v", v, err)
			}
			want := l.kept
			if v != nil {
				want = l.s
			}
			if diff := cmp.Diff(want, done.Snapshot); diff != "" {
				rt.Fatalf("replay with %v (-live +replayed):\n%s", v, diff)
			}
		}
	})
}

// FuzzOpenSnapshot gives what stands in a log, in whatever form, to the opening of what is sealed in it.
func FuzzOpenSnapshot(f *testing.F) {
	l := startSealing(f, loadSecret(f, joiner), plainVault{"a"}).story()
	kept, err := json.Marshal(l.kept)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kept)
	f.Add([]byte(`{"data": {"token": {"(secret)": ""}, "document": {"(secret)": {"(secret)": "x"}}}, "input": {"(secret)": "e30"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := DecodeSnapshot(raw)
		if err != nil {
			return
		}
		before := toJSON(s)
		restored, gone := l.d.Restore(s, plainVault{"a"})
		if len(gone) == 0 && restored.Data == nil && len(s.Data) > 0 {
			t.Errorf("%s lost its data and nothing says so", raw)
		}
		if toJSON(s) != before {
			t.Errorf("the snapshot itself was modified: %s", raw)
		}
		eachSealed(ConcealSealed(s.Data), nil, func(_ []string, text string) any {
			if text != Concealed {
				t.Errorf("what is shown has a sealed value: %s", raw)
			}
			return nil
		})
	})
}

// TestPathsAreFoundWithoutCopying: what each finds is what replace replaces.
func TestPathsAreFoundWithoutCopying(t *testing.T) {
	value := rapid.Custom(func(r *rapid.T) any {
		return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any](""), rapid.Just[any]("text"), rapid.Just[any](7), rapid.Just[any](map[string]any{})).Draw(r, "value")
	})
	key := rapid.SampledFrom([]string{"a", "b", "c"})
	mapping := rapid.Custom(func(r *rapid.T) map[string]any {
		m := map[string]any{}
		for k, inner := range rapid.MapOf(key, rapid.MapOf(key, value)).Draw(r, "mapping") {
			m[k] = inner
		}
		for k, v := range rapid.MapOf(key, value).Draw(r, "values") {
			m[k] = v
		}
		return m
	})
	rapid.Check(t, func(r *rapid.T) {
		m := mapping.Draw(r, "m")
		var paths secretPaths
		for _, p := range rapid.SliceOf(rapid.SliceOfN(key, 0, 3)).Draw(r, "paths") {
			paths = paths.with(p)
		}
		var replaced, found []any
		paths.replace(m, func(_ []string, v any) any {
			replaced = append(replaced, v)
			return v
		})
		paths.each(m, func(v any) { found = append(found, v) })
		if diff := cmp.Diff(replaced, found); diff != "" {
			r.Errorf("(-replaced +found):\n%s", diff)
		}
	})
}
