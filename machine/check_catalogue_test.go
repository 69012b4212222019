package machine

import (
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// typeList is a catalogue for the tests of check: it knows the types by name and what they can report, and
// leaves their properties to the real ones.
type typeList []WatcherType

func (l typeList) Find(name string) (*WatcherType, bool) {
	for i := range l {
		if l[i].Name == name || slices.Contains(l[i].Aliases, name) {
			return &l[i], true
		}
	}
	return nil, false
}

func (l typeList) Names() []string {
	var names []string
	for _, t := range l {
		names = append(append(names, t.Name), t.Aliases...)
	}
	slices.Sort(names)
	return names
}

func checkTypes() typeList {
	plain := []string{"metric", "facts"}
	list := typeList{
		{Name: "exec", CommandLine: []string{"command"}, Nature: func(*WatcherSpec) Nature { return Nature{Prompt: true} }},
		{Name: "expression", Instant: true, Nature: func(*WatcherSpec) Nature { return Nature{Repeats: true} }},
		{Name: "timer", Clock: true},
		{Name: "schedule", Clock: true},
		{Name: "subscribe", Nature: func(*WatcherSpec) Nature { return Nature{Listens: true} }},
		{Name: "file", Writes: writesContents, Check: escapes},
		{Name: "http", Aliases: []string{"httpswitch"}},
		{Name: "publish", Aliases: []string{"gossip"}, Expressions: []string{"body"}},
		{Name: "machines", Aliases: []string{"plugins"}},
		{Name: "kv", Outcomes: successes("created", "changed", "deleted"), Sets: storeKey},
		{Name: "archive", Outcomes: successes("unchanged", "deployed")},
		{Name: "nagios", Outcomes: []Outcome{
			{Name: "ok", Class: Success, Event: "OK"}, {Name: "warning", Class: Failure, Event: "WARNING"},
			{Name: "critical", Class: Failure, Event: "CRITICAL"}, {Name: "unknown", Class: Failure, Event: "UNKNOWN"},
		}},
		{Name: "homekit", Unsupported: "use exec with a command that speaks to the bridge"},
	}
	for _, name := range plain {
		list = append(list, WatcherType{Name: name})
	}
	return list
}

func successes(names ...string) []Outcome {
	var list []Outcome
	for _, name := range names {
		list = append(list, Outcome{Name: name, Class: Success})
	}
	return list
}

func storeKey(w *WatcherSpec) []string {
	if key := w.Properties.Get("store_key"); key != nil {
		return []string{key.Value}
	}
	return nil
}

func writesContents(w *WatcherSpec) []string {
	path := w.Properties.Get("path")
	if path == nil || w.Properties.Get("contents") == nil {
		return nil
	}
	return []string{path.Value}
}

// escapes stands for the checks that types make of their own properties.
func escapes(w *WatcherSpec) diag.List {
	var list diag.List
	if path := w.Properties.Get("path"); path != nil && path.Kind == strict.Scalar && EscapesDirectory(path.Value) {
		list.Add(diag.Error, "SC999", path.Pos, "", "the path %s leaves the machine's directory", path.Value)
	}
	return list
}
