package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The codes of groups.
const (
	codeGroup       diag.Code = "SC123" // a group that names nothing, is named like a state, or contains itself
	codeSourceTwice diag.Code = "SC406"
	codeStateTwice  diag.Code = "SC418"
)

// groupYAML is one group of the groups section as written: a list of states, or a mapping.
type groupYAML struct {
	States      members           `yaml:"states,required"`
	Description string            `yaml:"description"`
	After       map[string]string `yaml:"after"`
}

// UnmarshalNode implements strict.Unmarshaler.
func (g *groupYAML) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind != strict.Mapping {
		return g.States.UnmarshalNode(n, opts)
	}
	type mapping groupYAML // without this method
	return strict.Decode(n, (*mapping)(g), opts)
}

// members is a list of states and groups, or "*" on its own.
type members []string

// UnmarshalNode implements strict.Unmarshaler.
func (m *members) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind == strict.Scalar && n.Value == anyState {
		*m = members{anyState}
		return nil
	}
	names, list := decodeList[string]("states", n, opts)
	*m = names
	return list
}

// named is a name of a list of states, and where it stands.
type named struct {
	name string
	at   diag.Position
}

// group is a group on its way to its states.
type group struct {
	Group
	members []named // as written
	has     map[string]bool
	open    bool // while its members are looked up
}

// groupReader reads the groups of a manifest and puts their states in the place of their names, everywhere.
type groupReader struct {
	*decoder
	groups []*group // as written
	byName map[string]*group
	states []string // that the machine has, without those that are named by groups only
	known  map[string]bool
}

// readGroups comes after the sections that name states.
func (d *decoder) readGroups(n *strict.Node) {
	if n == nil || n.Kind == strict.Null || d.laterThanChoria(d.root, "groups") {
		return
	}
	y := map[string]groupYAML{}
	d.list = append(d.list, strict.Decode(n, &y, d.opts)...)
	r := &groupReader{decoder: d, byName: map[string]*group{}, known: map[string]bool{}}
	for _, f := range n.Fields {
		g := r.read(f, y[f.Key])
		r.groups, r.byName[g.Name] = append(r.groups, g), g
	}
	r.findStates()
	for _, g := range r.groups {
		if r.known[g.Name] {
			r.namedLikeAState(g)
		}
	}
	for _, g := range r.groups {
		r.resolve(g, nil)
		d.m.Groups = append(d.m.Groups, g.Group)
	}
	for i := range d.m.Transitions {
		t := &d.m.Transitions[i]
		t.From = r.inPlaceOfGroups("from", codeSourceTwice, t.From, t.places, "the transition "+t.Name+" names the source")
	}
	for i := range d.m.Watchers {
		w := &d.m.Watchers[i]
		w.StateMatch = r.inPlaceOfGroups("state_match", codeStateTwice, w.StateMatch, w.places, "watcher "+w.Name+": state_match names")
	}
}

func (r *groupReader) read(f strict.Field, y groupYAML) *group {
	g := &group{Group: Group{Name: f.Key, Description: y.Description, Pos: f.Pos}}
	r.checkName("a group of states", g.Name, g.Pos)
	g.After = r.deadlines("the group "+g.Name, f.Value.Get("after"), y.After)
	list := f.Value
	if list.Kind == strict.Mapping {
		list = list.Get("states")
	}
	for i, name := range y.States {
		at := list.Pos
		if list.Kind == strict.Sequence {
			at = list.Items[i].Pos
		}
		g.members = append(g.members, named{name, at})
	}
	if list != nil && list.Kind == strict.Sequence && len(list.Items) == 0 {
		r.fault(codeGroup, list.Pos, "name its states, or remove the group", "the group %s names no state", g.Name)
	}
	return g
}

// findStates collects the states that the machine has.
func (r *groupReader) findStates() {
	add := func(name string) {
		if name != "" && name != anyState && !r.known[name] {
			r.states, r.known[name] = append(r.states, name), true
		}
	}
	add(r.m.InitialState)
	for _, t := range r.m.Transitions {
		for _, from := range t.From {
			if r.byName[from] == nil {
				add(from)
			}
		}
		add(t.Destination)
	}
	for _, s := range r.m.States {
		add(s.Name)
	}
}

// namedLikeAState reports a group of which nobody could tell whether it or the state is meant.
func (r *groupReader) namedLikeAState(g *group) {
	const hint = "rename the group; a transition leads to one state, so that no group can be its destination"
	for i := range r.m.Transitions {
		if t := &r.m.Transitions[i]; t.Destination == g.Name {
			r.fault(codeGroup, g.Pos, hint, "the group %s is named like a state: the transition %s on line %d leads there", g.Name, t.Name, t.place("destination").Line)
			return
		}
	}
	r.fault(codeGroup, g.Pos, hint, "the group %s is named like a state", g.Name)
}

// resolve finds the states of a group, by way of the groups in it. path has the groups that are being resolved, the outermost first.
func (r *groupReader) resolve(g *group, path []string) {
	if g.has != nil {
		return
	}
	path = append(path, g.Name)
	g.open = true
	var kept []named
	for _, m := range g.members {
		inner := r.byName[m.name]
		switch {
		case inner != nil && inner.open:
			circle := append(slices.Clone(path[slices.Index(path, m.name):]), m.name)
			r.fault(codeGroup, m.at, "remove one of them", "the groups contain each other: %s", strings.Join(circle, ", "))
			continue
		case inner != nil:
			r.resolve(inner, path)
		case m.name == "":
			r.fault(codeGroup, m.at, "write a state, or remove the entry", "the group %s names no state here", g.Name)
			continue
		case m.name != anyState && !r.known[m.name]:
			r.unknownMember(g, m)
			continue
		}
		kept = append(kept, m)
	}
	g.has = map[string]bool{}
	for _, s := range r.expand(kept, codeStateTwice, "the group "+g.Name+" names", r.notFinal()) {
		g.States, g.has[s.name] = append(g.States, s.name), true
	}
	g.open = false
}

func (r *groupReader) unknownMember(g *group, m named) {
	words := slices.Clone(r.states)
	for _, other := range r.groups {
		words = append(words, other.Name)
	}
	r.fault("SC403", m.at, hintFor(m.name, words, "the states are "+strings.Join(r.states, ", ")), "the group %s names %q, which is not a state", g.Name, m.name)
}

// notFinal returns the states that "*" stands for.
func (r *groupReader) notFinal() []string {
	final := map[string]bool{}
	for _, s := range r.m.States {
		final[s.Name] = s.Final != ""
	}
	return slices.DeleteFunc(slices.Clone(r.states), func(s string) bool { return final[s] })
}

// statesOf returns the states that a name stands for; every is what "*" does.
func (r *groupReader) statesOf(name string, every []string) []string {
	if g := r.byName[name]; g != nil {
		return g.States
	}
	if name == anyState {
		return every
	}
	return []string{name}
}

// expand puts states in the place of groups, each state once and where it was named first. A name that adds nothing to another of the list is
// reported, as what is written twice is changed once.
func (r *groupReader) expand(list []named, code diag.Code, subject string, every []string) []named {
	var out []named
	seen, places := map[string]bool{}, map[string]int{}
	for i, entry := range list {
		if _, twice := places[entry.name]; !twice {
			places[entry.name] = i
		}
	}
	for i, entry := range list {
		states := r.statesOf(entry.name, every)
		if places[entry.name] < i {
			r.tolerated(code, entry.at, "remove one of them", "%s %q twice", subject, entry.name)
		} else if other := r.covering(places, entry.name, states); other != "" {
			r.tolerated(code, entry.at, "remove it", "%s %q, which is part of the group %s", subject, entry.name, other)
		}
		for _, state := range states {
			if !seen[state] {
				seen[state] = true
				out = append(out, named{state, entry.at})
			}
		}
	}
	return out
}

// covering returns the group of a list, whose names have places, that has all states of an entry, "" for none. Of two that have the same, the first
// covers the second.
func (r *groupReader) covering(places map[string]int, name string, states []string) string {
	for _, g := range r.groups {
		at, listed := places[g.Name]
		if !listed || g.Name == name || len(states) == 0 {
			continue
		}
		beyond := slices.ContainsFunc(states, func(s string) bool { return !g.has[s] })
		if !beyond && (len(g.States) > len(states) || r.byName[name] == nil || at < places[name]) {
			return g.Name
		}
	}
	return ""
}

// inPlaceOfGroups is expand for a list of a transition or a watcher, whose places go by the list's key.
func (r *groupReader) inPlaceOfGroups(key string, code diag.Code, list []string, places map[string]diag.Position, subject string) []string {
	if !slices.ContainsFunc(list, func(name string) bool { return r.byName[name] != nil }) {
		return list
	}
	var entries []named
	for i, name := range list {
		entries = append(entries, named{name, places[fmt.Sprintf("%s.%d", key, i)]})
	}
	var states []string
	for i, s := range r.expand(entries, code, subject, []string{anyState}) {
		states = append(states, s.name)
		places[fmt.Sprintf("%s.%d", key, i)] = s.at
	}
	return states
}
