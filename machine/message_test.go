package machine

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"plain":                               "plain",
		"  no\tsuch\r\nfile \n":               "no such  file",
		"\x1b[31mred\x1b[0m\x00":              "red\uFFFD",
		"\x1b]0;title\x07named\x1b":           "named\uFFFD",
		"\x9b31mred":                          "\uFFFD31mred",
		"turned \u202Etxt.exe":                "turned \uFFFDtxt.exe",
		"a\u2028b\u0085c":                     "a b c",
		strings.Repeat("x", 1024):             strings.Repeat("x", 1024),
		strings.Repeat("x", 1025):             strings.Repeat("x", 1021) + "...",
		"x" + strings.Repeat("\u00e9", 9_000): "x" + strings.Repeat("\u00e9", 510) + "...",
	} {
		if got := OneLine(text); got != want {
			t.Errorf("%.40q is %.60q, want %.60q", text, got, want)
		}
	}
}

func TestOneLineIsALineForAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(\x1b\[[0-9;]*[a-zA-Z]|[ \x00-\x7f\x{202a}-\x{202e}é])*`),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		text = strings.Repeat(text, rapid.IntRange(1, 200).Draw(t, "times"))
		got := OneLine(text)
		if len(got) > MaxMessage || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || got != OneLine(got) {
			t.Fatalf("%q is %q", text, got)
		}
	})
}

const told = `
format: 1
name: told
version: 1.0.0
initial_state: idle
states: {idle: {home: true}, broken: {home: true}}
data: {why: {type: string, default: ""}}
transitions:
  - {name: failed, from: [idle], destination: broken, when: 'event.message startsWith "exit code"', set: {why: event.message}}
  - {name: failed, from: [idle], destination: idle}
`

func TestEventMessageIsSeenByExpressionsAndReplayed(t *testing.T) {
	d, list := Load("told.yaml", []byte(told), nil)
	if d == nil {
		t.Fatal(list)
	}
	l := startLive(t, d)
	cause := Cause{Kind: CauseWatcher, Name: "check"}
	before := l.step(Event{Name: "failed", Outcome: OutcomeFail, Cause: cause})
	if before.To != "idle" || before.Message != "" {
		t.Errorf("without a message: %+v", before)
	}
	r := l.step(Event{Name: "failed", Outcome: OutcomeFail, Message: "exit code 3:\nboom", Cause: cause})
	if r.To != "broken" || r.Message != "exit code 3: boom" || r.Set["why"] != r.Message {
		t.Errorf("got %+v", r)
	}
	want := `#3 03:04:07.000 idle --failed--> broken  by watcher check (fail)  because exit code 3: boom  guards[0=true]  set{why="exit code 3: boom"}`
	if diff := cmp.Diff(want, Transcript(&r)); diff != "" {
		t.Error(diff)
	}
	if s, err := Replay(openTrace(t, l.trace(t, 0)), d, nil, nil); err != nil || s.State != "broken" {
		t.Errorf("replayed to %s: %v", s.State, err)
	}
}
