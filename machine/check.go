package machine

import (
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// checkRule is one thing that check proves of a manifest.
type checkRule struct {
	name  string
	needs need
	find  func(*checker)
}

// need says how much of the manifest a rule must be able to trust, so that one mistake is not reported
// again as all that follows from it.
type need uint8

const (
	anything    need = iota
	transitions      // every transition has its name, sources and destination
	start            // and the initial state is one
	sound            // and no rule that needs less has found an error: these come last
)

// checkRules is every rule for one machine; CheckSet has those for machines that run together, and
// compile those for expressions.
var checkRules = []checkRule{
	{"watcher names are unique", anything, (*checker).watcherNames},
	{"watcher types exist", anything, (*checker).watcherTypes},
	{"properties are what the type takes", anything, (*checker).properties},
	{"outcomes named in on are declared", anything, (*checker).outcomes},
	{"time-outs fit the interval", anything, (*checker).timeoutAndInterval},
	{"time-outs fit the state's deadline", anything, (*checker).timeoutAndDeadline},
	{"no secret is in clear", anything, (*checker).secrets},
	{"secrets have no defaults", anything, (*checker).secretDefaults},
	{"paths of secrets lead somewhere", anything, (*checker).secretPaths},
	{"no secret is an argument of a program", anything, (*checker).secretArguments},
	{"no secret goes where it is none", anything, (*checker).secretFlows},
	{"the initial state is a state", transitions, (*checker).initialState},
	{"state_match names states", transitions, (*checker).stateMatch},
	{"the states section names states", transitions, (*checker).statesSection},
	{"an upgrade maps to states", transitions, (*checker).upgradeTargets},
	{"watchers and deadlines fire events that exist", transitions, (*checker).unknownEvents},
	{"no two transitions compete for an event", transitions, (*checker).competing},
	{"no source is written twice", transitions, (*checker).repeatedSources},
	{"something fires every transition", transitions, (*checker).unfired},
	{"only changes of state are announced", transitions, (*checker).announced},
	{"final states are final", transitions, (*checker).finalStates},
	{"final states have no watchers", transitions, (*checker).finalWatchers},
	{"every state can be reached", start, (*checker).unreachable},
	{"no state is a trap", start, (*checker).traps},
	{"something can happen in every state", start, (*checker).silentStates},
	{"every watcher can run", start, (*checker).idleWatchers},
	{"states take the events that their watchers fire", start, (*checker).untakenEvents},
	{"states take the events of their deadlines", start, (*checker).untakenDeadlines},
	{"no cycle takes no time", start, (*checker).instantCycles},
	{"cycles have a pause", start, (*checker).turns},
	{"no watcher pauses within what it spans", start, (*checker).holes},
	{"properties read data that there is", anything, (*checker).unknownReads},
	{"templates read no fields", anything, (*checker).templateFields},
	{"programs are in the folder", anything, (*checker).missingPrograms},
	{"guards can be true", sound, (*checker).deadGuards},
	{"choices have a guard that may hold, and another that may not", sound, (*checker).choices},
	{"counters end the cycles that they are to end", sound, (*checker).endless},
	{"no look that leads nowhere is the last", sound, (*checker).stalls},
	{"where all goes well, the machine comes to rest", sound, (*checker).goodPaths},
	{"nothing waits for others for ever", sound, (*checker).waits},
}

// checker holds one manifest against the rules.
type checker struct {
	d           *Definition
	m           *Manifest
	cat         Catalogue
	files       Files // nil where the manifest's folder is not at hand
	list        diag.List
	firings     [][]firing        // by place in Manifest.Watchers
	reachable   []bool            // by place in Definition.states
	active      [][]int           // by place in Definition.states: the watchers that are active there
	written     map[string]bool   // the states that a transition or the states section names
	anywhere    bool              // a transition leaves every state
	misplaced   bool              // a watcher names a state that does not exist
	firedEvents map[string]bool   // by something else than an operator
	values      map[string]values // see possible
	natures     map[int]Nature    // by place in Manifest.Watchers, as they are asked for
}

// check holds a compiled manifest against every rule that it is whole enough for. What was found before it is told, so that nothing is said of
// a machine that was not read as it was meant.
func check(d *Definition, cat Catalogue, files Files, before diag.List) diag.List {
	c := &checker{d: d, m: d.Manifest, cat: cat, files: files, reachable: d.reach(0), active: make([][]int, len(d.states)), written: map[string]bool{}}
	c.collectStates()
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		c.firings = append(c.firings, firingsOf(w, cat))
		for s := range d.watchers[i].states() {
			c.active[s] = append(c.active[s], i)
		}
		c.misplaced = c.misplaced || slices.ContainsFunc(w.StateMatch, func(state string) bool { return !c.isState(state) })
	}
	c.firedEvents = c.fired()
	whole := c.wholeness()
	for _, r := range checkRules {
		if r.needs == sound && whole == start && !before.HasErrors() && !c.list.HasErrors() {
			whole = sound // whatever the rules find that ask for it
		}
		if r.needs <= whole {
			r.find(c)
		}
	}
	return c.list
}

// wholeness says which rules the manifest is whole enough for.
func (c *checker) wholeness() need {
	broken := func(t Transition) bool {
		return t.Name == "" || t.Destination == "" && !t.Stays || t.Destination == anyState || len(t.From) == 0 || slices.Contains(t.From, "")
	}
	switch {
	case len(c.m.Transitions) == 0 || slices.ContainsFunc(c.m.Transitions, broken):
		return anything
	case !c.named(c.m.InitialState):
		return transitions
	default:
		return start
	}
}

// collectStates collects the names that named asks for.
func (c *checker) collectStates() {
	for _, t := range c.m.Transitions {
		c.written[t.Destination] = true
		for _, from := range t.From {
			c.written[from] = true
		}
	}
	c.anywhere = c.written[anyState]
	for _, s := range c.m.States {
		c.written[s.Name] = true
	}
}

func (c *checker) fault(code diag.Code, at diag.Position, hint, format string, args ...any) {
	c.list.Add(diag.Error, code, at, hint, format, args...)
}

// tolerated reports what Choria lets pass and format 1 does not.
func (c *checker) tolerated(code diag.Code, at diag.Position, hint, format string, args ...any) {
	c.list.Add(c.m.tolerance(), code, at, hint, format, args...)
}

// proven reports what is only seen by following the machine through its states. Format 1 was checked without it, so that what runs there
// goes on running.
func (c *checker) proven(code diag.Code, at diag.Position, hint, format string, args ...any) {
	severity := diag.Warning
	if c.m.Format > 1 {
		severity = diag.Error
	}
	c.list.Add(severity, code, at, hint, format, args...)
}

func (c *checker) warn(code diag.Code, at diag.Position, hint, format string, args ...any) {
	c.list.Add(diag.Warning, code, at, hint, format, args...)
}

func (c *checker) note(code diag.Code, at diag.Position, hint, format string, args ...any) {
	c.list.Add(diag.Note, code, at, hint, format, args...)
}
