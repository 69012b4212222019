package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sketched has groups in groups, what stays, what is entered again, and arrows of several events.
const sketched = `format: 1
name: van
version: 1.0.0
initial_state: ready
data:
  n: {type: integer, default: 0}
states:
  ready: {home: true}
  out: {home: true}
  waiting: {home: true}
  back: {after: {1m: unloaded}}
  scrapped: {final: success}
groups:
  driving: [out, waiting]
  away: [driving, back]
transitions:
  - {name: order, from: [ready], destination: out, when: data.n > 0}
  - {name: urgent, from: [ready], destination: out, announce: false}
  - {name: order, from: [ready], destination: out}
  - {name: jam, from: [out], destination: waiting, announce: false}
  - {name: go, from: [waiting], destination: out}
  - {name: called, from: [driving]}
  - {name: told, from: [back], destination: back, when: data.n > 1}
  - {name: told, from: [back], destination: back, reenter: true}
  - {name: home, from: [driving], destination: back}
  - {name: lost, from: [away], destination: ready, when: data.n > 3}
  - {name: lost, from: [away, ready], destination: ready}
  - {name: unloaded, from: [back], destination: ready}
  - {name: scrap, from: ["*"], destination: scrapped}
`

func sketchedDefinition(t testing.TB) *Definition {
	t.Helper()
	d, list := Load("van.yaml", []byte(sketched), nil)
	if d == nil {
		t.Fatal(list)
	}
	return d
}

func TestSketchInDOT(t *testing.T) {
	want := `digraph "van" {
  rankdir=LR;
  node [shape=box, style=rounded];
  label="driving: out, waiting\naway: driving, back";
  labeljust=l;
  "" [shape=point];
  "ready" [label="ready\nfrom away: lost?\nfrom every state: lost", tooltip="", penwidth=2];
  "out" [label="out\ncalled, stays", tooltip="", penwidth=2];
  "waiting" [label="waiting\ncalled, stays", tooltip="", penwidth=2];
  "back" [label="back\ntold?, stays\ntold, again", tooltip=""];
  "scrapped" [label="scrapped\nfrom every state: scrap", tooltip="", peripheries=2];
  "" -> "ready";
  "ready" -> "out" [label="order\nurgent"];
  "out" -> "waiting" [label="jam", style=dashed];
  "waiting" -> "out" [label="go"];
  "out" -> "back" [label="home"];
  "waiting" -> "back" [label="home"];
  "back" -> "ready" [label="unloaded (after 1m0s)"];
}
`
	if diff := cmp.Diff(want, DOT(sketchedDefinition(t), Graph{Sketch: true})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSketchInMermaid(t *testing.T) {
	want := `stateDiagram-v2
  state "ready" as s0
  s0: from away#58; lost?
  s0: from every state#58; lost
  class s0 home
  state "out" as s1
  s1: called, stays
  class s1 home
  state "waiting" as s2
  s2: called, stays
  class s2 home
  state "back" as s3
  s3: told?, stays
  s3: told, again
  state "scrapped" as s4
  s4: from every state#58; scrap
  state "groups" as groups
  groups: driving#58; out, waiting
  groups: away#58; driving, back
  [*] --> s0
  s0 --> s1: order, urgent
  s1 --> s2: jam
  s2 --> s1: go
  s1 --> s3: home
  s2 --> s3: home
  s3 --> s0: unloaded (after 1m0s)
  s4 --> [*]: success
  classDef home font-weight:bold
`
	if diff := cmp.Diff(want, Mermaid(sketchedDefinition(t), Graph{Sketch: true})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFocusHasWhatLeadsThereAndFromIt draws two states, in full and as sketches: what leaves the one is an arrow, from however many
// states it may come.
func TestFocusHasWhatLeadsThereAndFromIt(t *testing.T) {
	d := sketchedDefinition(t)
	for _, tt := range []struct {
		graph        Graph
		states, want []string
	}{
		{Graph{Focus: "back"}, []string{"ready", "out", "waiting", "back", "scrapped"}, []string{
			`"back" -> "back" [label="told [data.n > 1]"];`, `"back" -> "back" [label="told"];`, `"out" -> "back" [label="home"];`,
			`"waiting" -> "back" [label="home"];`, `"back" -> "ready" [label="lost [data.n > 3]"];`, `"back" -> "ready" [label="lost"];`,
			`"back" -> "ready" [label="unloaded (after 1m0s)"];`, `"back" -> "scrapped" [label="scrap"];`,
		}},
		{Graph{Focus: "back", Sketch: true}, []string{"ready", "out", "waiting", "back", "scrapped"}, []string{
			`"out" -> "back" [label="home"];`, `"waiting" -> "back" [label="home"];`, `"back" -> "ready" [label="lost\nunloaded (after 1m0s)"];`,
			`"back" -> "scrapped" [label="scrap"];`,
		}},
		{Graph{Focus: "scrapped"}, []string{"ready", "out", "waiting", "back", "scrapped"}, []string{
			`"ready" -> "scrapped" [label="scrap"];`, `"out" -> "scrapped" [label="scrap"];`, `"waiting" -> "scrapped" [label="scrap"];`,
			`"back" -> "scrapped" [label="scrap"];`,
		}},
		{Graph{Focus: "scrapped", Sketch: true}, []string{"scrapped"}, nil},
		{Graph{Focus: "nowhere"}, nil, nil},
	} {
		var states, arrows []string
		for line := range strings.Lines(DOT(d, tt.graph)) {
			line = strings.TrimSpace(line)
			switch name, _, isState := strings.Cut(line, `" [`); {
			case strings.Contains(line, "label=") && strings.Contains(line, " -> "):
				arrows = append(arrows, line)
			case isState && name != `"`:
				states = append(states, strings.Trim(name, `"`))
			}
		}
		if !slices.Equal(states, tt.states) || !slices.Equal(arrows, tt.want) {
			t.Errorf("%+v: %s\n%s", tt.graph, states, strings.Join(arrows, "\n"))
		}
	}
}

// TestFocusInMermaid has the notes of the focus alone.
func TestFocusInMermaid(t *testing.T) {
	want := `stateDiagram-v2
  state "idle" as s0
  class s0 home
  state "broken" as s2
  class s2 focus
  s0 --> s2: gather
  s2 --> [*]: failure
  note right of s2: check (nagios)
  classDef home font-weight:bold
  classDef focus stroke-width:3px
`
	got := Mermaid(graphDefinition(t), Graph{Focus: "broken"})
	if diff := cmp.Diff(want, strings.Replace(got, "  [*] --> s0\n", "", 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
