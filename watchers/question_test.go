package watchers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const asked = `{
  "facts": {"os": {"name": "debian", "major": 12, "a.b": 7}, "disks": [{"n": 1}, {"n": 2}], "load": 1.5, "large": 9007199254740993, "text": "x\u00e9\"y", "Site": "dc1", "on": true, "none": null},
  "machines": {"metadata": {"state": "waiting", "version": "1.0.0"}, "web.site": {"state": "running"}},
  "classes": ["base", "roles::web"], "agents": [], "status": {"machines": 2}
}`

func askedMembers() []string { return []string{"facts", "machines", "classes", "agents", "status"} }

func documentOf(t testing.TB, text string) *Document {
	t.Helper()
	d, err := ReadDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// holdsFor evaluates a question for the document above.
func holdsFor(ctx context.Context, t testing.TB, text string) (bool, error) {
	t.Helper()
	q, err := CompileQuestion(text, askedMembers())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return q.Ask(ctx, now).Holds(About{Identity: "web1.example.net", LastSeen: now.Add(-time.Hour), Digest: "ab12", Document: documentOf(t, asked)})
}

func TestQuestionsHold(t *testing.T) {
	for _, text := range []string{
		`true`, `identity == "web1.example.net"`, `identity startsWith "web" && identity matches "^web[0-9]+\\."`, `digest == "ab12"`,
		`last_seen < now() - duration("10m")`, `last_seen > now() - duration("2h")`, `last_seen < date("2026-07-01T12:00:00Z")`,
		`facts.os.name == "debian"`, `facts["os"]["major"] >= 12`, `facts.os["a.b"] == 7`, `facts.load > 1`, `facts.large == 9007199254740993`, `facts.text == "x\u00e9\"y"`,
		`facts.disks[1].n == 2`, `facts.disks[-1].n == 2`, `any(facts.disks, .n == 2)`, `len(facts.disks) == 2`, `facts.on`, `facts.on and not (facts.os.name == "rocky")`,
		`get_fact("os.name") == "debian"`, `get_fact("os.a\\.b") == 7`, `get_fact("disks.#") == 2`, `get_fact("disks.1.n") == 2`, `get_fact("none.at.all") == nil`,
		`get_fact("none.at.all", 5) == 5`, `get_fact("os." + "name") == "debian"`, `get_fact("os." + "nome", "x") == "x"`,
		`facts[lower("OS")].name == "debian"`, `facts.os[lower("MAJOR")] == 12`, `machines[replace("web-site", "-", ".")].state == "running"`,
		`machines.metadata.state == "waiting"`, `machines["web.site"].state == "running"`, `"metadata" in machines`, `len(machines) == 2`,
		`any(values(machines), .state == "running")`, `"roles::web" in classes`, `!("x" in agents)`, `len(agents) == 0`, `status.machines == 2`,
		`let os = facts.os; os.name == "debian" && os.nome == nil`, `count(facts.disks, .n > 1) == 1`, `sum(map(facts.disks, .n)) == 3`,
		`join(map(facts.disks, string(.n)), ",") == "1,2"`, `uniq([1, 1, 2]) == [1, 2]`, `facts.os == {"name": "debian", "major": 12, "a.b": 7}`,
		// What is not there is nil, whatever is asked of it.
		`machines.none.state == nil`, `not (machines.none.state == "waiting")`, `facts.none.at.all == nil`, `facts.os.name.deeper == nil`, `facts?.none?.at == nil`,
		`(facts.none ?? "x") == "x"`, `facts.disks[7].n == nil`, `facts[identity].x == nil`, `any(facts.disks, .none.deeper == nil)`,
		// Names are found in another case.
		`facts.site == "dc1"`, `facts.OS.Name == "debian"`, `get_fact("SITE") == "dc1"`, `any(facts.disks, .N == 1)`, `machines.Metadata.state == "waiting"`,
	} {
		if holds, err := holdsFor(t.Context(), t, text); !holds || err != nil {
			t.Errorf("%s: %v, %v", text, holds, err)
		}
	}
}

func TestQuestionsWithoutAnswer(t *testing.T) {
	if holds, err := holdsFor(t.Context(), t, `facts.none`); holds || err != nil {
		t.Errorf("what is not there: %v, %v", holds, err)
	}
	for text, want := range map[string]string{
		`facts.none > 5`:              "invalid operation: <nil> > int (line 1, column 12 of the expression)",
		`facts.os.name`:               "bool(string) (line 1, column 1 of the expression)",
		`get_fact(facts.load) == 1`:   "get_fact takes a path",
		`get_fact(facts.text + "*")`:  "has \"*\" in it",
		`facts.os.major + "x" == "y"`: "invalid operation: int + string",
	} {
		holds, err := holdsFor(t.Context(), t, text)
		if holds || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %s", text, holds, err, want)
		}
	}
}

func TestQuestionsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`facts.a ==`:             "unexpected token EOF (line 1, column 10 of the expression)",
		`fcts.os.name == "x"`:    "unknown name fcts (line 1, column 1 of the expression)",
		`identity`:               "expected bool, but got string",
		`$env == nil`:            "unknown name $env",
		`$env["facts"] == nil`:   "unknown name $env",
		`last_seen.Unix() > 1`:   "values have no methods",
		`last_seen.Local() == 1`: "values have no methods",
		`now(1) == 1`:            "unknown name now",
		`timezone("UTC") == nil`: "unknown name timezone",
		`date("2026-01-01", "2006-01-02", "Europe/Berlin") == now()`:     "date takes a text and its layout only",
		`repeat("x", 100) == ""`:                                         "unknown name repeat",
		`identity matches identity`:                                      "matches takes a pattern that is written as a text",
		`identity matches "("`:                                           "no regular expression",
		`identity matches "(x{30}){30}[a-z]{900}"`:                       "too complex",
		`identity matches "` + strings.Repeat(`(x{10}){100}`, 300) + `"`: "too complex",
		`get_fact("a.*") == 1`:                                           `has "*" in it`,
		`get_fact("a..b") == 1`:                                          "no list of at most 32 names",
		`get_fact("@pretty") == 1`:                                       `has "@" in it`,
		`has_file("/etc/passwd")`:                                        "unknown name has_file",
		strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000):   "",
		strings.Repeat("!", 4000) + "true":                               "",
		strings.Repeat("[", 4000):                                        "",
		strings.Repeat("x", MaxQuestion+1):                               "4096 is the limit",
		strings.Repeat("true || ", 500) + "true":                         "",
	} {
		q, err := CompileQuestion(text, askedMembers())
		if want == "" {
			continue // it is enough that it comes back
		}
		if q != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", text, err, want)
		}
	}
}

// TestQuestionsAreBounded holds that a client's condition takes neither the host's time nor its memory.
func TestQuestionsAreBounded(t *testing.T) {
	for _, text := range []string{
		`all(1..1000, all(1..1000, all(1..1000, true)))`,
		`len(1..100000000) > 0`,
		`1..1000000 == 1..1000000 && ` + strings.Repeat(`1..1000000 == 1..1000000 && `, 50) + `true`,
		`len(map(1..1000, map(1..1000, map(1..1000, #)))) > 0`,
		`let a = "xxxxxxxxxxxxxxxx"; ` + doubling("a", "b", 60) + `len(b) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `a40 == a39`,
		`let a = [1, 1]; ` + nesting("a", 40) + `max(a40) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `sum(flatten(a40)) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `median(a40) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `1 in a40 || a39 in a40 || a38 in a40`,
		`let a = [1, 1]; ` + nesting("a", 40) + `len(string(a40)) > 0`,
		`let a = [1, 1]; ` + nesting("a", 40) + `len(toJSON(a40)) > 0`,
		`len(uniq(1..90000)) > 0`,
		`len(sort(map(1..90000, 90000 - #))) > 0 && all(1..90000, len(sort(1..90000)) > 0)`,
		`all(1..90000, len(reverse(1..90000)) > 0)`,
		`any(1..90000, (` + strings.Repeat(`facts.text + `, 50) + `"") matches "(x+x+)+y[a-z]{200}")`,
		`any(1..90000, get_fact("os.name" + string(#)) == 1)`,
		`any(1..90000, facts[string(#)] == 1)`,
		`len(reduce(1..90000, [#acc])) > 9`,
		`any(1..90000, len(split(join(map(1..900, "abcdefgh")), "")) < 0)`,
		`any(1..90000, facts == {"a": facts})`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if holds, err := holdsFor(ctx, t, text); holds || err == nil || ctx.Err() != nil {
			t.Errorf("%.100s: %v, %v", text, holds, err)
		}
		cancel()
	}
}

// TestQuestionsEnd ends an evaluation by its context.
func TestQuestionsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := holdsFor(ctx, t, `true`); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestDocumentsAreRefused(t *testing.T) {
	wide := "{"
	for i := range maxDocumentMembers - 1 {
		wide += fmt.Sprintf(`"m%d":1,`, i)
	}
	for _, text := range []string{"", "[]", "7", `{"a":}`, `{} {}`, strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70), strings.Repeat("[", 1<<20), wide + `"last":1,"more":1}`} {
		if _, err := ReadDocument([]byte(text)); err == nil {
			t.Errorf("%.40s is read", text)
		}
	}
	d := documentOf(t, wide+`"LAST":1} `)
	if p, _ := ParsePath("last"); p.Raw(d) != "1" {
		t.Error("the last member is not found")
	}
}

// TestPathsReadAsDocumentsAre holds paths against decoding the whole document.
func TestPathsReadAsDocumentsAre(t *testing.T) {
	names := []string{"a", "b.c", "d|e", "#", "@f", "0", "g h", "\u00e9", `q"`, `\`, "*"}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom(names), 1, 4).Draw(t, "words")
		var v any = rapid.IntRange(-5, 5).Draw(t, "value")
		for i := len(words) - 1; i >= 0; i-- {
			v = map[string]any{words[i]: v, "z": 1.5}
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ReadDocument(text)
		if err != nil {
			t.Fatal(err)
		}
		escaped := make([]string, len(words))
		for i, word := range words {
			for _, c := range word {
				if strings.ContainsRune(`.*?|@{}[]()!#\`, c) {
					escaped[i] += `\`
				}
				escaped[i] += string(c)
			}
		}
		path, err := ParsePath(strings.Join(escaped, "."))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := ReadJSON(text, maxFactsDepth)
		for _, word := range words {
			want = want.(map[string]any)[word]
		}
		if got := path.Value(d); got != want {
			t.Errorf("%q of %s is %v, want %v", words, text, got, want)
		}
	})
}

func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{`facts.a > 1`, `get_fact("a.b") == nil`, `any(facts.l, #.x)`, `identity matches "("`, `facts?.a?.[identity]`, `let a = facts; a.b == 1`, `{"a": 1}.a == now()`} {
		f.Add(seed)
	}
	d, err := ReadDocument([]byte(asked))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := CompileQuestion(text, askedMembers())
		if err != nil {
			if strings.ContainsRune(err.Error(), '\n') {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		_, _ = q.Ask(t.Context(), time.Unix(0, 0)).Holds(About{Identity: "n1", Document: d})
	})
}
