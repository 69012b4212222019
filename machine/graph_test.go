package machine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func graphDefinition(t testing.TB) *Definition {
	m := inventory()
	m.Transitions = m.Transitions[:4]
	m.Name, m.InitialState = `in"ventory`, "idle"
	m.Transitions[2].Quiet = true
	return mustCompile(t, m)
}

func TestDOT(t *testing.T) {
	want := `digraph "in\"ventory" {
  rankdir=LR;
  node [shape=box, style=rounded];
  "" [shape=point];
  "idle" [tooltip="facts (counter)\ncheck (nagios)", penwidth=2];
  "publishing" [tooltip="check (nagios)"];
  "broken" [tooltip="check (nagios)", peripheries=2, color=red];
  "" -> "idle";
  "idle" -> "publishing" [label="gather [data.failures < 3]"];
  "idle" -> "broken" [label="gather"];
  "publishing" -> "idle" [label="published (no news)", style=dashed];
  "publishing" -> "idle" [label="publish_timeout (after 1m0s)"];
}
`
	if diff := cmp.Diff(want, DOT(graphDefinition(t), Graph{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMermaid(t *testing.T) {
	want := `stateDiagram-v2
  state "idle" as s0
  class s0 home
  state "publishing" as s1
  state "broken" as s2
  [*] --> s0
  s0 --> s1: gather [data.failures #lt; 3]
  s0 --> s2: gather
  s1 --> s0: published (no news)
  s1 --> s0: publish_timeout (after 1m0s)
  note right of s0: facts (counter), check (nagios)
  note right of s1: check (nagios)
  s2 --> [*]: failure
  note right of s2: check (nagios)
  classDef home font-weight:bold
`
	if diff := cmp.Diff(want, Mermaid(graphDefinition(t), Graph{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGraphsEscape(t *testing.T) {
	m := pingPong()
	evil := "a\"]; x -> y\n\\ {b} : % ; #"
	m.Transitions[0].Name = evil
	d := mustCompile(t, m)
	if got := strings.Count(DOT(d, Graph{}), "\n"); got != 10 {
		t.Errorf("DOT has %d lines, want 10:\n%s", got, DOT(d, Graph{}))
	}
	if !strings.Contains(DOT(d, Graph{}), `label="a\"]; x -> y\n\\ {b} : % ; #"`) {
		t.Errorf("DOT is not escaped:\n%s", DOT(d, Graph{}))
	}
	if !strings.Contains(Mermaid(d, Graph{}), "a#quot;]#59; x -#gt; y \\ #123;b#125; #58; #37; #59; #35;") {
		t.Errorf("Mermaid is not escaped:\n%s", Mermaid(d, Graph{}))
	}
}
