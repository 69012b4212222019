package watchers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
)

func newExpression(t *testing.T, properties string) *expressionWatcher {
	t.Helper()
	prepared, list := Expression().Prepare(watcherOf(t, properties, true))
	if list.HasErrors() {
		t.Fatal(list)
	}
	if !prepared.Inline || prepared.Interval != 10*time.Second {
		t.Fatalf("prepared %+v", prepared)
	}
	return prepared.New().(*expressionWatcher)
}

func newMarkedExpression(t *testing.T, properties string) *expressionWatcher {
	t.Helper()
	w := watcherOf(t, properties, true)
	w.Marked = true
	prepared, list := Expression().Prepare(w)
	if list.HasErrors() {
		t.Fatal(list)
	}
	return prepared.New().(*expressionWatcher)
}

// TestExpressionsOfFormat2SeeEveryName holds that names of format 2 are variables of older manifests.
func TestExpressionsOfFormat2SeeEveryName(t *testing.T) {
	look := &Look{Identity: "a.b", Machine: "web", Instance: "i", State: "up", Input: map[string]any{"n": 1}, At: time.Unix(60, 0)}
	w := newMarkedExpression(t, `success_when: input.n == 1.0 && machine == "web" && instance == "i" && state == "up" && token == "a=b" && at.Unix() == 60`)
	if got := w.Check(t.Context(), look); got.Outcome != machine.OutcomeSuccess {
		t.Errorf("%+v", got)
	}
	old := newExpression(t, `success_when: let state = 1; let input = 2; let token = 3; state + input == token`)
	if got := old.Check(t.Context(), look); got.Outcome != machine.OutcomeSuccess {
		t.Errorf("format 1: %+v", got)
	}
}

func TestExpressionsOfFormat2ThatCannotBe(t *testing.T) {
	for properties, want := range map[string]string{
		"success_when: ${ data.a == 1 }": "m.yaml:1:15: SC307 a condition is an expression and has no mark",
		"fail_when: data.a +":            "m.yaml:1:12: SC255 fail_when: expression data.a +: unexpected token EOF (line 1, column 8 of the expression)",
		"fail_when: '1'":                 "m.yaml:1:12: SC255 fail_when: the expression gives a number, never a boolean",
	} {
		w := watcherOf(t, properties, true)
		w.Marked = true
		if list := Expression().Check(w); len(list) != 1 || list[0].String() != want {
			t.Errorf("%s: %v, want %s", properties, list, want)
		}
	}
}

func TestExpressionReportsChanges(t *testing.T) {
	w := newExpression(t, "success_when: data.load < 5\nfail_when: data.load > 10")
	steps := []struct {
		load any
		want string
	}{
		{1, machine.OutcomeSuccess}, {2, OutcomeUnchanged}, {7, OutcomeUnchanged}, {1, machine.OutcomeSuccess},
		{11, machine.OutcomeFail}, {12, OutcomeUnchanged}, {1.5, machine.OutcomeSuccess},
		{"text", OutcomeError}, {1, OutcomeUnchanged}, {nil, OutcomeError}, {20, machine.OutcomeFail},
	}
	for i, s := range steps {
		if got := w.Check(t.Context(), &Look{Data: map[string]any{"load": s.load}}); got.Outcome != s.want {
			t.Errorf("step %d, load %v: %+v, want %s", i, s.load, got, s.want)
		}
	}
	w.Reset()
	if got := w.Check(t.Context(), &Look{Data: map[string]any{"load": 20}}); got.Outcome != machine.OutcomeFail {
		t.Errorf("after coming back: %+v", got)
	}
}

func TestExpressionReadsSuccessFirst(t *testing.T) {
	w := newExpression(t, "fail_when: 'true'\nsuccess_when: 'true'")
	if got := w.Check(t.Context(), &Look{}); got.Outcome != machine.OutcomeSuccess || got.Message != "success_when holds" {
		t.Errorf("both true: %+v", got)
	}
}

func TestExpressionEnvironment(t *testing.T) {
	look := &Look{
		Identity: "web1.example.net",
		Data:     map[string]any{"n": 3, "tags": []any{"a", "b"}},
		Facts:    mustFacts(t, `{"os":{"family":"debian","major":12},"disks":[{"n":1},{"n":2}]}`),
	}
	for _, text := range []string{
		`data.n == 3 && "a" in data.tags`, `facts.os.family == "debian"`, `facts.os.major >= 12`, `get_fact("os.family") == "debian"`,
		`get_fact("disks.#") == 2`, `get_fact("none") == nil`, `identity startsWith "web"`, `any(facts.disks, .n == 2)`,
		`replace("a-b", "-", "") == "ab" && replace("a-b-c", "-", "", 1) == "ab-c"`, `join(data.tags, ",") == "a,b"`, `join(data.tags) == "ab"`,
		`string(data.n) == "3"`, `toJSON(data.n) == "3"`, `"a" + identity == "aweb1.example.net"`, `data.n + 1 == 4`, `get_fact("os.major") + 1 == 13`,
		`data?.none?.deep == nil`, `len(filter(1..10, # > 5)) == 5`, `identity matches "^web[0-9]"`,
	} {
		for _, w := range []*expressionWatcher{newExpression(t, "success_when: >-\n  "+text), newMarkedExpression(t, "success_when: >-\n  "+text)} {
			if got := w.Check(t.Context(), look); got.Outcome != machine.OutcomeSuccess {
				t.Errorf("%s: %+v", text, got)
			}
		}
	}
}

func TestExpressionWithoutFactsOrData(t *testing.T) {
	w := newExpression(t, "success_when: data.n == nil && facts.os == nil && get_fact('os') == nil")
	if got := w.Check(t.Context(), &Look{}); got.Outcome != machine.OutcomeSuccess {
		t.Errorf("%+v", got)
	}
	w = newExpression(t, "success_when: facts.os.family == 'debian'")
	got := w.Check(t.Context(), &Look{})
	if got.Outcome != OutcomeError || !strings.HasPrefix(got.Message, "success_when: cannot fetch family from <nil> (line 1, column 10") {
		t.Errorf("a fact that is not there: %+v", got)
	}
}

func TestExpressionProperties(t *testing.T) {
	tests := []struct {
		properties string
		want       []string
	}{
		{"success_when: data.a", nil},
		{"success_when: ''", []string{"m.yaml:100:1: SC256 there is neither success_when nor fail_when"}},
		{"success_when: data.a ==", []string{"m.yaml:1:15: SC255 success_when: unexpected token EOF (line 1, column 9 of the expression)"}},
		{"fail_when: dta.a", []string{"m.yaml:1:12: SC255 fail_when: unknown name dta (line 1, column 1 of the expression)"}},
		{"fail_when: identity", []string{"m.yaml:1:12: SC255 fail_when: expected bool, but got string"}},
		{"fail_when: now() > now()", []string{"m.yaml:1:12: SC255 fail_when: unknown name now (line 1, column 1 of the expression)"}},
	}
	for _, tt := range tests {
		w := watcherOf(t, tt.properties, true)
		var got []string
		for _, d := range Expression().Check(w) {
			got = append(got, d.String())
			if d.Hint == "" {
				t.Errorf("%s has no hint", d)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.properties, diff)
		}
	}
}

// TestExpressionsAreBounded holds that no expression takes the host's time or memory.
func TestExpressionsAreBounded(t *testing.T) {
	for _, text := range []string{
		`all(1..1000, all(1..1000, all(1..1000, true)))`,
		`len(map(1..1000, map(1..1000, map(1..1000, #)))) > 0`,
		`len(1..100000000) > 0`,
		`let a = "xxxxxxxxxxxxxxxx"; ` + doubling("a", "b", 60) + `len(b) > 0`,
		`let a = replace(data.text, "x", data.text); let b = replace(a, "x", a); len(replace(b, "x", b)) > 0`,
		`len(join(map(1..1000, data.text), data.text)) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `len(string(a40)) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `len(toJSON(a40)) > 0`,
	} {
		start := time.Now()
		w := newExpression(t, "success_when: >-\n  "+text)
		got := w.Check(t.Context(), &Look{Data: map[string]any{"text": strings.Repeat("x", 5000)}})
		if took := time.Since(start); took > 2*time.Second || got.Outcome != OutcomeError {
			t.Errorf("%s takes %s: %+v", text, took, got)
		}
	}
	if _, err := compileExpression(strings.Repeat("data.a && ", 2000) + "true"); err == nil {
		t.Error("an expression of thousands of nodes is compiled")
	}
}

// doubling adds a text to itself n times.
func doubling(first, last string, n int) string {
	text := "let b0 = " + first + "; "
	for i := range n {
		text += fmt.Sprintf("let b%d = b%d + b%d; ", i+1, i, i)
	}
	return text + fmt.Sprintf("let %s = b%d; ", last, n)
}

// nesting makes a list that holds itself twice, n times.
func nesting(name string, n int) string {
	text := fmt.Sprintf("let %s0 = %s; ", name, name)
	for i := range n {
		text += fmt.Sprintf("let %s%d = [%s%d, %s%d]; ", name, i+1, name, i, name, i)
	}
	return text
}

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{`data.a > 1`, `get_fact("a.b") == nil`, `any(facts.l, #.x)`, `identity matches "("`, `reduce(1..9, #acc + #)  > 3`, `{"a": 1}.a == 1`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		program, err := compileExpression(text)
		if err != nil {
			if strings.ContainsRune(err.Error(), '\n') {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		_, _ = program.holds(expressionEnv(&Look{Data: map[string]any{"a": 1, "l": []any{1, "x", nil}}}))
	})
}
