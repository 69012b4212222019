package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/statecraft-io/statecraft/machine"
)

const lessonQuery = "query: data.p.x\n"

// askWithin looks once with a time-out that the policy does not keep.
func (b *bench) askWithin(timeout time.Duration) (outcome, message string, over time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), timeout)
	defer cancel()
	began := time.Now()
	r := b.watcher.Check(ctx, &b.look)
	return r.Outcome, r.Message, time.Since(began) - timeout
}

func TestG43PanicsAreDenied(t *testing.T) {
	b := newBench(t, inline("package p\nx if test.panic(input)", lessonQuery+"input: '1'"))
	for range 2 {
		if r := b.ask(); r.Outcome != OutcomeDenied || !strings.Contains(r.Message, "broke down: by order") || r.Payload["reason"] != r.Message {
			t.Errorf("got %s %q %v", r.Outcome, r.Message, r.Payload)
		}
	}
}

func TestG43LoopsEnd(t *testing.T) {
	for name, text := range map[string]string{
		"one function":       "package p\nx if count(numbers.range(1, 1000000000000)) == 0",
		"nested":             "package p\nn := numbers.range(1, 3000)\nx if { some a in n; some b in n; some c in n; a + b + c == 0 }",
		"addresses":          `package p` + "\n" + `x if count(net.cidr_expand("::/32")) == 0`,
		"a hundred thousand": "package p\nn := numbers.range(1, 100000)\nx if count([1 | some a in n; some b in n; a + b == 0]) == 1",
	} {
		t.Run(name, func(t *testing.T) {
			outcome, message, over := newBench(t, inline(text, lessonQuery)).askWithin(100 * time.Millisecond)
			if outcome != machine.OutcomeTimeout || message == "" || over > 2*time.Second {
				t.Errorf("got %s %q, %s over its time", outcome, message, over)
			}
		})
	}
	if _, problems := prepareText(t, inline("package p\nx if y\ny if x", lessonQuery)); len(problems) == 0 {
		t.Error("rules that call each other are accepted")
	}
}

// TestG43WithheldFunctions also holds that each of them is one that the library has: a name that it drops or renames
// would be withheld no more.
func TestG43WithheldFunctions(t *testing.T) {
	for name, why := range withheld() {
		if topdown.GetBuiltin(name) == nil {
			t.Errorf("the library has no %s", name)
		}
		for version, format := range map[string]string{"v1": "package p\nx if %s", "v0": "package p\nx { %s }"} {
			arguments := make([]string, ast.BuiltinMap[name].Decl.Arity())
			for i := range arguments {
				arguments[i] = "input"
			}
			call := fmt.Sprintf("%s(%s)", name, strings.Join(arguments, ", "))
			_, problems := prepareText(t, inline(fmt.Sprintf(format, call), lessonQuery))
			if len(problems) != 1 || !strings.Contains(problems[0].Message, "undefined function "+name) || !strings.Contains(problems[0].Hint, why) {
				t.Errorf("%s, %s: %v", name, version, problems)
			}
		}
	}
}

// TestG43EveryOtherFunctionIsDeterministic fails when the library gets a new function of the sort that is withheld. Those
// that are listed depend on the time alone, which is the look's.
func TestG43EveryOtherFunctionIsDeterministic(t *testing.T) {
	timely := map[string]bool{"time.now_ns": true, "io.jwt.decode_verify": true}
	for _, b := range capabilities(ast.RegoV1).Builtins {
		if b.Nondeterministic && !timely[b.Name] {
			t.Errorf("%s is given to policies", b.Name)
		}
	}
}

// TestG43NoNetworkBySchema holds that the type checker fetches nothing either.
func TestG43NoNetworkBySchema(t *testing.T) {
	if c := capabilities(ast.RegoV0); c.AllowNet == nil || len(c.AllowNet) > 0 {
		t.Errorf("hosts allowed: %v (nil is every one)", c.AllowNet)
	}
}

func TestG43OneMegabyte(t *testing.T) {
	var text strings.Builder
	text.WriteString("package statecraft\nallow if input.n == 7\n")
	for i := 0; text.Len() < machine.MaxFile-100; i++ {
		fmt.Fprintf(&text, "rule_%d if { input.number == %d; startswith(input.name, \"node-%d\") }\n", i, i, i)
	}
	began := time.Now()
	d, list := loadFile("large.rego", map[string]string{"large.rego": text.String()})
	if list.HasErrors() || len(d.Files()) != 1 {
		t.Fatal(list)
	}
	t.Logf("%d bytes took %s", text.Len(), time.Since(began))
	_, list = loadFile("large.rego", map[string]string{"large.rego": text.String() + strings.Repeat("# more\n", 100)})
	if !list.HasErrors() || !strings.Contains(list.Error(), "holds more than 1048576 bytes") {
		t.Errorf("got %v", list)
	}
}

func TestG43DeepNesting(t *testing.T) {
	for _, open := range []string{"[", "{", "(", "{1: ", "[x | "} {
		text := "package p\nx := " + strings.Repeat(open, 200_000)
		if _, problems := prepareText(t, inline(text, lessonQuery)); len(problems) == 0 {
			t.Errorf("%s... is accepted", open)
		}
	}
}

func TestG43ResultsThatDecideNothing(t *testing.T) {
	for result, kind := range map[string]string{
		"1": "a number", `"true"`: "a text", "null": "null", "[true]": "a list", "{true}": "a list", "[]": "a list", `"deny"`: "a text",
	} {
		r := newBench(t, inline("package p\nx := "+result, lessonQuery)).ask()
		if r.Outcome != OutcomeDenied || r.Message != "the answer is "+kind+", where true, false or an object decides" {
			t.Errorf("%s: got %s %q", result, r.Outcome, r.Message)
		}
	}
}

func TestG43OldAndNewSyntax(t *testing.T) {
	for name, text := range map[string]string{
		"v1":              "package p\nx if { some n in input; n == 2 }",
		"v1 by an import": "package p\nimport rego.v1\nx if { some n in input; n == 2 }",
		"v0":              "package p\nx { input[_] == 2 }",
		"v0, default":     "package p\ndefault x = false\nx = true { n := input[_]; n == 2 }",
		"v0, old names":   "package p\nx { any([false, input[1] == 2]) }",
	} {
		for want, input := range map[string]string{machine.OutcomeSuccess: "[1, 2]", OutcomeDenied: "[1, 3]"} {
			if r := newBench(t, inline(text, lessonQuery+"input: '"+input+"'")).ask(); r.Outcome != want {
				t.Errorf("%s, %s: got %s %q", name, input, r.Outcome, r.Message)
			}
		}
	}
}

// FuzzInput holds that nobody who fills in an input changes what kind of report there is.
func FuzzInput(f *testing.F) {
	b := newBench(f, inline("package p\nx if { input.v.role == \"admin\"; walk(input.v, [_, \"yes\"]) }", lessonQuery+"input: '{v: data.v}'"))
	for _, seed := range []string{`{"role": "admin", "a": ["yes"]}`, `{}`, `null`, `[[[]]]`, `1e400`, `1e999999999`, `"\ud800"`, `{"role": {"role": 1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v any
		if json.Unmarshal(text, &v) != nil {
			return
		}
		look := b.look
		look.Data = map[string]any{"v": v}
		r := (&bench{TB: t, watcher: b.watcher, look: look}).ask()
		object, _ := v.(map[string]any)
		switch r.Outcome {
		case OutcomeDenied:
		case machine.OutcomeSuccess:
			if object["role"] != "admin" || !strings.Contains(string(text), "y") {
				t.Errorf("%s is allowed", text)
			}
		default:
			t.Errorf("%s: got %s %q", text, r.Outcome, r.Message)
		}
	})
}

// FuzzPolicy holds that no text, whether it is Rego or not, takes the host down or is neither refused nor decided.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{"package p\nx := true", "package p\nx { y }\ny { x }", "package p\nx if http.send({})", "package p\nimport data.p.x", "x", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		compiled, problems := compile(text, "data.p.x", true)
		if (compiled == nil) == (len(problems) == 0) {
			t.Errorf("%q: %v", text, problems)
		}
	})
}
