package mutant

import (
	"regexp"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

var (
	// dataPattern is a key of data, or a field of an event's payload, in an expression or a template.
	dataPattern = regexp.MustCompile(`\b(?:data|event\.payload)\.([A-Za-z_][A-Za-z0-9_]*)`)
	// readPattern is such a key where it is certain that it is read: in a template or a mark.
	readPattern = regexp.MustCompile(`lookup "data\.|\$\{[^}]*\bdata\.`)
	// counterPattern is a key of data that is raised or lowered.
	counterPattern = regexp.MustCompile(`\b(data\.[A-Za-z_][A-Za-z0-9_]*) *[+-] *[0-9]+\b`)
)

func (g *generator) watcher(w *strict.Node, i int) {
	list := g.root.Get("watchers")
	of := "watcher " + textOf(w.Get("name"))
	if len(list.Items) > 1 {
		g.add(WatcherGone, w.Pos, list, withoutItem(list, i), "no %s", of)
	} else {
		g.add(WatcherGone, w.Pos, g.root, without(g.root, "watchers"), "no %s", of)
	}
	g.misspellKeys(w, "watcher", of)
	g.misspell(TypeMisspelt, w.Get("type"), of)
	g.list(w.Get("state_match"), of+": state_match", i)
	for _, key := range []string{"success_transition", "fail_transition"} {
		g.event(w, key, of, i)
	}
	on := w.Get("on")
	for n, f := range fieldsOf(on) {
		if len(on.Fields) > 1 {
			g.event(on, f.Key, of+": on", i+n)
			continue
		}
		g.misspell(EventMisspelt, f.Value, of+": on "+f.Key)
		g.drop(EventGone, w, "on", of)
	}
	if retry := w.Get("retry"); retry != nil {
		g.misspellKeys(retry, "retry", of+": retry")
		g.drop(RetryGone, w, "retry", of)
		g.event(retry, "then", of+": retry", i)
	}
	g.guard(w, of)
	g.times(w, of)
	g.properties(w.Get("properties"), textOf(w.Get("type")), of)
}

// event makes the defects of an event that a watcher fires.
func (g *generator) event(n *strict.Node, key, of string, i int) {
	name := textOf(n.Get(key))
	if name == "" {
		return
	}
	at := n.Get(key)
	g.misspell(EventMisspelt, at, of+": "+key)
	g.drop(EventGone, n, key, of)
	if another := otherOf(g.events, []string{name}, i); another != "" {
		g.add(EventOther, at.Pos, at, text(at, another), "%s: %s %s in place of %s", of, key, another, name)
	}
}

// times makes the defects of how often a watcher looks.
func (g *generator) times(w *strict.Node, of string) {
	interval := textOf(w.Get("interval"))
	every, err := strict.ParseDuration(interval)
	if err != nil || every <= 0 {
		return
	}
	g.drop(IntervalGone, w, "interval", of)
	long := (2 * every).String()
	g.add(TimeoutLong, w.Get("interval").Pos, w, with(w, "timeout", text(w, long)), "%s: a timeout of %s, and looks every %s", of, long, interval)
}

// properties misspells their keys, and what they read.
func (g *generator) properties(n *strict.Node, typ, of string) {
	g.misspellKeys(n, "properties of "+typ, of+": properties")
	for _, f := range fieldsOf(n) {
		g.reads(f.Value, of+": "+f.Key)
	}
}

func (g *generator) reads(n *strict.Node, of string) {
	if n.Kind == strict.Scalar && !strings.Contains(n.Value, "\n") && readPattern.MatchString(n.Value) {
		g.data(n, of)
	}
	for _, item := range n.Items {
		g.reads(item, of)
	}
	for _, f := range n.Fields {
		g.reads(f.Value, of+": "+f.Key)
	}
}
