package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

func (c *checker) watcherNames() {
	first := map[string]int{}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		if line, twice := first[w.Name]; twice && w.Name != "" {
			c.fault("SC203", w.Place("name"), "rename one of them", "another watcher is named %s, on line %d", w.Name, line)
			continue
		}
		first[w.Name] = w.Pos.Line
	}
}

func (c *checker) watcherTypes() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		switch {
		case w.Type == "" || c.cat == nil:
		case !known:
			names := c.cat.Names()
			c.fault("SC201", w.Place("type"), hintFor(w.Type, names, "the types are "+strings.Join(names, ", ")),
				"watcher %s: %q is not a type of watcher", w.Name, w.Type)
		case t.Unsupported != "":
			c.fault("SC202", w.Place("type"), t.Unsupported, "watcher %s: the type %s is not supported", w.Name, w.Type)
		}
	}
}

// properties asks every type about the properties of its watchers.
func (c *checker) properties() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		if t, known := findType(w, c.cat); known && t.Check != nil && t.Unsupported == "" {
			c.list = append(c.list, t.Check(w)...)
		}
	}
}

func (c *checker) outcomes() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		if !known {
			continue
		}
		var declared []string
		for _, o := range outcomesOf(w, c.cat) {
			if o.allowedBy(t, w) {
				declared = append(declared, o.Name)
			}
		}
		kind := w.Type
		if action := t.Action(w); action != "" {
			kind += " with " + t.Verb + " " + action
		}
		for _, outcome := range slices.Sorted(maps.Keys(w.On)) {
			if !slices.Contains(declared, outcome) {
				c.fault("SC204", w.Place("on."+outcome), hintFor(outcome, declared, "the outcomes are "+strings.Join(declared, ", ")),
					"watcher %s: a watcher of type %s has no outcome %q", w.Name, kind, outcome)
			}
		}
	}
}

// timeoutOf returns a watcher's time-out and the key that gives it, 0 where it is the type's default.
// Choria has it among the properties.
func timeoutOf(w *WatcherSpec) (time.Duration, string) {
	if w.Timeout > 0 {
		return w.Timeout, "timeout"
	}
	if n := w.Properties.Get("timeout"); n != nil && n.Kind == strict.Scalar {
		if timeout, err := strict.ParseDuration(n.Value); err == nil {
			return timeout.Std(), "properties"
		}
	}
	return 0, ""
}

func (c *checker) timeoutAndInterval() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		timeout, key := timeoutOf(w)
		if w.Interval > 0 && timeout > w.Interval {
			c.warn("SC209", w.Place(key), "make the interval longer than the timeout",
				"watcher %s: its timeout of %s is longer than its interval of %s", w.Name, timeout, w.Interval)
		}
	}
}

func (c *checker) timeoutAndDeadline() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		timeout, key := timeoutOf(w)
		for s := range c.d.watchers[i].states() {
			if s := &c.d.specs[s]; len(s.After) > 0 && timeout > s.After[0].After {
				c.warn("SC210", w.Place(key), "make the deadline longer than the timeout",
					"watcher %s: its timeout of %s is longer than the first deadline of state %s, %s", w.Name, timeout, s.Name, s.After[0].After)
			}
		}
		for _, g := range c.m.Groups {
			active := func(state string) bool { return c.d.Matches(i, state) }
			if len(g.After) > 0 && timeout > g.After[0].After && slices.ContainsFunc(g.States, active) {
				c.warn("SC210", w.Place(key), "make the deadline longer than the timeout",
					"watcher %s: its timeout of %s is longer than the first deadline of the group %s, %s", w.Name, timeout, g.Name, g.After[0].After)
			}
		}
	}
}

// secrets finds properties that hold a secret for everybody who can read the manifest.
func (c *checker) secrets() {
	if !c.m.Strict() {
		return
	}
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		var expressions []string
		if t, known := findType(w, c.cat); known {
			expressions = t.Expressions
		}
		c.secretsIn(w, w.Properties, expressions)
	}
}

func (c *checker) secretsIn(w *WatcherSpec, n *strict.Node, expressions []string) {
	if n == nil {
		return
	}
	for _, f := range n.Fields {
		if secretKey(f.Key) && inClear(w, f.Value) && (w.Marked || !slices.Contains(expressions, f.Key)) {
			hint := fmt.Sprintf("look it up: %s: '{{ lookup \"data.%s\" \"\" }}'", f.Key, f.Key)
			if w.Marked {
				hint = fmt.Sprintf("look it up: %s: ${ data.%s }", f.Key, f.Key)
			}
			c.warn("SC212", f.Value.Pos, hint,
				"watcher %s: %s is in clear for everybody who can read this file", w.Name, f.Key)
		}
		c.secretsIn(w, f.Value, nil)
	}
	for _, item := range n.Items {
		c.secretsIn(w, item, nil)
	}
}

// inClear reports whether a property is a text into which nothing is filled.
func inClear(w *WatcherSpec, n *strict.Node) bool {
	filled := strings.Contains(n.Value, "{{")
	if w.Marked {
		filled = marks.Has(n.Value)
	}
	return n.Kind == strict.Scalar && n.Value != "" && !filled
}

func secretKey(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "token", "secret"}, func(word string) bool {
		return key == word || strings.HasSuffix(key, "_"+word)
	})
}
