package machine

import (
	"slices"
	"strconv"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// compile makes a Definition of a decoded manifest. It reports expressions that cannot work (SC3xx) and
// nothing else. The Definition is always usable by checks, so that all problems are found at once; with an
// error in the list it must not run: an expression that did not compile never holds.
func compile(m *Manifest, cat Catalogue) (*Definition, diag.List) {
	d := &Definition{
		Manifest: m, digest: m.Digest.String(),
		index: map[string]int{}, byName: map[string]int{}, types: map[string]ValueType{}, defaults: map[string]any{},
	}
	d.addStates()
	d.addGroups()
	d.addData()
	d.addRules()
	for i := range m.Watchers {
		d.watchers = append(d.watchers, d.watcherRule(&m.Watchers[i], cat))
	}
	list := d.compileExpressions(cat)
	d.addSecrets(cat)
	d.engine, d.table = newEngine(d), newTable(d)
	return d, list.Sort()
}

// addStates collects what the manifest implies: the initial state, then sources and destinations.
func (d *Definition) addStates() {
	d.addState(d.Manifest.InitialState)
	for _, t := range d.Manifest.Transitions {
		for _, from := range t.From {
			if from != "*" {
				d.addState(from)
			}
		}
		if !t.Stays {
			d.addState(t.Destination)
		}
	}
	for _, s := range d.Manifest.States {
		if i, ok := d.index[s.Name]; ok {
			d.specs[i] = s
		}
	}
	if !slices.ContainsFunc(d.specs, func(s StateSpec) bool { return s.Home }) {
		d.specs[0].Home = true
	}
}

func (d *Definition) addState(name string) {
	if _, known := d.index[name]; known {
		return
	}
	d.index[name] = len(d.states)
	d.states = append(d.states, name)
	d.specs = append(d.specs, StateSpec{Name: name})
}

func (d *Definition) addData() {
	for _, f := range d.Manifest.Data {
		d.types[f.Name] = f.Type
		if v, err := normalise(f.Default); err == nil && v != nil {
			d.defaults[f.Name] = v
		}
	}
}

func (d *Definition) addRules() {
	d.byState = make([]map[string][]int, len(d.states))
	for i := range d.byState {
		d.byState[i] = map[string][]int{}
	}
	for i, t := range d.Manifest.Transitions {
		r := rule{name: t.Name, event: strconv.Itoa(i), dest: -1, reenter: t.Reenter, from: d.sources(t.From)}
		if !t.Stays {
			r.dest = d.index[t.Destination]
		}
		for _, s := range r.from {
			d.byState[s][r.name] = append(d.byState[s][r.name], i)
		}
		if _, known := d.byName[t.Name]; !known {
			d.byName[t.Name] = i
		}
		d.rules = append(d.rules, r)
	}
}

// sources expands "*", which leaves out final states, and drops repetitions.
func (d *Definition) sources(from []string) []int {
	var out []int
	for _, s := range from {
		if i, known := d.index[s]; known {
			out = append(out, i)
		}
	}
	if slices.Contains(from, anyState) {
		for i := range d.states {
			if d.specs[i].Final == "" {
				out = append(out, i)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *Definition) watcherRule(w *WatcherSpec, cat Catalogue) watcherRule {
	r := watcherRule{active: make([]uint64, (len(d.states)+63)/64), events: map[string]string{}}
	active := func(i int) { r.active[i/64] |= 1 << (i % 64) }
	for _, s := range w.StateMatch {
		if i, known := d.index[s]; known {
			active(i)
		}
	}
	if len(w.StateMatch) == 0 {
		for i := range d.states {
			active(i)
		}
	}
	for _, o := range outcomesOf(w, cat) {
		if event := eventFor(w, o); event != "" {
			r.events[o.Name] = event
		}
	}
	for outcome, event := range w.On {
		r.events[outcome] = event
	}
	return r
}

// outcomesOf returns what a watcher can report: the outcomes of every type, as its own type refines them.
func outcomesOf(w *WatcherSpec, cat Catalogue) []Outcome {
	out := []Outcome{
		{Name: OutcomeSuccess, Class: Success}, {Name: OutcomeFail, Class: Failure},
		{Name: OutcomeTimeout, Class: Failure}, {Name: OutcomeInterrupted, Class: Failure}, {Name: OutcomePanic, Class: Failure},
		{Name: OutcomeStarved},
	}
	t, known := findType(w, cat)
	if !known {
		return out
	}
	for _, o := range t.Outcomes {
		if i := slices.IndexFunc(out, func(b Outcome) bool { return b.Name == o.Name }); i >= 0 {
			o.Class = out[i].Class
			out[i] = o
		} else {
			out = append(out, o)
		}
	}
	return out
}

func findType(w *WatcherSpec, cat Catalogue) (*WatcherType, bool) {
	if cat == nil {
		return nil, false
	}
	return cat.Find(w.Type)
}

// eventFor says what an outcome fires where `on` does not name it.
func eventFor(w *WatcherSpec, o Outcome) string {
	switch {
	case o.Name == OutcomeInterrupted && w.OnInterrupt == Ask:
		return ""
	case o.Event != "":
		return o.Event
	case o.Class == Success:
		return w.SuccessTransition
	case o.Class == Failure:
		return w.FailTransition
	default:
		return ""
	}
}
