package machine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
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
	Name        string            `yaml:"name,required"`
	From        sources           `yaml:"from,required"`
	Destination string            `yaml:"destination,required"`
	Description string            `yaml:"description"`
	When        string            `yaml:"when"`
	Set         map[string]string `yaml:"set"`
	Subscribe   subscriptionsYAML `yaml:"subscribe"`
	Reenter     bool              `yaml:"reenter"`
	Announce    bool              `yaml:"announce" default:"true"`
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
		d.deadlines(&spec, f.Value.Get("after"), entry.After)
		d.m.States = append(d.m.States, spec)
	}
}

func (d *decoder) deadlines(s *StateSpec, section *strict.Node, y map[string]string) {
	if section == nil {
		return
	}
	for _, f := range section.Fields {
		after, err := strict.ParseDuration(f.Key)
		if err != nil || after <= 0 {
			d.fault("SC109", f.Pos, "write a time and an event, such as {1m: timed_out}", "%q is not a time after which an event can fire", f.Key)
			continue
		}
		s.After = append(s.After, Deadline{After: after.Std(), Event: y[f.Key], Pos: f.Value.Pos})
	}
	slices.SortStableFunc(s.After, func(a, b Deadline) int { return cmp.Compare(a.After, b.After) })
	for i := 1; i < len(s.After); i++ {
		if s.After[i].After == s.After[i-1].After {
			d.fault("SC109", s.After[i].Pos, "keep one of them", "state %s has two deadlines after %s", s.Name, strict.Duration(s.After[i].After))
		}
	}
	if len(s.After) > maxDeadlines {
		d.fault("SC109", section.Pos, "spread them over several states", "state %s has more than %d deadlines", s.Name, maxDeadlines)
		s.After = s.After[:maxDeadlines]
	}
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
	d.destination(&t)
	d.sources(n.Get("from"), &t)
	for i, s := range y.Subscribe {
		t.Subscribe = append(t.Subscribe, Subscription{Machine: s.Machine, Event: s.Event, Pos: item(n.Get("subscribe"), i).Pos})
	}
	if set := n.Get("set"); set != nil {
		for _, f := range set.Fields {
			t.Set = append(t.Set, Assignment{Key: f.Key, Expr: y.Set[f.Key], Pos: f.Value.Pos})
		}
	}
	return t
}

func (d *decoder) destination(t *Transition) {
	if t.Destination == anyState {
		d.fault("SC110", t.place("destination"), "name the state that it leads to", "the transition %s can only lead to one state", t.Name)
		return
	}
	d.checkName("a state", t.Destination, t.place("destination"))
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
