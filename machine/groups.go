package machine

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// groups are the groups with deadlines that a state is in, in the manifest's order.
type groups struct {
	names []string // never modified: records share it
	specs []*Group
}

// addGroups finds the groups with deadlines of every state. In a final state nothing counts any more.
func (d *Definition) addGroups() {
	for i := range d.Manifest.Groups {
		g := &d.Manifest.Groups[i]
		if len(g.After) == 0 {
			continue
		}
		if d.groups == nil {
			d.groups = make([]groups, len(d.states))
		}
		for _, state := range g.States {
			if s, known := d.index[state]; known && d.specs[s].Final == "" {
				d.groups[s].names = append(d.groups[s].names, g.Name)
				d.groups[s].specs = append(d.groups[s].specs, g)
			}
		}
	}
}

func (d *Definition) groupsIn(state int) []*Group {
	if d.groups == nil {
		return nil
	}
	return d.groups[state].specs
}

// hasDeadline reports whether a deadline can fire in a state, its own or one of a group.
func (d *Definition) hasDeadline(state int) bool {
	return len(d.specs[state].After) > 0 || len(d.groupsIn(state)) > 0
}

// deadlines goes through all deadlines that can fire in a state, its own and those of its groups.
func (d *Definition) deadlines(state int) iter.Seq[*Deadline] {
	return func(yield func(*Deadline) bool) {
		each := func(after []Deadline) bool {
			for i := range after {
				if !yield(&after[i]) {
					return false
				}
			}
			return true
		}
		if !each(d.specs[state].After) {
			return
		}
		for _, g := range d.groupsIn(state) {
			if !each(g.After) {
				return
			}
		}
	}
}

// TimedGroups returns the groups of a state that have deadlines. Who is given the slice must not change it.
func (d *Definition) TimedGroups(state string) []*Group {
	if i, ok := d.index[state]; ok {
		return d.groupsIn(i)
	}
	return nil
}

// GroupsOf returns the names of all groups that a state is in, in the manifest's order.
func (d *Definition) GroupsOf(state string) []string {
	var names []string
	for _, g := range d.Manifest.Groups {
		if slices.Contains(g.States, state) {
			names = append(names, g.Name)
		}
	}
	return names
}

// Next returns the first deadline of a group that has not fired in a visit, false where all have.
func (g *Group) Next(visit GroupVisit) (*Deadline, bool) {
	for i := range g.After {
		if g.After[i].After > visit.Fired {
			return &g.After[i], true
		}
	}
	return nil, false
}

// DeadlineEvent returns the event of one of the group's deadlines with its cause.
func (g *Group) DeadlineEvent(dl *Deadline) Event {
	ev := dl.event()
	ev.Cause.Group = g.Name
	return ev
}

// noteGroups has a record say in which groups the machine is after it.
func (d *Definition) noteGroups(r *Record) {
	r.Groups = nil
	if i, known := d.index[r.To]; known && d.groups != nil {
		r.Groups = d.groups[i].names
	}
}

// MoveStart has the first record of a machine lead to another state, as tests ask for it.
func (d *Definition) MoveStart(r *Record, state string) {
	r.To = state
	d.noteGroups(r)
}

// groupsAfter returns the groups after a record that begins a visit or another manifest. The machine goes on in the groups in which it has been,
// except where it starts over. A new manifest's group counts, as a new deadline of the state itself would, from when the state was entered.
func (s *Snapshot) groupsAfter(r *Record) map[string]GroupVisit {
	if len(r.Groups) == 0 {
		return nil
	}
	over := r.Kind == RecordStart || r.Kind == RecordRecovery
	entered := r.At
	if r.Kind == RecordUpgrade && r.From == r.To {
		entered = s.Entered
	}
	after := make(map[string]GroupVisit, len(r.Groups))
	for _, name := range r.Groups {
		visit, stays := s.Groups[name]
		if !stays || over {
			visit = GroupVisit{Entered: entered}
		}
		after[name] = visit
	}
	return after
}

// firedOf returns the groups after a record of a group's deadline, taken or not. A transition may have left the group.
func (s *Snapshot) firedOf(r *Record) map[string]GroupVisit {
	visit, stays := s.Groups[r.Cause.Group]
	after, err := time.ParseDuration(r.Cause.Name)
	if !stays || err != nil {
		return s.Groups
	}
	all := maps.Clone(s.Groups)
	visit.Fired = max(visit.Fired, after)
	all[r.Cause.Group] = visit
	return all
}
