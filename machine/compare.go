package machine

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// Edit is one thing that two versions of a manifest do not say alike. How they are laid out, and in which order mappings and
// named entries stand, is none.
type Edit struct {
	Path string `json:"path"`          // such as watchers.facts.interval; a list's entry goes by its name
	Old  string `json:"old,omitempty"` // "" where the old version says nothing of it
	New  string `json:"new,omitempty"` // "" where the new one does not
}

// String is one line: a sign, the path, and what it was and is.
func (d Edit) String() string {
	switch {
	case d.Old == "":
		return "+ " + d.Path + ": " + d.New
	case d.New == "":
		return "- " + d.Path + ": " + d.Old
	default:
		return "~ " + d.Path + ": " + d.Old + " -> " + d.New
	}
}

// Compare returns what a new version of a manifest changes, by path. An entry that is new or gone as a whole is one Edit.
func Compare(from, to *Manifest) []Edit {
	was, is := says(from), says(to)
	var all []Edit
	for _, path := range slices.Sorted(maps.Keys(was.and(is))) {
		if was[path] != is[path] {
			all = append(all, Edit{Path: path, Old: was[path], New: is[path]})
		}
	}
	return whole(all, was, is)
}

// said is the scalars of a manifest by their paths.
type said map[string]string

func (s said) and(other said) said {
	both := maps.Clone(s)
	maps.Copy(both, other)
	return both
}

// within reports whether anything is said below a path.
func (s said) within(path string) bool {
	for p := range s {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

func says(m *Manifest) said {
	s := said{}
	if root, list := strict.Parse(m.File, m.Source); !list.HasErrors() {
		s.collect("", root)
	}
	return s
}

func (s said) collect(path string, n *strict.Node) {
	switch n.Kind {
	case strict.Mapping:
		for _, f := range n.Fields {
			s.collect(below(path, f.Key), f.Value)
		}
	case strict.Sequence:
		s.entries(path, n.Items)
	default:
		s[path] = quotedWhereEmpty(n.Value)
	}
}

// entries goes by names where all have one, else the list is one value.
func (s said) entries(path string, items []*strict.Node) {
	seen := map[string]int{}
	for _, item := range items {
		name := item.Get("name")
		if item.Kind != strict.Mapping || name == nil {
			s[path] = inline(items)
			return
		}
		seen[name.Value]++
		key := name.Value
		if n := seen[key]; n > 1 {
			key += "#" + strconv.Itoa(n)
		}
		s.collect(below(path, key), item)
	}
}

func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func quotedWhereEmpty(v string) string {
	if v == "" {
		return `""`
	}
	return v
}

// inline writes nodes in YAML's flow style.
func inline(items []*strict.Node) string {
	var parts []string
	for _, n := range items {
		parts = append(parts, flow(n))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func flow(n *strict.Node) string {
	switch n.Kind {
	case strict.Mapping:
		var parts []string
		for _, f := range n.Fields {
			parts = append(parts, f.Key+": "+flow(f.Value))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case strict.Sequence:
		return inline(n.Items)
	default:
		return quotedWhereEmpty(n.Value)
	}
}

// whole makes one Edit of all below an entry (watchers.facts, states.idle) that only one version has.
func whole(all []Edit, was, is said) []Edit {
	var short []Edit
	done := map[string]bool{}
	for _, d := range all {
		entry := entryOf(d.Path)
		switch {
		case entry == "" || was.within(entry) && is.within(entry):
			short = append(short, d)
		case !done[entry]:
			done[entry] = true
			short = append(short, Edit{Path: entry, Old: was.summary(entry), New: is.summary(entry)})
		}
	}
	return short
}

// entryOf is the named part of a manifest that a path lies in, "" for what is at the top.
func entryOf(path string) string {
	section, rest, _ := strings.Cut(path, ".")
	name, _, inside := strings.Cut(rest, ".")
	if !inside || !slices.Contains([]string{"states", "groups", "transitions", "watchers", "data"}, section) {
		return ""
	}
	return section + "." + name
}

// summary is what says most about an entry, "" where there is none.
func (s said) summary(entry string) string {
	if !s.within(entry) {
		return ""
	}
	for _, key := range []string{"type", "destination", "description"} {
		if v := s[entry+"."+key]; v != "" {
			return key + " " + v
		}
	}
	return "all of it"
}

// Dropped returns the states of an earlier version in which a machine could not go on with this one: it does not have them, and its upgrade
// section does not say what becomes of them.
func (d *Definition) Dropped(earlier *Definition) []string {
	var dropped []string
	for _, state := range earlier.states {
		_, known := d.index[state]
		mapped := d.Manifest.Upgrade != nil && d.Manifest.Upgrade.Map[state] != ""
		if spec, _ := earlier.State(state); !known && !mapped && spec.Final == "" {
			dropped = append(dropped, state)
		}
	}
	return dropped
}
