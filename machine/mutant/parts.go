package mutant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// top makes the defects of the manifest itself.
func (g *generator) top() {
	g.misspellKeys(g.root, "manifest", "the manifest")
	g.misspell(StateMisspelt, g.root.Get("initial_state"), "initial_state")
	for _, f := range fieldsOf(g.root.Get("data")) {
		g.misspellKeys(f.Value, "data", "data "+f.Key)
	}
}

func (g *generator) statesSection() {
	section := g.root.Get("states")
	if section == nil {
		return
	}
	for _, f := range section.Fields {
		of := "state " + f.Key
		g.add(StateMisspelt, f.Pos, section, renamed(section, f.Key, misspelt(f.Key)), "states: %s in place of %s", misspelt(f.Key), f.Key)
		g.misspellKeys(f.Value, "state", of)
		g.drop(HomeGone, f.Value, "home", of)
		g.drop(FinalGone, f.Value, "final", of)
		g.deadlines(f.Value, of)
	}
}

// deadlines makes the defects of the deadlines of a state or a group.
func (g *generator) deadlines(n *strict.Node, of string) {
	after := n.Get("after")
	for _, f := range fieldsOf(after) {
		g.misspell(EventMisspelt, f.Value, of+": the deadline "+f.Key)
		if len(after.Fields) == 1 {
			g.add(DeadlineGone, f.Pos, n, without(n, "after"), "%s: no deadline %s: %s", of, f.Key, textOf(f.Value))
		} else {
			g.add(DeadlineGone, f.Pos, after, without(after, f.Key), "%s: no deadline %s: %s", of, f.Key, textOf(f.Value))
		}
	}
}

func (g *generator) groups() {
	for _, f := range fieldsOf(g.root.Get("groups")) {
		of, list := "group "+f.Key, f.Value
		if f.Value.Kind == strict.Mapping {
			g.misspellKeys(f.Value, "group", of)
			g.deadlines(f.Value, of)
			list = f.Value.Get("states")
		}
		g.list(list, of, len(f.Key))
	}
}

// list makes the defects of a list of states. The one that it gains is chosen by a number.
func (g *generator) list(list *strict.Node, of string, n int) {
	if list == nil || list.Kind != strict.Sequence {
		return
	}
	var has []string
	for i, item := range list.Items {
		has = append(has, textOf(item))
		g.misspell(StateMisspelt, item, of)
		if len(list.Items) > 1 {
			g.add(StateLess, item.Pos, list, withoutItem(list, i), "%s without %s", of, textOf(item))
		}
	}
	if more := g.other(g.expanded(has, 0), n); more != "" {
		g.add(StateMore, list.Pos, list, withItem(list, len(list.Items), text(list, more)), "%s with %s besides", of, more)
	}
}

// maxDepth is how deep groups may be in each other; those that contain each other have no end.
const maxDepth = 8

// expanded are states, with those of the groups among them.
func (g *generator) expanded(names []string, depth int) []string {
	all := slices.Clone(names)
	for _, name := range names {
		group := g.root.Get("groups").Get(name)
		if group != nil && group.Kind == strict.Mapping {
			group = group.Get("states")
		}
		var members []string
		for _, item := range itemsOf(group) {
			members = append(members, textOf(item))
		}
		if len(members) > 0 && depth < maxDepth {
			all = append(all, g.expanded(members, depth+1)...)
		}
	}
	return all
}

// other is a state that is not among some, "" where there is none.
func (g *generator) other(than []string, n int) string {
	return otherOf(g.states, than, n)
}

func otherOf(names, than []string, n int) string {
	rest := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(than, name) })
	if len(rest) == 0 {
		return ""
	}
	return rest[n%len(rest)]
}

func (g *generator) transition(t *strict.Node, i int) {
	list := g.root.Get("transitions")
	of := fmt.Sprintf("transition %s on line %d", textOf(t.Get("name")), t.Pos.Line)
	g.add(TransitionGone, t.Pos, list, withoutItem(list, i), "no %s", of)
	g.misspellKeys(t, "transition", of)
	g.misspell(EventMisspelt, t.Get("name"), of)
	from := t.Get("from")
	for i, source := range itemsOf(from) {
		g.misspell(StateMisspelt, source, of+": from")
		if len(from.Items) > 1 {
			g.add(SourceGone, source.Pos, from, withoutItem(from, i), "%s: not from %s", of, textOf(source))
		}
	}
	if to := t.Get("destination"); textOf(to) != "" {
		g.misspell(StateMisspelt, to, of+": destination")
		turns := len(itemsOf(from)) == 1 && textOf(from.Items[0]) == textOf(to) // that without a destination it does as well
		if g.root.Get("format") != nil && !turns {
			g.drop(DestinationGone, t, "destination", of)
		}
		if another := g.other([]string{textOf(to)}, i); another != "" {
			g.add(DestinationOther, to.Pos, to, text(to, another), "%s: destination %s in place of %s", of, another, textOf(to))
		}
	}
	g.guard(t, of)
	if textOf(t.Get("when")) != "" {
		g.rival(t, list, i, of)
	}
	g.assignments(t, of)
	g.drop(SubscriptionGone, t, "subscribe", of)
}

// rival puts another transition of the same event before one that has a guard.
func (g *generator) rival(t, list *strict.Node, i int, of string) {
	another := g.other([]string{textOf(t.Get("destination"))}, i)
	if another == "" {
		return
	}
	rival := without(without(with(t, "destination", text(t, another)), "when"), "set")
	g.add(Rival, t.Pos, list, withItem(list, i, rival), "%s: one to %s without a guard before it", of, another)
}

// guard makes the defects of the guard of a transition or a watcher.
func (g *generator) guard(n *strict.Node, of string) {
	when := n.Get("when")
	if textOf(when) == "" {
		return
	}
	g.data(when, of+": when")
	g.drop(GuardGone, n, "when", of)
	g.add(GuardNever, when.Pos, when, text(when, "("+when.Value+") && false"), "%s: a guard that is never true", of)
	g.add(GuardTurned, when.Pos, when, text(when, "not ("+when.Value+")"), "%s: the guard turned round", of)
}

// data misspells the first key of data, or field of an event's payload, that an expression or template reads.
func (g *generator) data(n *strict.Node, of string) {
	if place := dataPattern.FindStringSubmatchIndex(n.Value); place != nil {
		name := n.Value[place[2]:place[3]]
		g.add(DataMisspelt, n.Pos, n, text(n, n.Value[:place[2]]+misspelt(name)+n.Value[place[3]:]), "%s: %s in place of %s", of, misspelt(name), name)
	}
}

// assignments makes the defects of what a transition sets.
func (g *generator) assignments(t *strict.Node, of string) {
	set := t.Get("set")
	for _, f := range fieldsOf(set) {
		g.add(DataMisspelt, f.Pos, set, renamed(set, f.Key, misspelt(f.Key)), "%s: set %s in place of %s", of, misspelt(f.Key), f.Key)
		g.data(f.Value, of+": set "+f.Key)
		if len(set.Fields) == 1 {
			g.add(AssignmentGone, f.Pos, t, without(t, "set"), "%s: %s is not set", of, f.Key)
		} else {
			g.add(AssignmentGone, f.Pos, set, without(set, f.Key), "%s: %s is not set", of, f.Key)
		}
		if still := counterPattern.ReplaceAllString(f.Value.Value, "$1"); f.Value.Kind == strict.Scalar && still != f.Value.Value {
			g.add(CounterStill, f.Pos, f.Value, text(f.Value, still), "%s: %s is set to %s", of, f.Key, strings.TrimSpace(still))
		}
	}
	clear := t.Get("clear")
	for i, item := range itemsOf(clear) {
		g.misspell(DataMisspelt, item, of+": clear")
		if len(clear.Items) > 1 {
			g.add(AssignmentGone, item.Pos, clear, withoutItem(clear, i), "%s: %s is not cleared", of, textOf(item))
		}
	}
	if len(itemsOf(clear)) == 1 {
		g.drop(AssignmentGone, t, "clear", of)
	}
}
