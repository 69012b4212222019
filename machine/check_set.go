package machine

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// CheckSet finds what is wrong between machines that run together. The set may be a part of what runs on
// a host, so that a machine which is not in it is only a warning. The Definitions must not be nil.
func CheckSet(defs []*Definition) diag.List {
	var list diag.List
	for _, c := range Clashes(defs) {
		list = append(list, c.Diagnostic)
	}
	return list.Sort()
}

// Clash is a finding between two machines.
type Clash struct {
	diag.Diagnostic
	Machine *Definition // in which the finding is
	With    *Definition // nil for a machine that is not in the set
}

// Clashes are the findings of CheckSet with the machines that they are between, not sorted.
func Clashes(defs []*Definition) []Clash {
	s := &setChecker{byName: map[string]*Definition{}}
	for _, d := range defs {
		s.machineName(d)
	}
	for _, d := range defs {
		s.subscriptions(d)
		s.foreignStates(d)
	}
	s.writtenFiles(defs)
	s.answers(defs)
	return s.found
}

type setChecker struct {
	byName map[string]*Definition
	found  []Clash
}

// clash reports a finding in d.
func (s *setChecker) clash(d, with *Definition, sev diag.Severity, code diag.Code, at diag.Position, hint, format string, args ...any) {
	var list diag.List
	list.Add(sev, code, at, hint, format, args...)
	s.found = append(s.found, Clash{Diagnostic: list[0], Machine: d, With: with})
}

func (s *setChecker) machineName(d *Definition) {
	name := d.Manifest.Name
	if other, twice := s.byName[name]; twice {
		s.clash(d, other, diag.Error, "SC504", d.Manifest.place("name"), "rename one of them",
			"another machine is named %s, in %s", name, other.Manifest.File)
		return
	}
	s.byName[name] = d
}

func (s *setChecker) subscriptions(d *Definition) {
	for _, t := range d.Manifest.Transitions {
		for _, sub := range t.Subscribe {
			other := s.machine(d, sub.Machine, sub.Pos)
			if other == nil {
				continue
			}
			if _, known := other.byName[sub.Event]; !known {
				s.clash(d, other, d.Manifest.tolerance(), "SC502", sub.Pos, hintFor(sub.Event, other.events(), "its events are "+strings.Join(other.events(), ", ")),
					"the machine %s has no event %q", sub.Machine, sub.Event)
			}
		}
	}
}

func (s *setChecker) foreignStates(d *Definition) {
	for _, w := range d.Manifest.Watchers {
		for _, f := range w.ForeignStateRequired {
			other := s.machine(d, f.Machine, f.Pos)
			if other == nil {
				continue
			}
			if _, known := other.index[f.State]; !known {
				s.clash(d, other, d.Manifest.tolerance(), "SC503", f.Pos, hintFor(f.State, other.states, "its states are "+strings.Join(other.states, ", ")),
					"the machine %s has no state %q", f.Machine, f.State)
			}
		}
	}
}

// machine finds a machine of the set, nil after it has reported that it is not there.
func (s *setChecker) machine(d *Definition, name string, at diag.Position) *Definition {
	other, known := s.byName[name]
	if !known {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.byName)), func(n string) bool { return n == d.Manifest.Name })
		s.clash(d, nil, diag.Warning, "SC501", at, hintFor(name, names, "check it together with this one if it runs on the same host"),
			"the machine %s is not among those that were checked", name)
	}
	return other
}

// written is a file that a watcher of a machine writes.
type written struct {
	path string
	at   diag.Position
}

// writesOf lists the files that a machine's watchers write, relative ones below the folder of the manifest.
func writesOf(m *Manifest, cat Catalogue) []written {
	var list []written
	for i := range m.Watchers {
		w := &m.Watchers[i]
		t, known := findType(w, cat)
		if !known || t.Writes == nil {
			continue
		}
		for _, path := range t.Writes(w) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(m.File), path)
			}
			list = append(list, written{path: filepath.Clean(path), at: w.Place("properties")})
		}
	}
	return list
}

func (s *setChecker) writtenFiles(defs []*Definition) {
	writer := map[string]*Definition{}
	for _, d := range defs {
		for _, f := range d.writes {
			other, twice := writer[f.path]
			if twice && other != d {
				s.clash(d, other, d.Manifest.tolerance(), "SC505", f.at, "let one machine write it and the other watch it",
					"the machine %s writes %s too", other.Manifest.Name, f.path)
				continue
			}
			writer[f.path] = d
		}
	}
}

// EscapesDirectory reports whether a relative path leaves the folder that it is relative to. Absolute
// paths do not: whoever writes one says where it is. Watcher types ask it about their properties.
func EscapesDirectory(path string) bool {
	return !filepath.IsAbs(path) && strings.HasPrefix(filepath.ToSlash(filepath.Clean(path))+"/", "../")
}
