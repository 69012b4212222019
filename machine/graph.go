package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// edge is one transition from one state.
type edge struct {
	from, to int
	label    string
	quiet    bool // no news
}

// edges lists the transitions in the manifest's order. A transition from every state is one edge a state.
func (d *Definition) edges() []edge {
	var out []edge
	for i := range d.rules {
		r, t := &d.rules[i], &d.Manifest.Transitions[i]
		label := t.Name
		if t.When != "" {
			label += " [" + t.When + "]"
		}
		for _, from := range r.from {
			e := edge{from: from, to: r.leads(from), label: label + d.deadlineLabel(from, t.Name), quiet: t.Quiet}
			if e.quiet {
				e.label += " (no news)"
			}
			out = append(out, e)
		}
	}
	return out
}

// deadlineLabel says after how long a state fires an event by itself.
func (d *Definition) deadlineLabel(state int, event string) string {
	for _, after := range d.specs[state].After {
		if after.Event == event {
			return " (after " + after.After.String() + ")"
		}
	}
	for _, g := range d.groupsIn(state) {
		for _, after := range g.After {
			if after.Event == event {
				return " (after " + after.After.String() + " in " + g.Name + ")"
			}
		}
	}
	return ""
}

// watchersIn names the watchers of a state with their types.
func (d *Definition) watchersIn(state string) []string {
	var out []string
	for i, w := range d.Manifest.Watchers {
		if d.Matches(i, state) {
			out = append(out, fmt.Sprintf("%s (%s)", w.Name, w.Type))
		}
	}
	return out
}

// DOT renders the machine for Graphviz: the initial state has an arrow, home states are bold, final ones
// doubled, transitions that are not announced dashed, and a state's tooltip names its watchers. The same manifest always gives the same text.
func DOT(d *Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", dotText(d.Manifest.Name))
	b.WriteString("  \"\" [shape=point];\n")
	for _, s := range d.specs {
		fmt.Fprintf(&b, "  %s [%s];\n", dotText(s.Name), strings.Join(d.dotAttributes(s), ", "))
	}
	fmt.Fprintf(&b, "  \"\" -> %s;\n", dotText(d.states[0]))
	for _, e := range d.edges() {
		style := ""
		if e.quiet {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%s%s];\n", dotText(d.states[e.from]), dotText(d.states[e.to]), dotText(e.label), style)
	}
	b.WriteString("}\n")
	return b.String()
}

func (d *Definition) dotAttributes(s StateSpec) []string {
	out := []string{"tooltip=" + dotText(strings.Join(append([]string{s.Description}, d.watchersIn(s.Name)...), "\n"))}
	if s.Final != "" {
		out = append(out, "peripheries=2")
	}
	if s.Final == FinalFailure {
		out = append(out, "color=red")
	}
	if s.Home {
		out = append(out, "penwidth=2")
	}
	return out
}

// dotText quotes for DOT, where a backslash begins an escape of its own.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "").Replace(strings.TrimSpace(s)) + `"`
}

// Mermaid renders the machine as a stateDiagram-v2: final states lead to the end, and a note names the
// watchers that are active in a state. The same manifest always gives the same text.
func Mermaid(d *Definition) string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for i, s := range d.specs {
		fmt.Fprintf(&b, "  state \"%s\" as %s\n", mermaidText(s.Name), mermaidID(i))
		if s.Home {
			fmt.Fprintf(&b, "  class %s home\n", mermaidID(i))
		}
	}
	fmt.Fprintf(&b, "  [*] --> %s\n", mermaidID(0))
	for _, e := range d.edges() {
		fmt.Fprintf(&b, "  %s --> %s: %s\n", mermaidID(e.from), mermaidID(e.to), mermaidText(e.label))
	}
	for i, s := range d.specs {
		if s.Final != "" {
			fmt.Fprintf(&b, "  %s --> [*]: %s\n", mermaidID(i), mermaidText(string(s.Final)))
		}
		if active := d.watchersIn(s.Name); len(active) > 0 {
			fmt.Fprintf(&b, "  note right of %s: %s\n", mermaidID(i), mermaidText(strings.Join(active, ", ")))
		}
	}
	b.WriteString("  classDef home font-weight:bold\n")
	return b.String()
}

// mermaidID names a state by its place, because Mermaid has reserved words ("state", "end", "note").
func mermaidID(i int) string { return "s" + strconv.Itoa(i) }

// mermaidText writes what has a meaning in Mermaid as its entity codes.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "#", "#35;", ";", "#59;", ":", "#58;", "<", "#lt;", ">", "#gt;",
		"{", "#123;", "}", "#125;", "%", "#37;", "\n", " ", "\r", "").Replace(s)
}
