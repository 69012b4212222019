package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

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
// doubled, transitions that are not announced dashed, a focus filled, and a state's tooltip names its watchers. The same manifest
// always gives the same text.
func DOT(d *Definition, g Graph) string {
	var b strings.Builder
	p := d.picture(g)
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", dotText(d.Manifest.Name))
	if len(p.groups) > 0 {
		fmt.Fprintf(&b, "  label=%s;\n  labeljust=l;\n", dotText(strings.Join(p.groups, "\n")))
	}
	if slices.Contains(p.states, 0) {
		b.WriteString("  \"\" [shape=point];\n")
	}
	for _, s := range p.states {
		fmt.Fprintf(&b, "  %s [%s];\n", dotText(d.states[s]), strings.Join(d.dotAttributes(&p, s), ", "))
	}
	if slices.Contains(p.states, 0) {
		fmt.Fprintf(&b, "  \"\" -> %s;\n", dotText(d.states[0]))
	}
	for _, e := range p.edges {
		style := ""
		if e.quiet {
			style = ", style=dashed"
		}
		label := e.label
		if e.events != nil {
			label = strings.Join(remarks(e.events), "\n")
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%s%s];\n", dotText(d.states[e.from]), dotText(d.states[e.to]), dotText(label), style)
	}
	b.WriteString("}\n")
	return b.String()
}

func (d *Definition) dotAttributes(p *picture, state int) []string {
	s := &d.specs[state]
	var out []string
	if tags := p.tags[state]; len(tags) > 0 {
		out = append(out, "label="+dotText(strings.Join(append([]string{s.Name}, remarks(tags)...), "\n")))
	}
	out = append(out, "tooltip="+dotText(strings.Join(append([]string{s.Description}, d.watchersIn(s.Name)...), "\n")))
	if s.Final != "" {
		out = append(out, "peripheries=2")
	}
	if s.Final == FinalFailure {
		out = append(out, "color=red")
	}
	if s.Home {
		out = append(out, "penwidth=2")
	}
	if state == p.focus {
		out = append(out, `style="rounded,filled"`)
	}
	return out
}

// dotText quotes for DOT, where a backslash begins an escape of its own.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "").Replace(strings.TrimSpace(s)) + `"`
}

// Mermaid renders the machine as a stateDiagram-v2: final states lead to the end, and a note names the
// watchers that are active in a state, of a focus only there; a sketch has none. The same manifest always gives the same text.
func Mermaid(d *Definition, g Graph) string {
	var b strings.Builder
	p := d.picture(g)
	b.WriteString("stateDiagram-v2\n")
	for _, i := range p.states {
		d.mermaidState(&b, &p, i)
	}
	if len(p.groups) > 0 {
		fmt.Fprintf(&b, "  state \"groups\" as groups\n")
	}
	for _, line := range p.groups {
		fmt.Fprintf(&b, "  groups: %s\n", mermaidText(line))
	}
	if slices.Contains(p.states, 0) {
		fmt.Fprintf(&b, "  [*] --> %s\n", mermaidID(0))
	}
	for _, e := range p.edges {
		label := mermaidText(e.label)
		if e.events != nil {
			label = mermaidText(strings.Join(remarks(e.events), ", "))
		}
		fmt.Fprintf(&b, "  %s --> %s: %s\n", mermaidID(e.from), mermaidID(e.to), label)
	}
	for _, i := range p.states {
		s := &d.specs[i]
		if s.Final != "" {
			fmt.Fprintf(&b, "  %s --> [*]: %s\n", mermaidID(i), mermaidText(string(s.Final)))
		}
		active := d.watchersIn(s.Name)
		if len(active) > 0 && !g.Sketch && (p.focus < 0 || i == p.focus) {
			fmt.Fprintf(&b, "  note right of %s: %s\n", mermaidID(i), mermaidText(strings.Join(active, ", ")))
		}
	}
	b.WriteString("  classDef home font-weight:bold\n")
	if p.focus >= 0 {
		b.WriteString("  classDef focus stroke-width:3px\n")
	}
	return b.String()
}

func (d *Definition) mermaidState(b *strings.Builder, p *picture, i int) {
	fmt.Fprintf(b, "  state \"%s\" as %s\n", mermaidText(d.states[i]), mermaidID(i))
	for _, tag := range remarks(p.tags[i]) {
		fmt.Fprintf(b, "  %s: %s\n", mermaidID(i), mermaidText(tag))
	}
	if d.specs[i].Home {
		fmt.Fprintf(b, "  class %s home\n", mermaidID(i))
	}
	if i == p.focus {
		fmt.Fprintf(b, "  class %s focus\n", mermaidID(i))
	}
}

// mermaidID names a state by its place, because Mermaid has reserved words ("state", "end", "note").
func mermaidID(i int) string { return "s" + strconv.Itoa(i) }

// mermaidText writes what has a meaning in Mermaid as its entity codes.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "#", "#35;", ";", "#59;", ":", "#58;", "<", "#lt;", ">", "#gt;",
		"{", "#123;", "}", "#125;", "%", "#37;", "\n", " ", "\r", "").Replace(s)
}
