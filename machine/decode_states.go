package machine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// stateYAML is one state of the states section as written.
type stateYAML struct {
	Description string            `yaml:"description"`
	Final       string            `yaml:"final" enum:"success|failure"`
	Home        bool              `yaml:"home"`
	After       map[string]string `yaml:"after"`
}

// transitionYAML is one transition as written.
type transitionYAML struct {
	Name        string                  `yaml:"name,required"`
	From        sources                 `yaml:"from,required"`
	Destination string                  `yaml:"destination"`
	Description string                  `yaml:"description"`
	When        string                  `yaml:"when"`
	Set         map[string]*strict.Node `yaml:"set"`
	Clear       *strict.Node            `yaml:"clear"`
	Subscribe   subscriptionsYAML       `yaml:"subscribe"`
	Reenter     bool                    `yaml:"reenter"`
	Announce    bool                    `yaml:"announce" default:"true"`
}

type subscriptionYAML struct {
	Machine string `yaml:"machine_name,required"`
	Event   string `yaml:"event,required"`
}

// anyState in a transition's sources is every state that is not final.
const anyState = "*"

// maxDeadlines is what Snapshot.Fired has bits for.
const maxDeadlines = 64

func (d *decoder) states(y map[string]stateYAML) {
	section := d.root.Get("states")
	if section == nil {
		return
	}
	for _, f := range section.Fields {
		entry := y[f.Key]
		d.checkName("a state", f.Key, f.Pos)
		spec := StateSpec{
			Name: f.Key, Description: entry.Description, Final: FinalKind(entry.Final), Home: entry.Home, Pos: f.Pos,
		}
		spec.After = d.deadlines("state "+spec.Name, f.Value.Get("after"), entry.After)
		d.m.States = append(d.m.States, spec)
	}
}

// deadlines reads the deadlines of a state or a group.
func (d *decoder) deadlines(of string, section *strict.Node, y map[string]string) []Deadline {
	if section == nil {
		return nil
	}
	var all []Deadline
	for _, f := range section.Fields {
		after, err := strict.ParseDuration(f.Key)
		if err != nil || after <= 0 {
			d.fault("SC109", f.Pos, "write a time and an event, such as {1m: timed_out}", "%q is not a time after which an event can fire", f.Key)
			continue
		}
		all = append(all, Deadline{After: after.Std(), Event: y[f.Key], Pos: f.Value.Pos})
	}
	slices.SortStableFunc(all, func(a, b Deadline) int { return cmp.Compare(a.After, b.After) })
	for i := 1; i < len(all); i++ {
		if all[i].After == all[i-1].After {
			d.fault("SC109", all[i].Pos, "keep one of them", "%s has two deadlines after %s", of, strict.Duration(all[i].After))
		}
	}
	if len(all) > maxDeadlines {
		d.fault("SC109", section.Pos, "spread them over several states", "%s has more than %d deadlines", of, maxDeadlines)
		all = all[:maxDeadlines]
	}
	return all
}

func (d *decoder) transitions(y []transitionYAML) {
	section := d.root.Get("transitions")
	if section != nil && section.Kind == strict.Sequence && len(section.Items) == 0 {
		d.fault("SC113", section.Pos, "add a transition", "a machine needs a transition")
	}
	for i := range y {
		if n := section.Items[i]; n.Kind == strict.Mapping {
			d.m.Transitions = append(d.m.Transitions, d.transition(n, &y[i]))
		}
	}
}

func (d *decoder) transition(n *strict.Node, y *transitionYAML) Transition {
	t := Transition{
		Name: y.Name, From: y.From, Destination: y.Destination, Description: y.Description,
		When: y.When, Reenter: y.Reenter, Quiet: !y.Announce, Pos: n.Pos, places: placesOf(n),
	}
	d.checkName("an event", t.Name, t.place("name"))
	d.destination(n, &t)
	d.sources(n.Get("from"), &t)
	for i, s := range y.Subscribe {
		t.Subscribe = append(t.Subscribe, Subscription{Machine: s.Machine, Event: s.Event, Pos: item(n.Get("subscribe"), i).Pos})
	}
	t.Set = d.assignments(n.Get("set"))
	d.clear(n, &t)
	return t
}

// assignments reads what a transition sets: marked values, or in older manifests texts that are expressions as they stand.
func (d *decoder) assignments(set *strict.Node) (all []Assignment) {
	if set == nil || set.Kind != strict.Mapping {
		return nil
	}
	if !d.m.Marked() {
		d.list = append(d.list, strict.Decode(set, &map[string]string{}, d.opts)...)
	}
	for _, f := range set.Fields {
		a := Assignment{Key: f.Key, Value: marks.Bare(f.Value.Value, f.Value.Pos), Pos: f.Value.Pos}
		if d.m.Marked() {
			var faults diag.List
			marks.CheckKey(f, &faults)
			value, found := marks.Read(f.Value)
			a.Value = value
			d.list = append(append(d.list, faults...), found...)
		}
		all = append(all, a)
	}
	return all
}

// destination reads where a transition leads. With a format one that leads nowhere stays; Choria's reading asks for a destination.
func (d *decoder) destination(n *strict.Node, t *Transition) {
	_, written := t.places["destination"]
	switch {
	case !written && d.m.Strict():
		t.Stays = true
		if t.Reenter {
			d.fault("SC121", t.place("reenter"), "name a destination, or remove reenter",
				"the transition %s has no destination, so that it enters no state again", t.Name)
		}
		return
	case !written:
		d.fault(strict.CodeMissingKey, n.Pos, `add "destination: ..."`, `the key "destination" is missing`)
		return
	case t.Destination == "":
		d.fault(strict.CodeNoValue, t.place("destination"), "write a state, or leave the key out where the machine is to stay", "destination: there is no value")
		return
	}
	if t.Destination == anyState {
		d.fault("SC110", t.place("destination"), "name the state that it leads to", "the transition %s can only lead to one state", t.Name)
		return
	}
	d.checkName("a state", t.Destination, t.place("destination"))
}

// clear reads the data keys that a transition sets back. Choria's reading does not know the key.
func (d *decoder) clear(of *strict.Node, t *Transition) {
	n := of.Get("clear")
	if n == nil || n.Kind == strict.Null || d.laterThanChoria(of, "clear") {
		return
	}
	keys, list := decodeList[string]("clear", n, d.opts)
	d.list = append(d.list, list...)
	for i, key := range keys {
		at := n.Items[i].Pos
		switch {
		case key == "":
		case slices.ContainsFunc(t.Set, func(a Assignment) bool { return a.Key == key }):
			d.fault("SC122", at, "remove it from set or from clear", "the transition %s sets %s and clears it", t.Name, key)
		case slices.ContainsFunc(t.Clear, func(c ClearedKey) bool { return c.Key == key }):
			d.fault("SC122", at, "remove one of them", "the transition %s clears %s twice", t.Name, key)
		default:
			t.Clear = append(t.Clear, ClearedKey{Key: key, Pos: at})
		}
	}
}

// laterThanChoria reports a key that only manifests with a format have where it is in another, which goes without it.
func (d *decoder) laterThanChoria(of *strict.Node, key string) bool {
	if i := slices.IndexFunc(of.Fields, func(f strict.Field) bool { return f.Key == key }); i >= 0 && !d.m.Strict() {
		d.list.Add(d.opts.Unknown, strict.CodeUnknownKey, of.Fields[i].Pos, "write \"format: 2\" to use it", "unknown key %q", key)
	}
	return !d.m.Strict()
}

func (d *decoder) sources(n *strict.Node, t *Transition) {
	if n != nil && n.Kind == strict.Sequence && len(n.Items) == 0 {
		d.tolerated("SC110", n.Pos, `name the states, or write ["*"] for every state`, "the transition %s leaves no state", t.Name)
	}
	for i, from := range t.From {
		switch from {
		case anyState:
		case "":
			d.fault("SC110", t.sourcePlace(i), "write a state, or remove the entry", "the transition %s names no state here", t.Name)
		default:
			d.checkName("a state", from, t.sourcePlace(i))
		}
	}
}

// place returns where a part of the transition stands, or the transition itself where it is not written.
func (t *Transition) place(path string) diag.Position {
	if p, ok := t.places[path]; ok {
		return p
	}
	return t.Pos
}

// sourcePlace returns where source i of the transition stands.
func (t *Transition) sourcePlace(i int) diag.Position { return t.place(fmt.Sprintf("from.%d", i)) }
