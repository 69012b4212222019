package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
)

// inline makes properties of a policy text.
func inline(text, rest string) string {
	quoted, _ := json.Marshal(text)
	return "policy: " + string(quoted) + "\n" + rest
}

func TestDecisions(t *testing.T) {
	const query = "query: data.p.x\n"
	for name, test := range map[string]struct {
		policy, rest    string
		outcome, reason string
		result          any
	}{
		"true":                   {"package p\nx := true", query, machine.OutcomeSuccess, "", true},
		"default query":          {"package statecraft\nallow := true", "", machine.OutcomeSuccess, "", true},
		"object":                 {`package p` + "\n" + `x := {"cell": "c1"}`, query, machine.OutcomeSuccess, "", map[string]any{"cell": "c1"}},
		"object with a reason":   {`package p` + "\n" + `x := {"reason": "known"}`, query, machine.OutcomeSuccess, "known", map[string]any{"reason": "known"}},
		"object that allows":     {`package p` + "\n" + `x := {"allow": true}`, query, machine.OutcomeSuccess, "", map[string]any{"allow": true}},
		"object that refuses":    {`package p` + "\n" + `x := {"allow": false, "reason": "a\nb"}`, query, OutcomeDenied, "a b", nil},
		"object, allow is text":  {`package p` + "\n" + `x := {"allow": "true"}`, query, OutcomeDenied, "the policy says no: allow is not true", nil},
		"empty object":           {"package p\nx := {}", query, OutcomeDenied, "the policy says no: its answer is an empty object", nil},
		"false":                  {"package p\nx := false", query, OutcomeDenied, "the policy says no", nil},
		"undefined":              {"package p\nx if input.n == 1", query, OutcomeDenied, "the policy gives no answer: the query is undefined for this input", nil},
		"conversion":             {"package p\nx if to_number(\"a\") == 1", query, OutcomeDenied, `the policy gives no answer: the query is undefined for this input; row 2: to_number: strconv.ParseFloat: parsing "a": invalid syntax`, nil},
		"several answers":        {"package p\nx := [true, true]", "query: data.p.x[_]\n", OutcomeDenied, "the query has 2 answers; ask for one that decides", nil},
		"input":                  {"package p\nx := {\"n\": input.n}", query + "input: '{n: data.count + 1}'\n", machine.OutcomeSuccess, "", map[string]any{"n": json.Number("3")}},
		"identity":               {"package p\nx if startswith(input, \"n1\")", query + "input: identity\n", machine.OutcomeSuccess, "", true},
		"no input":               {"package p\nx if not input", query, machine.OutcomeSuccess, "", true},
		"base documents":         {"package p\nx if data.cells.c1.open", query + "data: '{cells: {c1: {open: true}}}'\n", machine.OutcomeSuccess, "", true},
		"only base documents":    {"package p", "query: data.cells\ndata: '{cells: {c1: 1}}'\n", machine.OutcomeSuccess, "", map[string]any{"c1": json.Number("1")}},
		"a rule before the data": {"package p\nx := false", query + "data: '{p: {x: true}}'\n", OutcomeDenied, "the policy says no", nil},
		"no data":                {"package p\nx := true", query + "data: nil\n", machine.OutcomeSuccess, "", true},
		"an expression":          {"package p\nx := {1, 2}", "query: count(data.p.x) == 2\n", machine.OutcomeSuccess, "", true},
		"time of the look":       {"package p\nx if time.now_ns() == 1893553445000000000", query, machine.OutcomeSuccess, "", true},
		"Rego v0":                {"package p\nx { input.n == 3 }", query + "input: '{n: 3}'\n", machine.OutcomeSuccess, "", true},
		"Rego v0, partial set":   {"package p\nx[y] { y := 1 }", "query: count(data.p.x) == 1\n", machine.OutcomeSuccess, "", true},
		"Rego v0 with keywords":  {"package p\nimport future.keywords\nx if { 1 in [1] }", query, machine.OutcomeSuccess, "", true},
		"too large":              {"package p\nx := {\"a\": sprintf(\"%70000d\", [1])}", query, machine.OutcomeFail, "", nil},
		"conflicting rules":      {"package p\nx := 1 if input.a\nx := 2 if input.a", query + "input: '{a: true}'\n", machine.OutcomeFail, "", nil},
		"input cannot be read":   {"package p\nx := true", query + "input: data.none.key\n", machine.OutcomeFail, "", nil},
		"data is no mapping":     {"package p\nx := true", query + "data: '1'\n", machine.OutcomeFail, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, inline(test.policy, test.rest))
			b.look.Data = map[string]any{"count": 2}
			got := b.ask()
			if got.Outcome != test.outcome {
				t.Fatalf("got %s %q %v", got.Outcome, got.Message, got.Payload)
			}
			if test.outcome == machine.OutcomeFail {
				if got.Message == "" || got.Payload != nil {
					t.Errorf("got %q %v", got.Message, got.Payload)
				}
				return
			}
			want := map[string]any{"reason": test.reason}
			if test.result != nil {
				want["result"] = test.result
			}
			if d := cmp.Diff(want, got.Payload); d != "" || got.Message != test.reason {
				t.Errorf("%q %s", got.Message, d)
			}
		})
	}
}

func TestFileIsReadAtTheLook(t *testing.T) {
	b := newBench(t, "file: rules/allow.rego\ninput: '{n: 1}'")
	path := filepath.Join(b.look.Directory, "rules", "allow.rego")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := b.ask(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "no such file") {
		t.Errorf("without the file: %s %q", r.Outcome, r.Message)
	}
	for _, step := range []struct{ text, outcome, message string }{
		{"package statecraft\nallow if input.n == 1", machine.OutcomeSuccess, ""},
		{"package statecraft\nallow if input.n == 2", OutcomeDenied, "undefined"},
		{"package statecraft\nallow if input.n ==", machine.OutcomeFail, "rules/allow.rego: "},
		{"package statecraft\nallow if http.send({})", machine.OutcomeFail, "http.send (row 2)"},
		{"package other\nallow if input.n == 1", machine.OutcomeFail, "its package is data.other"},
		{"package statecraft\n# " + strings.Repeat("x", maxRego), machine.OutcomeFail, "more than 1 MiB of Rego"},
		{"package statecraft\nallow if input.n == 1", machine.OutcomeSuccess, ""},
	} {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := b.ask(); r.Outcome != step.outcome || !strings.Contains(r.Message, step.message) {
			t.Errorf("got %s %q, want %s %q", r.Outcome, r.Message, step.outcome, step.message)
		}
	}
	kept := b.watcher.source.kept
	if b.ask(); b.watcher.source.kept != kept {
		t.Error("a file that has not changed is compiled again")
	}
}

func TestFileStaysInTheDirectory(t *testing.T) {
	b := newBench(t, "file: allow.rego")
	outside := filepath.Join(t.TempDir(), "allow.rego")
	if err := os.WriteFile(outside, []byte("package statecraft\nallow := true"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(b.look.Directory, "allow.rego")); err != nil {
		t.Fatal(err)
	}
	if r := b.ask(); r.Outcome != machine.OutcomeFail {
		t.Errorf("a link out of the directory: %s %q", r.Outcome, r.Message)
	}
	b.look.Directory = ""
	if r := b.ask(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "has no directory") {
		t.Errorf("without a directory: %s %q", r.Outcome, r.Message)
	}
}

// TestInstancesShareThePolicy is for the race detector as well.
func TestInstancesShareThePolicy(t *testing.T) {
	prepared, problems := prepareText(t, inline("package p\nx if data.n == input", "query: data.p.x\ninput: data.n\ndata: '{n: data.n}'"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	b := newBench(t, inline("package p", "query: '1 == 1'"))
	var all sync.WaitGroup
	for i := range 8 {
		one := &bench{TB: t, watcher: prepared.New().(*watcher), look: b.look}
		one.look.Data = map[string]any{"n": i}
		all.Go(func() {
			for range 20 {
				if r := one.ask(); r.Outcome != machine.OutcomeSuccess {
					t.Error(r.Outcome, r.Message)
				}
			}
		})
	}
	all.Wait()
}

func TestDiagnostics(t *testing.T) {
	large, _ := json.Marshal("package p\n# " + strings.Repeat("x", maxRego-100))
	for name, test := range map[string]struct {
		properties string
		want       []string // place and code of each
	}{
		"neither":          {"query: data.p.x", []string{"SC396"}},
		"both":             {"policy: package p\nfile: p.rego", []string{"SC396"}},
		"outside":          {"file: ../p.rego", []string{"machine.yaml:1:7: SC398"}},
		"absolute":         {"file: /p.rego", []string{"machine.yaml:1:7: SC398"}},
		"query of a file":  {"file: p.rego\nquery: data.p[", []string{"machine.yaml:2:8: SC397"}},
		"two expressions":  {"policy: package p\nquery: '1 == 1; 2 == 2'", []string{"machine.yaml:2:8: SC397"}},
		"no such rule":     {"policy: package p\nquery: data.q.x", []string{"machine.yaml:2:8: SC397"}},
		"no default rule":  {"policy: package p", []string{"SC397"}},
		"query's function": {"policy: package p\nquery: http.send({})", []string{"machine.yaml:2:8: SC397"}},
		"one row":          {"policy: package 1\nquery: '1 == 1'", []string{"machine.yaml:1:17: SC395"}},
		"rows":             {"policy: |\n  package p\n\n  x if nothing\nquery: data.p.x", []string{"machine.yaml:4: SC395"}},
		"two rows": {"policy: |\n  package p\n  x if net.lookup_ip_addr(\"a\")\n  y if http.send({})\nquery: data.p.x",
			[]string{"machine.yaml:3: SC395", "machine.yaml:4: SC395"}},
		"v0, withheld": {"policy: |\n  package p\n  x { rand.intn(\"a\", 2) == 1 }\nquery: data.p.x", []string{"machine.yaml:3: SC395"}},
		"1 MiB":        {"policy: " + string(large) + "\nquery: '1 == 1'", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := prepareText(t, test.properties)
			if len(problems) != len(test.want) {
				t.Fatalf("got %v", problems)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.String(), test.want[i]) || p.Hint == "" {
					t.Errorf("got %s, want %s; hint %q", p, test.want[i], p.Hint)
				}
			}
		})
	}
}

func BenchmarkDecision(b *testing.B) {
	for name, rest := range map[string]string{
		"input": "query: data.p.x\ninput: '{name: identity, tags: [\"web\", \"db\"]}'\n",
		"data":  "query: data.p.x\ninput: '{name: identity, tags: [\"web\", \"db\"]}'\ndata: '{cells: {c1: 1}}'\n",
	} {
		b.Run(name, func(b *testing.B) {
			one := newBench(b, inline("package p\nx := {\"cell\": \"c1\"} if { startswith(input.name, \"n1\"); \"web\" in input.tags }", rest))
			for b.Loop() {
				if r := one.ask(); r.Outcome != machine.OutcomeSuccess {
					b.Fatal(r.Outcome, r.Message)
				}
			}
		})
	}
}
