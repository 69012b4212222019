// Package mutant makes manifests with one defect each out of a good one, such as people make them: a name that is misspelt, a watcher or a
// deadline that was forgotten, a state that is missing from a list. What neither check nor the tests of a manifest notice shows what they do
// not look at. It runs nothing and decides nothing but whether check finds more than before.
package mutant

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Kind is a kind of defect, in words.
type Kind string

// The kinds of defects.
const (
	StateMisspelt Kind = "state misspelt"
	EventMisspelt Kind = "event misspelt"
	KeyMisspelt   Kind = "key misspelt"
	TypeMisspelt  Kind = "type misspelt"
	DataMisspelt  Kind = "data misspelt"

	TransitionGone   Kind = "transition deleted"
	SourceGone       Kind = "source dropped"
	DestinationGone  Kind = "destination dropped"
	AssignmentGone   Kind = "assignment dropped"
	SubscriptionGone Kind = "subscription dropped"
	WatcherGone      Kind = "watcher deleted"
	EventGone        Kind = "event dropped"
	RetryGone        Kind = "retry dropped"
	IntervalGone     Kind = "interval dropped"
	DeadlineGone     Kind = "deadline dropped"
	HomeGone         Kind = "home dropped"
	FinalGone        Kind = "final dropped"
	GuardGone        Kind = "guard dropped"

	StateMore        Kind = "list of states gains one"
	StateLess        Kind = "list of states loses one"
	DestinationOther Kind = "destination is another state"
	EventOther       Kind = "another event"
	Rival            Kind = "rival without a guard"
	GuardNever       Kind = "guard never true"
	GuardTurned      Kind = "guard turned round"
	CounterStill     Kind = "counter not raised"
	TimeoutLong      Kind = "time-out above the interval"
)

// Mutant is a manifest with one defect. It is read-only.
type Mutant struct {
	Kind Kind
	What string        // of which part of the manifest, and what it is instead
	Pos  diag.Position // of the part, in the manifest as it was written

	root, target, instead *strict.Node
}

// Source returns the text of the manifest with the defect, in the form of JSON. The places in it are not those of the manifest.
func (m *Mutant) Source() []byte {
	e := encoder{target: m.target, instead: m.instead}
	e.value(m.root)
	return e.out
}

// Of returns the mutants of a manifest, in an order that only depends on it. There are none of a text that cannot be read; of a manifest with
// errors there may be fewer.
func Of(file string, src []byte) []Mutant {
	root, _ := strict.Parse(file, src)
	if root == nil || root.Kind != strict.Mapping {
		return nil
	}
	g := &generator{root: root, keys: map[string]bool{}}
	g.collect()
	g.top()
	g.statesSection()
	g.groups()
	for i, t := range itemsOf(root.Get("transitions")) {
		g.transition(t, i)
	}
	for i, w := range itemsOf(root.Get("watchers")) {
		g.watcher(w, i)
	}
	return g.mutants
}

// Sample returns at most so many of the mutants, chosen by the seed, in their order.
func Sample(all []Mutant, most int, seed uint64) []Mutant {
	if len(all) <= most {
		return all
	}
	chosen := make([]int, len(all))
	for i := range chosen {
		chosen[i] = i
	}
	slices.SortFunc(chosen, func(a, b int) int { return cmp.Compare(scattered(seed, a), scattered(seed, b)) })
	chosen = chosen[:max(0, most)]
	slices.Sort(chosen)
	some := make([]Mutant, len(chosen))
	for i, n := range chosen {
		some[i] = all[n]
	}
	return some
}

// scattered is a number for a place in a list that has nothing to do with that of its neighbours (SplitMix64, Steele and others 2014).
func scattered(seed uint64, place int) uint64 {
	z := (seed<<32 + uint64(place) + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// generator makes the mutants of one document.
type generator struct {
	root    *strict.Node
	states  []string        // in the order of the document, each once
	events  []string        // the names of the transitions
	keys    map[string]bool // that have been misspelt, by part of the manifest
	mutants []Mutant
}

// collect gathers the names that a defect may put in the place of another.
func (g *generator) collect() {
	note := func(list *[]string, name string) {
		if name != "" && name != anyState && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	note(&g.states, textOf(g.root.Get("initial_state")))
	for _, t := range itemsOf(g.root.Get("transitions")) {
		note(&g.events, textOf(t.Get("name")))
		note(&g.states, textOf(t.Get("destination")))
	}
}

// anyState is every state, where states are listed.
const anyState = "*"

// add adds a mutant that has another node in the place of one.
func (g *generator) add(kind Kind, at diag.Position, target, instead *strict.Node, format string, args ...any) {
	g.mutants = append(g.mutants, Mutant{
		Kind: kind, What: fmt.Sprintf(format, args...), Pos: at, root: g.root, target: target, instead: instead,
	})
}

// misspell adds one for a name, where there is one.
func (g *generator) misspell(kind Kind, n *strict.Node, of string) {
	if name := textOf(n); name != "" && name != anyState {
		g.add(kind, n.Pos, n, text(n, misspelt(name)), "%s: %s in place of %s", of, misspelt(name), name)
	}
}

// misspellKeys adds one for every key of a mapping that parts like it have not had before: what is found of one is found of all.
func (g *generator) misspellKeys(n *strict.Node, part, of string) {
	if n == nil || n.Kind != strict.Mapping {
		return
	}
	for _, f := range n.Fields {
		if g.keys[part+" "+f.Key] {
			continue
		}
		g.keys[part+" "+f.Key] = true
		g.add(KeyMisspelt, f.Pos, n, renamed(n, f.Key, misspelt(f.Key)), "%s: the key %s in place of %s", of, misspelt(f.Key), f.Key)
	}
}

// drop adds one without a key, where it is written.
func (g *generator) drop(kind Kind, n *strict.Node, key, of string) {
	if v := n.Get(key); v != nil && v.Kind != strict.Null {
		g.add(kind, v.Pos, n, without(n, key), "%s: no %s", of, key)
	}
}
