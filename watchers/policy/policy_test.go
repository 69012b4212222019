package policy

import (
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
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

// asking is a manifest whose policy is in a file.
const asking = `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - name: decide
    type: policy
    success_transition: place
    fail_transition: refuse
    on: {denied: refuse}
    properties:
      input: "{n: 1}"
      file: FILE
`

// onlyPolicy is a catalogue of this type alone.
type onlyPolicy struct{ *machine.WatcherType }

func (c onlyPolicy) Find(name string) (*machine.WatcherType, bool) {
	return c.WatcherType, name == c.Name
}
func (c onlyPolicy) Names() []string { return []string{c.Name} }

// loadFile loads a manifest with a policy in a file, of the folder "m" with these files.
func loadFile(name string, files map[string]string) (*machine.Definition, diag.List) {
	beside := func(name string) ([]byte, error) {
		if text, ok := files[filepath.Clean(name)]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	text := machine.Text{File: "m/machine.yaml", Source: []byte(strings.Replace(asking, "FILE", name, 1)), Files: beside}
	return machine.LoadText(text, onlyPolicy{&Types()[0].WatcherType})
}

func TestFileIsReadWithTheManifest(t *testing.T) {
	for name, test := range map[string]struct{ file, text, want, outcome string }{
		"decides":        {"rules/allow.rego", "package statecraft\nallow if input.n == 1", "", machine.OutcomeSuccess},
		"denies":         {"./rules/allow.rego", "package statecraft\nallow if input.n == 2", "", OutcomeDenied},
		"no such file":   {"rules/other.rego", "package statecraft", `m/machine.yaml:17:13: SC398 there is no file "rules/other.rego" beside the manifest`, ""},
		"does not parse": {"rules/allow.rego", "package statecraft\n\nallow if input.n ==", "m/rules/allow.rego:3:19: SC395 ", ""},
		"withheld":       {"rules/allow.rego", "package statecraft\nallow if http.send({})", "m/rules/allow.rego:2:10: SC395 undefined function http.send", ""},
		"other package":  {"rules/allow.rego", "package other\nallow if input.n == 1", "SC397 query: the policy has no rule data.statecraft.allow; its package is data.other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, list := loadFile(test.file, map[string]string{"rules/allow.rego": test.text})
			if test.want != "" {
				if !list.HasErrors() || !strings.Contains(list.Error(), test.want) {
					t.Errorf("got %v, want %q", list, test.want)
				}
				return
			}
			if list.HasErrors() {
				t.Fatal(list)
			}
			if files := d.Files(); len(files) != 1 || files[0].Name != test.file || files[0].Digest != sha256.Sum256([]byte(test.text)) {
				t.Errorf("read with it: %v", files)
			}
			prepared, _ := Types()[0].Prepare(&d.Manifest.Watchers[0])
			b := newBench(t, inline("package statecraft\nallow := true", ""))
			b.watcher = prepared.New().(*watcher)
			if r := b.ask(); r.Outcome != test.outcome {
				t.Errorf("got %s %q", r.Outcome, r.Message)
			}
		})
	}
}

// TestFileThatIsNotAtHand: a trace has the manifest alone. What it says is checked, and nothing is decided.
func TestFileThatIsNotAtHand(t *testing.T) {
	d, list := machine.Load("trace", []byte(strings.Replace(asking, "FILE", "allow.rego", 1)), onlyPolicy{&Types()[0].WatcherType})
	if len(list) > 0 || len(d.Files()) > 0 {
		t.Fatalf("%v, %v", list, d)
	}
	b := newBench(t, "file: allow.rego")
	if r := b.ask(); r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, "allow.rego was not read with the manifest") {
		t.Errorf("got %s %q", r.Outcome, r.Message)
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
	large, _ := json.Marshal("package p\n# " + strings.Repeat("x", machine.MaxFile-100))
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
