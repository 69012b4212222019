package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// maxSituations bounds how many situations of machines that subscribe to each other are looked at; of larger sets nothing is said.
const maxSituations = 50_000

// situation is where machines that subscribe to each other stand when one of them has taken an event.
type situation struct {
	states string // a rune for each machine: its state
	who    int    // has taken
	event  string
	moved  bool // by a new visit
}

// answers finds machines that fire each other's events in a circle, so that one event keeps them turning for ever. It follows one event
// through every situation, by transitions without a guard and by watchers that report at once.
func (s *setChecker) answers(defs []*Definition) {
	for _, group := range s.groups(defs) {
		a := &answering{group: group, seen: map[situation]bool{}}
		if circle := a.find(); circle != nil {
			s.reportAnswers(group, circle)
		}
	}
}

// groups are the machines that hear of each other, directly or by others.
func (s *setChecker) groups(defs []*Definition) (groups [][]*Definition) {
	hears := map[*Definition]map[*Definition]bool{}
	for _, d := range defs {
		hears[d] = s.heard(d)
	}
	grouped := map[*Definition]bool{}
	for _, d := range defs {
		if grouped[d] || !hears[d][d] {
			continue
		}
		var group []*Definition
		for _, other := range defs {
			if hears[d][other] && hears[other][d] {
				group, grouped[other] = append(group, other), true
			}
		}
		groups = append(groups, group)
	}
	return groups
}

// heard are the machines whose events a machine's subscriptions hear of, directly or by others.
func (s *setChecker) heard(d *Definition) map[*Definition]bool {
	all := map[*Definition]bool{}
	for work := []*Definition{d}; len(work) > 0; work = work[1:] {
		for _, t := range work[0].Manifest.Transitions {
			for _, sub := range t.Subscribe {
				if other := s.byName[sub.Machine]; other != nil && !all[other] {
					all[other] = true
					work = append(work, other)
				}
			}
		}
	}
	return all
}

// answering is the search for a circle in a group.
type answering struct {
	group []*Definition
	seen  map[situation]bool // and whether it is on the present way
	way   []situation
}

// find begins with each event that a machine can take, whatever states the others are in.
func (a *answering) find() []situation {
	combinations := 1
	for _, d := range a.group {
		if combinations *= len(d.states); combinations > maxSituations {
			return nil
		}
	}
	for n := range combinations {
		states := make([]rune, len(a.group))
		for i, rest := 0, n; i < len(states); i++ {
			states[i], rest = rune(rest%len(a.group[i].states)), rest/len(a.group[i].states)
		}
		for who, d := range a.group {
			for i := range d.rules {
				if !d.rules[i].endsIn(int(states[who])) {
					continue
				}
				if circle := a.follow(situation{string(states), who, d.rules[i].name, true}); circle != nil {
					return circle
				}
			}
		}
	}
	return nil
}

// follow returns the first circle that a situation leads to.
func (a *answering) follow(at situation) []situation {
	if onWay, seen := a.seen[at]; seen {
		if !onWay {
			return nil
		}
		circle := slices.Clone(a.way[slices.Index(a.way, at):])
		if !slices.ContainsFunc(circle, func(s situation) bool { return s.who != at.who }) {
			return nil // one machine alone
		}
		return circle
	}
	if len(a.seen) >= maxSituations {
		return nil
	}
	a.seen[at] = true
	a.way = append(a.way, at)
	for _, next := range a.after(at) {
		if circle := a.follow(next); circle != nil {
			return circle
		}
	}
	a.way = a.way[:len(a.way)-1]
	a.seen[at] = false
	return nil
}

// after are the situations that can follow at once.
func (a *answering) after(at situation) (all []situation) {
	states := []rune(at.states)
	then := func(who int, event string, to int, moved bool) {
		next := slices.Clone(states)
		next[who] = rune(to)
		all = append(all, situation{string(next), who, event, moved})
	}
	if d := a.group[at.who]; at.moved && d.prompt != nil {
		for _, m := range d.prompt[states[at.who]] {
			then(at.who, m.event, m.to, true)
		}
	}
	for who, d := range a.group {
		name := d.subscribedTo(a.group[at.who].Manifest.Name, at.event, int(states[who]))
		if to, moved, ok := d.unguarded(int(states[who]), name); ok && name != "" {
			then(who, name, to, moved)
		}
	}
	return all
}

// subscribedTo returns the transition of a state that another machine's event fires, "" for none.
func (d *Definition) subscribedTo(name, event string, state int) string {
	for i := range d.rules {
		t := &d.Manifest.Transitions[i]
		fired := slices.ContainsFunc(t.Subscribe, func(s Subscription) bool { return s.Machine == name && s.Event == event })
		if fired && slices.Contains(d.rules[i].from, state) {
			return t.Name
		}
	}
	return ""
}

func (s *setChecker) reportAnswers(group []*Definition, circle []situation) {
	var words, names []string
	for _, at := range circle {
		d := group[at.who]
		if !d.Manifest.Brake.assumed() {
			return
		}
		words = append(words, fmt.Sprintf("%s takes %s", d.Manifest.Name, at.event))
		if !slices.Contains(names, d.Manifest.Name) {
			names = append(names, d.Manifest.Name)
		}
	}
	d, with := group[circle[0].who], group[circle[len(circle)-1].who]
	s.clash(d, with, diag.Warning, "SC506", d.Manifest.Transitions[d.byName[circle[0].event]].Pos,
		"subscribe one of them to an event that the other does not take in answer, or let a timer stand between; write a max_rate if they are to be fast",
		"%s answer each other without a pause: %s, and so on", inWords("machine", names), strings.Join(words, ", "))
}
