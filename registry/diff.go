package registry

import (
	"cmp"
	"reflect"
	"slices"
)

// ChangeKind is what becomes of a machine from one spec to the next.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is what a spec changes of one machine.
type Change struct {
	Name string     `json:"name"`
	Kind ChangeKind `json:"kind"`
	Old  *Entry     `json:"-"` // nil where it is added
	New  *Entry     `json:"-"` // nil where it is removed

	all string // whom an entry without a match is for
}

// String is one line for people.
func (c Change) String() string {
	switch c.Kind {
	case Added:
		return "+ " + c.Name + " " + c.New.Version + " for " + cmp.Or(c.New.Match, c.all)
	case Removed:
		return "- " + c.Name + " " + c.Old.Version
	}
	line := "~ " + c.Name
	if c.Old.Version != c.New.Version {
		line += " " + c.Old.Version + " -> " + c.New.Version
	} else if c.Old.Checksum != c.New.Checksum {
		line += " " + c.New.Version + ", another content under the same version"
	}
	if c.Old.Match != c.New.Match {
		line += ", match " + cmp.Or(c.Old.Match, c.all) + " -> " + cmp.Or(c.New.Match, c.all)
	}
	if c.Old.Source != c.New.Source && c.Old.Checksum == c.New.Checksum {
		line += ", from " + c.New.Source
	}
	return line
}

// Diff returns what a spec changes, by machine. A nil spec lists nothing.
func Diff(old, now *Spec) []Change {
	was, is, whom := byName(old), byName(now), "every node"
	if now != nil && now.Channel == OverlayChannel {
		whom = "every host"
	}
	var all []Change
	for name, e := range was {
		if is[name] == nil {
			all = append(all, Change{Name: name, Kind: Removed, Old: e, all: whom})
		} else if !reflect.DeepEqual(e, is[name]) {
			all = append(all, Change{Name: name, Kind: Changed, Old: e, New: is[name], all: whom})
		}
	}
	for name, e := range is {
		if was[name] == nil {
			all = append(all, Change{Name: name, Kind: Added, New: e, all: whom})
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func byName(s *Spec) map[string]*Entry {
	all := map[string]*Entry{}
	if s != nil {
		for i := range s.Machines {
			all[s.Machines[i].Name] = &s.Machines[i]
		}
	}
	return all
}
