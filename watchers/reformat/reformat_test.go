package reformat_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/reformat"
)

const head = `format: 1 # ours
name: web
version: 1.0.0
initial_state: idle
data:
  a: {type: any}
  n: {type: integer, default: 0}
  s: {type: string, default: ""}
  l: {type: list, default: [x]}
  home: {type: string, default: "${HOME}"}
states:
  idle: {home: true}
`

// everyWay has every way to write a value.
const everyWay = head + `transitions:
  # A comment stays.
  - {name: done, from: [idle], destination: idle, when: data.n < 3, set: {n: data.n + 1, s: "'denied'", a: nil, l: '[1, "b"]'}}   
  - name: done
    from: [idle]
    set:
      s: "event.outcome == 'fail' ? 'bad: ' + event.message : ''"   # why
      a: >-
        {name: "x # is no comment",
         of: data.s}
      n:   "-3"
      l: |
        filter(data.l,
          # != "x")
  - name: other
    from: [idle]
    set:
      s: >
        'several rows of
        text'
      a: data.a !=
        data.s
      l: '[]'
watchers:
  - name: check
    type: exec
    interval: 1m
    success_transition: done
    fail_transition: done
    on: {timeout: other}
    properties:
      command: ./check --of '{{ lookup "data.s" "none" }}' -- {{ lookup "facts.os.name" "" | ToLower }} $HOME
      environment: ['A={{ lookup "input.x.y" "" }}', "B=${C}", D=plain]
      input: "'text'"
  - name: shell
    type: exec
    interval: 1m
    success_transition: done
    fail_transition: done
    properties: {command: 'echo "${HOME}"', shell: true}
  - name: page
    type: file
    success_transition: done
    fail_transition: done
    interval: 1m
    properties:
      path: page
      contents: |
        {{ lookup "identity" "" }}: ${x}
          {{ lookup "data.l.0" "none" }}

        end {{"{{"}}
      owner: root
      group: root
      mode: "0644"
  - {name: seen, type: expression, success_transition: done, fail_transition: other, properties: {success_when: data.n > 3}}


`

const everyWayMarked = `transitions:
  # A comment stays.
  - {name: done, from: [idle], destination: idle, when: data.n < 3,
     set: {n: '${ data.n + 1 }', s: denied, a: null, l: '${ [1, "b"] }'}}
  - name: done
    from: [idle]
    set:
      s: "${ event.outcome == 'fail' ? 'bad: ' + event.message : '' }"   # why
      a: >-
        ${ {name: "x # is no comment",
         of: data.s} }
      n:   -3
      l: |-
        ${ filter(data.l,
          # != "x") }
  - name: other
    from: [idle]
    set:
      s: >-
        several rows of
        text
      a: ${ data.a !=
        data.s }
      l: ${ [] }
watchers:
  - name: check
    type: exec
    interval: 1m
    success_transition: done
    fail_transition: done
    on: {timeout: other}
    properties:
      command: ./check --of '${ data.s ?? "none" }' -- ${ lower(get_fact("os.name") ?? "") } $HOME
      environment: ['A=${ input.x?.y }', "B=$${C}", D=plain]
      input: text
  - name: shell
    type: exec
    interval: 1m
    success_transition: done
    fail_transition: done
    properties: {command: 'echo "${HOME}"', shell: true}
  - name: page
    type: file
    success_transition: done
    fail_transition: done
    interval: 1m
    properties:
      path: page
      contents: |
        ${ identity }: $${x}
          ${ get(data.l, 0) ?? "none" }

        end ${ "{{" }
      owner: root
      group: root
      mode: "0644"
  - {name: seen, type: expression, success_transition: done, fail_transition: other, properties: {success_when: data.n > 3}}
`

func catalogue() *all.Catalogue { return all.New(all.Services{}) }

func TestAManifestIsRewrittenWhereItsValuesStand(t *testing.T) {
	is := strings.Replace(strings.Replace(head, "format: 1", "format: 2", 1), `"${HOME}"`, `"$${HOME}"`, 1) + everyWayMarked
	got, problems := reformat.Manifest("web.yaml", []byte(everyWay), catalogue())
	if diff := cmp.Diff(is, string(got)); diff != "" || len(problems) > 0 {
		t.Fatalf("%v (-want +got):\n%s", problems, diff)
	}
	if again, problems := reformat.Manifest("web.yaml", got, catalogue()); string(again) != is || len(problems) > 0 {
		t.Errorf("a second time: %v\n%s", problems, cmp.Diff(is, string(again)))
	}
}

// TestTextsWithSlashesAreNoComments has addresses where values and templates had comments.
func TestTextsWithSlashesAreNoComments(t *testing.T) {
	was := head + `transitions:
  - {name: done, from: [idle], destination: idle, set: {a: '"http://" + data.s', s: "'http://x'"}}
  - name: other
    from: [idle]
    set:
      a: >-
        data.s +
        'http://x'
watchers:
  - {name: check, type: exec, interval: 1m, success_transition: done, fail_transition: done, properties: {command: './get {{ lookup "data.s" "http://x" }}'}}
`
	got, problems := reformat.Manifest("web.yaml", []byte(was), catalogue())
	for _, want := range []string{`a: '${ "http://" + data.s }'`, "s: http://x", "        ${ data.s +\n        'http://x' }\n", `'./get ${ data.s ?? "http://x" }'`} {
		if len(problems) > 0 || !strings.Contains(string(got), want) {
			t.Errorf("%v, want %s in\n%s", problems, want, got)
		}
	}
}

func TestTemplatesInFormat2AreTranslated(t *testing.T) {
	was := strings.Replace(head, "format: 1", "format: 2", 1) + `transitions:
  - {name: done, from: [idle], destination: idle, set: {s: 'of {{ lookup "data.n" "0" }} and ${ data.n }'}}
watchers:
  - {name: check, type: exec, interval: 1m, success_transition: done, fail_transition: done, properties: {command: './check {{ lookup "data.s" "" }} ${ data.n }'}}
`
	was = strings.Replace(was, `"${HOME}"`, "x", 1)
	got, problems := reformat.Manifest("web.yaml", []byte(was), catalogue())
	want := strings.NewReplacer(`{{ lookup "data.n" "0" }}`, `${ data.n ?? "0" }`, `{{ lookup "data.s" "" }}`, "${ data.s }").Replace(was)
	want = strings.Replace(want, "done, properties", "done,\n     properties", 1)
	if diff := cmp.Diff(want, string(got)); diff != "" || len(problems) > 0 {
		t.Errorf("%v (-want +got):\n%s", problems, diff)
	}
}

// TestWhatCannotBeRewrittenIsNamed asks for the place and the next step.
func TestWhatCannotBeRewrittenIsNamed(t *testing.T) {
	for properties, want := range map[string]string{
		`command: './x {{ lookup "data.s" "" | Title }}'`:                                 "web.yaml:16:16: expressions have nothing like Title",
		`command: './x {{ if lookup "data.s" "" }}a{{ end }}'`:                            "web.yaml:16:16: expressions have nothing like {{if",
		`command: './x {{ lookup "data.none" "" }}'`:                                      "web.yaml:16:16: SC257",
		`command: './x \${HOME}'`:                                                         "web.yaml:16:16: command: a backslash stands in front of ${",
		`command: './x {{ lookup "data.l.#" "" }}'`:                                       "does not lead through names and places in lists only",
		"command: ./x\n      input: >-\n        data.s // none\n        + 'a'":            "an expression with comments in it is not rewritten",
		"command: ./x\n      input: !!str data.s":                                         "a value that is written like this is not rewritten",
		"command: ./x\n      environment: [>2-\n         A={{ lookup \"x\" }}\n        ]": "SC",
	} {
		src := head + "transitions:\n  - {name: done, from: [idle], destination: idle}\nwatchers:\n" +
			"  - name: check\n    type: exec\n" + "    success_transition: done\n    fail_transition: done\n    interval: 1m\n    properties:\n      " + properties + "\n"
		out, problems := reformat.Manifest("web.yaml", []byte(src), catalogue())
		if out != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), strings.Replace(want, "16:16", "22:16", 1)) || problems[0].Hint == "" {
			t.Errorf("%s: %v, want %s", properties, problems, want)
		}
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	for _, src := range []string{
		"name: web\nversion: 1.0.0   \n", "a: &x 1\nb: *x\n", "- 1\n", "", "format: 3\nname: x   \n", "{",
	} {
		if out, problems := reformat.Manifest("x.yaml", []byte(src), catalogue()); string(out) != src || len(problems) > 0 {
			t.Errorf("%q: %q, %v", src, out, problems)
		}
	}
	if out, problems := reformat.Manifest("x.yaml", []byte("format: 1\nname: [\n"), catalogue()); out != nil || len(problems) == 0 {
		t.Errorf("what cannot be read: %q, %v", out, problems)
	}
}

// TestTemplatesGiveTheSameAsTheirExpressions expands both over the same look.
func TestTemplatesGiveTheSameAsTheirExpressions(t *testing.T) {
	facts, err := watchers.NewFacts([]byte(`{"os":{"name":"Debian","major":12},"load":1.5,"big":12345678901234567890}`))
	if err != nil {
		t.Fatal(err)
	}
	look := &watchers.Look{
		Facts: facts, Identity: "a.b", Machine: "web", Instance: "i", State: "up", Input: map[string]any{"x": map[string]any{"y": true}},
		Data: map[string]any{"s": "text", "n": 3, "none": nil, "l": []any{"a", 2}, "m": map[string]any{"k": 1.5}},
	}
	for _, text := range []string{
		"plain ${x} $${y} $", `{{ lookup "data.s" "" }}`, `a{{ lookup "data.n" "x" }}b{{- " c" -}} d`, `{{ lookup "data.none" "x" }}`, `{{ lookup "data.m.k" "x" }}`,
		`{{ lookup "data.m.none" "x" }}`, `{{ lookup "data.l" "" }}{{ lookup "data.m" "" }}`, `{{ lookup "data.l.1" "x" }}{{ lookup "data.l.7" "x" }}`,
		`{{ lookup "input.x.y" "" }}{{ lookup "input.q" "none" }}`, `{{ lookup "facts.os.name" "" }}{{ lookup "facts.os.major" "" }}{{ lookup "facts.load" "" }}`,
		`{{ lookup "facts.none.at" "all" }}`, `{{ lookup "token" "" }}{{ lookup "identity" "" }}{{ lookup "machine" "" }}{{ lookup "instance" "" }}{{ lookup "state" "" }}`,
		`{{ lookup "data.s" "" | ToUpper }}{{ ToLower (lookup "facts.os.name" "X") }}`, `{{ lookup "data.s" "" | Base64Encode }}{{ Base64Decode "YQ==" }}`,
		`{{ StringJoin (lookup "data.l" "") "-" }}{{ lookup "data.l" "" | StringJoin "+" }}`, `{{"{{"}} {{ 5 }} {{ true }}`, `{{/* nothing */}}x`,
		`${{ lookup "data.s" "" }}`,
	} {
		var of struct {
			Text watchers.Text `yaml:"text"`
		}
		if list := strict.Decode(&strict.Node{Kind: strict.Mapping, Fields: []strict.Field{{Key: "text", Value: &strict.Node{Kind: strict.Scalar, Value: text, Quoted: true}}}},
			&of, strict.Options{}); list.HasErrors() {
			t.Fatal(list)
		}
		want, err := look.Expand(of.Text)
		if err != nil {
			t.Fatal(text, err)
		}
		translated, err := reformat.Translate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		marked, err := watchers.CompileText(translated)
		if err != nil {
			t.Errorf("%s: %s: %v", text, translated, err)
			continue
		}
		if got, err := look.Expand(marked); got != want || err != nil {
			t.Errorf("%s gives %q, and %s %q (%v)", text, want, translated, got, err)
		}
	}
}

// TestShippedManifestsOfBeforeAreRewritten rewrites manifests of earlier releases, which are not the ones that are shipped now.
func TestShippedManifestsOfBeforeAreRewritten(t *testing.T) {
	files, err := filepath.Glob("../../testdata/upgrade/*/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, list := machine.Load(file, src, catalogue()); list.HasErrors() {
			t.Errorf("%s is refused today: %v", file, list)
			continue
		}
		out, problems := reformat.Manifest(file, src, catalogue())
		for _, p := range problems {
			t.Errorf("%v", p)
		}
		if string(out) == string(src) {
			t.Errorf("%s stays as it is", file)
		}
		if again, _ := reformat.Manifest(file, out, catalogue()); len(problems) == 0 && string(again) != string(out) {
			t.Errorf("%s changes again:\n%s", file, cmp.Diff(string(out), string(again)))
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(head + "transitions:\n  - {name: done, from: [idle], destination: idle, set: {s: \"'x'\", n: data.n + 1}}\nwatchers:\n  - {name: c, type: timer, fail_transition: done, properties: {timer: 1h}}\n")
	f.Add(head + "transitions:\n  - name: done\n    from: [idle]\n    set:\n      a: >-\n        {x: 1,\n          y: data.a}\n      s: |\n       'a\n       b'\nwatchers: []\n")
	types := catalogue()
	f.Fuzz(func(t *testing.T, src string) {
		out, problems := reformat.Manifest("m.yaml", []byte(src), types)
		if len(problems) > 0 || string(out) == src {
			return
		}
		if _, list := machine.Load("m.yaml", out, types); list.HasErrors() {
			t.Fatalf("%q became %q: %v", src, out, list)
		}
		if again, problems := reformat.Manifest("m.yaml", out, types); string(again) != string(out) || len(problems) > 0 {
			t.Fatalf("%q became %q and then %q: %v", src, out, again, problems)
		}
	})
}
