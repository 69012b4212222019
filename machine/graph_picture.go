package machine

import (
	"cmp"
	"slices"
	"strings"
)

// Graph says what of a machine is drawn. The zero Graph is everything.
type Graph struct {
	Sketch bool   // one arrow between two states, and a tag in place of what stays or leaves more states than tagged
	Focus  string // a state that is drawn alone with those that lead there and those that it leads to; "" for all states
}

// tagged is from how many states a transition is drawn in a sketch. One that leaves more is a tag of its destination.
const tagged = 2

// picture is what is drawn, for whatever program draws it.
type picture struct {
	states []int // in the machine's order
	edges  []edge
	tags   [][]remark // by state
	groups []string   // of the tags, each with its states
	focus  int        // -1 where there is none
}

// edge is one arrow: a transition from one state, or in a sketch all that lead from one state to another.
type edge struct {
	from, to int
	label    string
	quiet    bool     // no news
	events   []remark // of a sketch, in place of the label
}

// remark is an event in a sketch, with what transitions of that name have in common.
type remark struct {
	from, event, after string
	guarded            bool
}

func (r remark) String() string {
	text := r.event
	if r.guarded {
		text += "?"
	}
	if r.from != "" {
		text = "from " + r.from + ": " + text
	}
	return text + r.after
}

// addRemark adds an event unless it is there. One that is taken with and without a guard has none.
func addRemark(list []remark, r remark) []remark {
	for i := range list {
		if was := &list[i]; was.from == r.from && was.event == r.event && was.after == r.after {
			was.guarded = was.guarded && r.guarded
			return list
		}
	}
	return append(list, r)
}

func remarks(list []remark) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.String()
	}
	return out
}

// picture chooses what is drawn. A focus that is no state of the machine draws nothing.
func (d *Definition) picture(g Graph) picture {
	p := picture{focus: -1, tags: make([][]remark, len(d.states))}
	if g.Focus != "" {
		i, known := d.index[g.Focus]
		if !known {
			return p
		}
		p.focus = i
	}
	if g.Sketch {
		d.sketch(&p)
	} else {
		p.edges = slices.DeleteFunc(d.edges(), func(e edge) bool { return !p.near(e.from, e.to) })
	}
	p.states = d.drawn(&p)
	return p
}

// near reports whether an arrow begins or ends at the focus, where there is one.
func (p *picture) near(from, to int) bool { return p.focus < 0 || from == p.focus || to == p.focus }

// drawn lists the states that have an arrow or are in focus, and without a focus all.
func (d *Definition) drawn(p *picture) []int {
	var out []int
	for s := range d.states {
		if p.focus < 0 || s == p.focus || slices.ContainsFunc(p.edges, func(e edge) bool { return e.from == s || e.to == s }) {
			out = append(out, s)
		}
	}
	return out
}

// sketch draws one arrow between two states, and tags.
func (d *Definition) sketch(p *picture) {
	var named []string
	for i := range d.rules {
		r, t := &d.rules[i], &d.Manifest.Transitions[i]
		guarded := t.When != ""
		if from := p.many(r); from != nil {
			text, groups := d.grouped(from, nil)
			named = append(named, groups...)
			p.tags[r.dest] = addRemark(p.tags[r.dest], remark{from: text, event: t.Name, guarded: guarded})
			continue
		}
		for _, from := range r.from {
			to := r.leads(from)
			switch {
			case !p.near(from, to):
			case from == to:
				p.tags[from] = addRemark(p.tags[from], remark{event: t.Name, guarded: guarded, after: d.deadlineLabel(from, t.Name) + staying(t)})
			default:
				p.arrow(from, to, remark{event: t.Name, guarded: guarded, after: d.deadlineLabel(from, t.Name)}, t.Quiet)
			}
		}
	}
	p.groups = d.legend(named)
}

func staying(t *Transition) string {
	if t.Reenter {
		return ", again"
	}
	return ", stays"
}

// many returns the states that a transition leaves where they are too many for arrows. Of what leaves the focus an arrow is drawn.
func (p *picture) many(r *rule) []int {
	others := 0
	for _, from := range r.from {
		if r.leads(from) != from {
			others++
		}
	}
	if others <= tagged || p.focus >= 0 && r.dest != p.focus {
		return nil
	}
	return r.from
}

func (p *picture) arrow(from, to int, r remark, quiet bool) {
	for i := range p.edges {
		if e := &p.edges[i]; e.from == from && e.to == to {
			e.events, e.quiet = addRemark(e.events, r), e.quiet && quiet
			return
		}
	}
	p.edges = append(p.edges, edge{from: from, to: to, events: []remark{r}, quiet: quiet})
}

// grouped names states, by a group where all states of it are among them: the largest first, none of those that are left out. It returns
// the groups too.
func (d *Definition) grouped(states []int, without []string) (text string, groups []string) {
	left := map[int]bool{}
	for _, s := range states {
		left[s] = true
	}
	if len(without) == 0 && d.everyState(left) {
		return "every state", nil
	}
	var parts []string
	byStates := func(a, b Group) int { return cmp.Compare(len(b.States), len(a.States)) }
	for _, g := range slices.SortedStableFunc(slices.Values(d.Manifest.Groups), byStates) {
		if slices.Contains(without, g.Name) || len(g.States) < 2 || slices.ContainsFunc(g.States, func(s string) bool { return !left[d.index[s]] }) {
			continue
		}
		for _, s := range g.States {
			delete(left, d.index[s])
		}
		parts, groups = append(parts, g.Name), append(groups, g.Name)
	}
	for _, s := range states {
		if left[s] {
			parts = append(parts, d.states[s])
		}
	}
	return strings.Join(parts, ", "), groups
}

// everyState reports whether all states that can be left are among those.
func (d *Definition) everyState(those map[int]bool) bool {
	for s := range d.specs {
		if d.specs[s].Final == "" && !those[s] {
			return false
		}
	}
	return true
}

// legend says which states the groups have that were named, and those in turn, in the manifest's order.
func (d *Definition) legend(named []string) []string {
	lines := map[string]string{}
	for len(named) > 0 {
		name := named[0]
		named = named[1:]
		if lines[name] != "" {
			continue
		}
		i := slices.IndexFunc(d.Manifest.Groups, func(g Group) bool { return g.Name == name })
		var states []int
		for _, s := range d.Manifest.Groups[i].States {
			states = append(states, d.index[s])
		}
		text, groups := d.grouped(states, d.sameStates(i))
		lines[name] = name + ": " + text
		named = append(named, groups...)
	}
	var out []string
	for _, g := range d.Manifest.Groups {
		if line := lines[g.Name]; line != "" {
			out = append(out, line)
		}
	}
	return out
}

// sameStates names the groups of the same states as one, itself included: it is not explained by them.
func (d *Definition) sameStates(group int) []string {
	var out []string
	for _, g := range d.Manifest.Groups {
		if len(g.States) >= len(d.Manifest.Groups[group].States) {
			out = append(out, g.Name)
		}
	}
	return out
}
