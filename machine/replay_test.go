package machine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
)

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// trace exports the run, without the records before cut, which become a gap.
func (l *live) trace(t fataler, cut int) []byte {
	t.Helper()
	var out bytes.Buffer
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := NewTraceWriter(&out, HeaderFor(l.d, "host", testTime))
	must(err)
	var s Snapshot
	for i := range cut {
		s = s.Apply(&l.records[i], HashRecord(l.raw[i]))
	}
	if cut > 0 {
		must(w.Gap(TraceGap{Reason: "retention", First: testTime, Last: testTime, Records: int64(cut)}))
		must(w.Snapshot(s))
	}
	for _, raw := range l.raw[cut:] {
		must(w.Record(raw))
	}
	must(w.Snapshot(l.s))
	return out.Bytes()
}

func openTrace(t fataler, b []byte) *TraceReader {
	t.Helper()
	r, err := NewTraceReader("m.trace", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// storyDefinition has a digest that is its source's, as Load gives it.
func storyDefinition(t testing.TB) *Definition {
	m := inventory()
	m.Transitions[5].When = "state == 'publishing'"
	m.Source = []byte("name: inventory\n")
	m.Digest = digestOf(m.Source)
	return mustCompile(t, m)
}

func story(t testing.TB, d *Definition) *live {
	l := startLive(t, d)
	l.step(Event{Name: "gather", Payload: map[string]any{"count": 3}, Cause: Cause{Kind: CauseWatcher, Name: "facts"}, Outcome: "success"})
	l.step(Event{Name: "nonsense", Payload: map[string]any{"blob": strings.Repeat("x", MaxPayload)}})
	l.step(Event{Name: "note"})
	l.take(d.Recover(&l.s, l.at))
	l.step(Event{Name: "published", Data: map[string]any{"label": "x"}})
	return l
}

func TestReplayFindsTampering(t *testing.T) {
	l := story(t, storyDefinition(t))
	good := l.trace(t, 0)
	if _, err := Replay(openTrace(t, good), l.d, nil, nil); err != nil {
		t.Fatalf("the untouched trace: %v", err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	edit := func(i int, old, new string) string {
		if !strings.Contains(lines[i], old) {
			t.Fatalf("line %d has no %q: %s", i+1, old, lines[i])
		}
		return strings.Join(lines[:i], "") + strings.Replace(lines[i], old, new, 1) + strings.Join(lines[i+1:], "")
	}
	for _, c := range []struct {
		name, trace string
		code        string
		line        string
	}{
		{"a record removed", strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""), "SC705", ":4:"},
		{"a record doubled", strings.Join(append(append([]string{}, lines[:3]...), lines[2:]...), ""), "SC705", ":4:"},
		{"two exchanged", strings.Join([]string{lines[0], lines[1], lines[3], lines[2]}, ""), "SC705", ":3:"},
		{"the beginning cut", strings.Join(append([]string{lines[0]}, lines[2:]...), ""), "SC705", ":2:"},
		{"a decision changed", edit(2, `"to":"publishing"`, `"to":"broken"`), "SC708", ":3:"},
		{"a guard changed", edit(2, `"value":true`, `"value":false`), "SC708", ":3:"},
		{"an identity changed", edit(2, `"name":"facts"`, `"name":"other"`), "SC706", ":4:"},
		{"a time changed", edit(2, `"at":"2026-01-02T03:04:06`, `"at":"2026-01-02T03:04:05`), "SC706", ":4:"},
		{"a digest of another manifest", edit(2, `"digest":"`+l.d.digest, `"digest":"`+strings.Repeat("0", 64)), "SC708", ":3:"},
		{"an unrecorded refusal that moves", edit(3, `"to":"publishing"`, `"to":"idle"`), "SC708", ":4:"},
		{"the last snapshot", edit(7, `"state":"idle"`, `"state":"broken"`), "SC708", ":8:"},
		{"an unknown field", edit(2, `"kind"`, `"x":1,"kind"`), "SC702", ":3:"},
		{"cut in a line", string(good[:len(good)-20]), "SC702", ":8:"},
		{"an unknown line", string(good) + `{"comment":"hi"}`, "SC702", ":9:"},
		{"no object", string(good) + `[]`, "SC702", ":9:"},
		{"a long line", string(good) + strings.Repeat("x", MaxTraceLine+1), "SC703", ":9:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Replay(openTrace(t, []byte(c.trace)), l.d, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.code) || !strings.Contains(err.Error(), "m.trace"+strings.TrimSuffix(c.line, ":")+":") {
				t.Errorf("error %v, want %s at %s", err, c.code, c.line)
			}
			if err != nil && !strings.Contains(err.Error(), "hint:") {
				t.Errorf("error %v says no next step", err)
			}
		})
	}
}

func TestReplayNamesTheFirstDifference(t *testing.T) {
	l := story(t, storyDefinition(t))
	changed := inventory()
	changed.Transitions[5].When = "state == 'publishing'"
	changed.Transitions[0].Destination = "idle"
	_, err := Replay(openTrace(t, l.trace(t, 0)), mustCompile(t, changed), nil, nil)
	var diff *Difference
	if !errors.As(err, &diff) {
		t.Fatalf("error %v, want a difference", err)
	}
	want := Difference{Pos: diag.Position{File: "m.trace", Line: 3}, Seq: 2, Field: "kind", Recorded: `"transition"`, Decided: `"stay"`}
	if *diff != want {
		t.Errorf("difference %+v, want %+v", *diff, want)
	}
}

func TestReplayAgainstALaterManifest(t *testing.T) {
	l := story(t, storyDefinition(t))
	later := inventory()
	later.Transitions[5].When = "state == 'publishing'"
	later.Transitions = append([]Transition{{Name: "new", From: []string{"idle"}, Destination: "broken"}}, later.Transitions...)
	later.Source = []byte("another")
	later.Digest = digestOf(later.Source)
	if _, err := Replay(openTrace(t, l.trace(t, 0)), mustCompile(t, later), nil, nil); err != nil {
		t.Errorf("a manifest that decides the same: %v", err)
	}
}

func TestReplayFollowsUpgrades(t *testing.T) {
	old := storyDefinition(t)
	l := story(t, old)
	m := inventory()
	m.Source, m.Transitions[5].When, m.Transitions[2].Destination = []byte("version two"), "", "broken"
	m.Digest = digestOf(m.Source)
	next := mustCompile(t, m)
	before := len(l.raw)
	l.d = next
	l.take(next.Replace(&l.s, l.at))
	l.step(Event{Name: "gather", Payload: map[string]any{"count": 1}})
	l.step(Event{Name: "published"})
	var out bytes.Buffer
	w, err := NewTraceWriter(&out, HeaderFor(old, "host", testTime))
	for i, raw := range l.raw {
		if i == before {
			err = errors.Join(err, w.Manifest("version two"))
		}
		err = errors.Join(err, w.Record(raw))
	}
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) (*Definition, error) {
		if text != "version two" {
			return nil, errors.New("unexpected manifest")
		}
		return next, nil
	}
	seen := 0
	got, err := Replay(openTrace(t, out.Bytes()), old, load, func(*TraceLine, *Snapshot) { seen++ })
	if err != nil || got.State != "broken" || seen != len(l.raw)+1 {
		t.Errorf("state %q after %d lines: %v", got.State, seen, err)
	}
	broken := func(string) (*Definition, error) { return nil, errors.New("no") }
	if _, err := Replay(openTrace(t, out.Bytes()), old, broken, nil); err == nil || !strings.Contains(err.Error(), "SC707") {
		t.Errorf("a manifest that does not load: %v", err)
	}
}

func TestTraceHeaders(t *testing.T) {
	l := story(t, storyDefinition(t))
	header := toJSON(HeaderFor(l.d, "host", testTime))
	for name, text := range map[string]string{
		"empty": "", "blank lines": "\n\n", "no JSON": "hello", "a record": string(l.raw[0]),
		"protocol": strings.Replace(header, "trace.v1", "trace.v9", 1),
		"manifest": strings.Replace(header, "name: inventory", "name: inventoty", 1),
		"machine":  strings.Replace(header, `"machine":"inventory"`, `"machine":""`, 1),
	} {
		_, err := NewTraceReader("m.trace", strings.NewReader(text))
		var list diag.List
		if !errors.As(err, &list) || list[0].Code != "SC701" || list[0].Hint == "" {
			t.Errorf("%s: error %v, want SC701 with a hint", name, err)
		}
	}
	_, err := NewTraceReader("m.trace", io.MultiReader(strings.NewReader(header[:10]), badReader{}))
	if err == nil || !strings.Contains(err.Error(), "SC70") {
		t.Errorf("a reader that fails: %v", err)
	}
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, errors.New("bad disk") }

func FuzzTrace(f *testing.F) {
	l := story(f, storyDefinition(f))
	f.Add(l.trace(f, 0))
	f.Add(l.trace(f, 3))
	f.Add([]byte(`{"protocol":"io.statecraft.trace.v1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewTraceReader("m.trace", bytes.NewReader(b))
		if err == nil {
			_, err = Replay(r, l.d, func(string) (*Definition, error) { return l.d, nil }, func(line *TraceLine, _ *Snapshot) {
				if line.Record != nil && strings.ContainsAny(Transcript(line.Record), "\n\x1b") {
					t.Error("a transcript line with control characters")
				}
			})
		}
		if err == nil {
			return
		}
		if text := err.Error(); !strings.Contains(text, "m.trace:") || !strings.Contains(text, "SC70") || !strings.Contains(text, "hint:") {
			t.Errorf("an error without its place, code or next step: %v", err)
		}
	})
}

func TestTranscript(t *testing.T) {
	l := story(t, storyDefinition(t))
	l.take(l.d.Effect(&l.s, "check", l.at.Add(time.Second)))
	l.step(Event{Data: map[string]any{"seen": "x"}, Cause: Cause{Kind: CauseOperator, Identity: "evil\x1b[2J\nname"}})
	l.step(l.d.DeadlineEvent("publishing", 0))
	l.step(Event{Name: "gather", Cause: Cause{Kind: CauseSubscription, Machine: "other", Seq: 4}})
	var got []string
	for i := range l.records {
		got = append(got, Transcript(&l.records[i]))
	}
	want := []string{
		`#1 03:04:05.000 start --> idle  set{failures=0}`,
		`#2 03:04:06.000 idle --gather--> publishing  by watcher facts (success)  guards[0=true]  set{seen=3}  payload{count=3}`,
		`#3 03:04:07.000 publishing --nonsense--x refused: event cannot be recorded: the payload takes more than 65536 bytes`,
		`#4 03:04:08.000 publishing --note--> stays  guards[5=true]`,
		`#5 03:04:08.000 publishing ==recovery==> publishing  by resume`,
		`#6 03:04:09.000 publishing --published--> idle  set{failures=0, label="x"}`,
		`#7 03:04:10.000 idle starts look 1 of check  by watcher check`,
		`#8 03:04:10.000 idle data  by operator evil [2J name  set{seen="x"}`,
		`#9 03:04:11.000 idle --publish_timeout--x refused: event "publish_timeout" is not taken in state "idle"  by deadline 1m0s`,
		`#10 03:04:12.000 idle --gather--> publishing  by other#4  guards[0=true]  set{seen=null}`,
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

// digestOf is the digest that Load gives a manifest.
func digestOf(src []byte) Digest { return sha256.Sum256(src) }
