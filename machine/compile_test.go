package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/types"
	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

// catalogue is a fake with one type of known payload and one that fires events of its own name.
type catalogue map[string]*WatcherType

func (c catalogue) Find(name string) (*WatcherType, bool) { t, ok := c[name]; return t, ok }
func (c catalogue) Names() []string                       { return nil }

func testCatalogue() catalogue {
	return catalogue{
		"counter": {Name: "counter", Outcomes: []Outcome{
			{Name: "success", Payload: map[string]ValueType{"count": Integer, "name": String}},
			{Name: "unchanged", Class: Neutral},
			{Name: "changed", Class: Success},
		}},
		"nagios": {Name: "nagios", Outcomes: []Outcome{{Name: "critical", Class: Failure, Event: "CRITICAL"}}},
	}
}

// inventory is a manifest that uses every part of the engine.
func inventory() *Manifest {
	return &Manifest{
		Format: 1, Name: "inventory", Version: "1.2.0", InitialState: "idle", Durable: true, OnRestart: Resume,
		Data: []DataField{{Name: "failures", Type: Integer, Default: 0}, {Name: "seen", Type: Any}, {Name: "label", Type: String}},
		States: []StateSpec{
			{Name: "publishing", After: []Deadline{{After: time.Minute, Event: "publish_timeout"}, {After: time.Hour, Event: "give_up"}}},
			{Name: "broken", Final: FinalFailure},
		},
		Transitions: []Transition{
			{Name: "gather", From: []string{"idle"}, Destination: "publishing", When: "data.failures < 3",
				Set: []Assignment{{Key: "seen", Value: marks.Bare("event.payload.count", diag.Position{})}}},
			{Name: "gather", From: []string{"idle"}, Destination: "broken"},
			{Name: "published", From: []string{"publishing"}, Destination: "idle", Set: []Assignment{{Key: "failures", Value: marks.Bare("0", diag.Position{})}}},
			{Name: "publish_timeout", From: []string{"publishing"}, Destination: "idle", Set: []Assignment{{Key: "failures", Value: marks.Bare("data.failures + 1", diag.Position{})}}},
			{Name: "again", From: []string{"publishing"}, Destination: "publishing", Reenter: true},
			{Name: "note", From: []string{"*"}, Destination: "publishing", When: "state == 'publishing' && event.payload.count > 1"},
		},
		Watchers: []WatcherSpec{
			{Name: "facts", Type: "counter", StateMatch: []string{"idle"}, SuccessTransition: "gather", FailTransition: "note", On: map[string]string{"unchanged": "again"}},
			{Name: "check", Type: "nagios", SuccessTransition: "published", FailTransition: "publish_timeout", OnInterrupt: Ask, When: "data.failures == 0"},
		},
	}
}

func mustCompile(t testing.TB, m *Manifest) *Definition {
	t.Helper()
	d, list := compile(m, testCatalogue())
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompileDefinition(t *testing.T) {
	m := inventory()
	m.Transitions[5].When = "state == 'publishing'"
	d := mustCompile(t, m)
	if got, want := d.States(), []string{"idle", "publishing", "broken"}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	idle, _ := d.State("idle")
	broken, _ := d.State("broken")
	if !idle.Home || broken.Home || broken.Final != FinalFailure {
		t.Errorf("facts of states: idle %+v, broken %+v", idle, broken)
	}
	if _, ok := d.State("nowhere"); ok {
		t.Error("a state that does not exist has facts")
	}
	if !d.Matches(0, "idle") || d.Matches(0, "broken") || !d.Matches(1, "broken") || d.Matches(1, "nowhere") {
		t.Error("watchers match the wrong states")
	}
}

func TestEventFor(t *testing.T) {
	m := inventory()
	m.Transitions[5].When = ""
	d := mustCompile(t, m)
	for _, c := range []struct {
		watcher        int
		outcome, event string
	}{
		{0, "success", "gather"}, {0, "changed", "gather"}, {0, "unchanged", "again"},
		{0, "fail", "note"}, {0, "timeout", "note"}, {0, "panic", "note"}, {0, "interrupted", "note"}, {0, "nonsense", ""},
		{1, "critical", "CRITICAL"}, {1, "success", "published"}, {1, "interrupted", ""},
	} {
		if got := d.EventFor(c.watcher, c.outcome); got != c.event {
			t.Errorf("watcher %d, outcome %s: event %q, want %q", c.watcher, c.outcome, got, c.event)
		}
	}
}

func TestExpressionProblems(t *testing.T) {
	for _, c := range []struct {
		name, when, set, key string
		code                 diag.Code
		message, hint        string
	}{
		{name: "syntax", when: "data.failures <", code: "SC301", message: "unexpected token EOF (column 15"},
		{name: "no boolean", when: "data.failures", code: "SC301", message: "expected bool, but got int"},
		{name: "types", when: "data.failures + 'x' == 'y'", code: "SC301", message: "mismatched types int and string"},
		{name: "undeclared", when: "data.failurs > 1", code: "SC302", message: "unknown field failurs", hint: `did you mean "failures"?`},
		{name: "payload", when: "event.payload.cuont > 1", code: "SC302", hint: `did you mean "count"?`},
		{name: "clock", when: "now() > at", code: "SC302", message: "now is not deterministic"},
		{name: "order of maps", when: "len(keys(data)) > 1", code: "SC302", message: "keys is not deterministic"},
		{name: "time zone", when: "at.Local().Hour() > 1", code: "SC302", message: "Local is not deterministic"},
		{name: "set key", set: "1", key: "failurs", code: "SC303", hint: `did you mean "failures"?`},
		{name: "set type", set: "'x'", key: "failures", code: "SC304", message: "the expression gives a string, but the key is declared integer"},
		{name: "too long", when: strings.Repeat("true && ", 1000) + "true", code: "SC301"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := inventory()
			at := diag.Position{File: "machine.yaml", Line: 7, Column: 3}
			m.Transitions[5].When = ""
			m.Transitions[0].When, m.Transitions[0].places = c.when, map[string]diag.Position{"when": at}
			if c.set != "" {
				m.Transitions[0].Set = []Assignment{{Key: c.key, Value: marks.Bare(c.set, diag.Position{}), Pos: at}}
			}
			_, list := compile(m, testCatalogue())
			if len(list) != 1 {
				t.Fatalf("found %d problems, want one:\n%v", len(list), list)
			}
			got := list[0]
			if got.Code != c.code || got.Position != at || !strings.Contains(got.Message, c.message) || !strings.Contains(got.Hint, c.hint) {
				t.Errorf("got %v (hint %q), want %s %q (hint %q)", got, got.Hint, c.code, c.message, c.hint)
			}
		})
	}
}

func TestExpressionsWithoutFormatAreOpen(t *testing.T) {
	m := inventory()
	m.Format = 0
	m.Transitions[0].When = "data.anything == 'x' || event.payload.whatever == 1"
	m.Transitions[5].When = ""
	mustCompile(t, m)
}

func TestLoopsInExpressionsAreBounded(t *testing.T) {
	e := compileExpr("let a = 1..1000; all(a, all(a, all(a, all(a, true))))", types.Map{})
	if e.err != nil {
		t.Fatal(e.err)
	}
	if _, err := e.value(map[string]any{}); err == nil || !strings.Contains(err.Error(), "more than 1000000 rounds") {
		t.Errorf("10^12 rounds: error %v, want the limit of rounds", err)
	}
}

func TestLoopBodiesKeepTheirTypes(t *testing.T) {
	for text, want := range map[string]any{
		"filter(1..4, # > 2)": []any{3, 4}, "map(1..3, # * 2)": []any{2, 4, 6}, "count(1..9, # % 2 == 0)": 4,
		"sum(1..3, # + 1)": 9, "reduce(1..3, #acc + #)": 6, "find([1, 5], # > 2)": 5, "sortBy([3, 1], #)": []any{1, 3},
		"map(filter([{'a': 1}], .a == 1), .a)": []any{1}, "any([1], # == 1) && none([1], # == 2)": true,
	} {
		e := compileExpr(text, types.Map{})
		if e.err != nil {
			t.Errorf("%s: %v", text, e.err)
			continue
		}
		got, err := e.value(map[string]any{})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestTextsInExpressionsAreBounded(t *testing.T) {
	double := "let a0 = data.s + 'x'; "
	for i := range 60 {
		double += fmt.Sprintf("let a%d = a%d + a%d; ", i+1, i, i)
	}
	env := types.Map{"data": types.Map{types.Extra: types.Any, "t": types.String}}
	for name, text := range map[string]string{
		"sums":    double + "len(a60)",
		"typed":   strings.ReplaceAll(double, "data.s", "data.t") + "len(a60)",
		"replace": `len(replace(repeat("a", 100000), "a", repeat("b", 100000)))`,
		"join":    `len(join(split(repeat("a", 100000), ""), repeat("b", 100000)))`,
		"string":  `len(string(map(1..1000, repeat("a", 1000) + "x")))`,
		"toJSON":  `let s = repeat("a", 100000); len(toJSON(map(1..1000, s)))`,
		"repeat":  `len(repeat(repeat("a", 10000), 10000))`,
	} {
		e := compileExpr(text, env)
		if e.err != nil {
			t.Errorf("%s: %v", name, e.err)
			continue
		}
		got, err := e.value(map[string]any{"data": map[string]any{"s": "x", "t": "x"}})
		if err == nil {
			t.Errorf("%s: %v, want an error", name, got)
		}
	}
}

func TestOwnFunctions(t *testing.T) {
	for text, want := range map[string]any{
		`replace("aXbX", "X", "--")`: "a--b--", `replace("aXbX", "X", "-", 1)`: "a-bX", `replace("ab", "", "-")`: "-a-b-",
		`join(["a", "b"], ",") + join(split("c d", " "))`: "a,bcd", `string(1.5) + string([1, "a"]) + string(true)`: "1.5[1 a]true",
		`toJSON({"b": [1, 2.5], "a": nil})`: `{"a":null,"b":[1,2.5]}`, `"a" + "b"`: "ab", `1 + 2`: 3, `string(date("2026-01-02").Year())`: "2026",
		`date("2026-01-02T03:04:05+02:00") == date("2026-01-02 01:04:05")`: true, `date("2026-01-02")`: "2026-01-02T00:00:00Z",
		`string(date("2026-01-02") - date("2026-01-01"))`: "24h0m0s", `(date("2026-01-02") + duration("1h")).Hour()`: 1,
	} {
		e := compileExpr(text, types.Map{})
		if e.err != nil {
			t.Errorf("%s: %v", text, e.err)
			continue
		}
		got, err := e.value(map[string]any{})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	if e := compileExpr(`join([1])`, types.Map{}); e.err == nil {
		if _, err := e.value(map[string]any{}); err == nil || !strings.Contains(err.Error(), "item 0 is an integer") {
			t.Errorf("join of numbers: %v", err)
		}
	}
}
