package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
)

// round is one comparison of what is to run with what does.
type round struct {
	*machines
	ctx    context.Context
	look   *watchers.Look
	target string

	found      map[string]map[string]any // the instances' inputs; nil before they were asked for
	names      []string                  // of what is to run
	unknown    []string
	impossible []string // what cannot be, each with its reason
	changed    bool
}

// all starts and tells what is to be told, and removes what is to go. What one machine fails with keeps no other.
func (r *round) all(v *verdict) error {
	wanted := r.wanted(v.entries)
	if !r.listed || !v.fresh {
		r.list()
	}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		r.names = append(r.names, name)
		if err := r.keep(name, wanted[name]); err != nil {
			failed = fmt.Errorf("machine %q: %w", name, err)
		}
	}
	if r.spec.PurgeUnknown {
		if err := r.purge(wanted); err != nil {
			failed = err
		}
	}
	if failed == nil {
		r.listed = true
	}
	return failed
}

// wanted are the entries that are for this node, by name, which is there once.
func (r *round) wanted(entries []registry.Entry) map[string]registry.Entry {
	wanted := map[string]registry.Entry{}
	for _, e := range entries {
		if !machineForm.MatchString(e.Name) {
			r.impossible = append(r.impossible, fmt.Sprintf("%.70q: %v", e.Name, errName))
			continue
		}
		switch matched, err := r.matches(e.Match); matched {
		case watchers.Yes:
			wanted[e.Name] = e
		case watchers.Unknown:
			r.unknown = append(r.unknown, e.Name)
			r.look.Log.Debug("match_unknown", "machine", r.look.Machine, "bundle", e.Name, "match", e.Match, "error", err)
		}
	}
	return wanted
}

// matches evaluates an expression. One that cannot be compiled, perhaps because it is of a later version, has no answer.
func (r *round) matches(text string) (watchers.Matched, error) {
	compiled, err := r.compiled.of(text)
	if err != nil {
		return watchers.Unknown, err
	}
	return compiled.For(r.ctx, r.look)
}

// maxCompiled bounds the expressions that are kept for other nodes and looks.
const maxCompiled = 1000

// compiledMatches keeps compiled expressions. The zero value is ready; it is safe for concurrent use.
type compiledMatches struct {
	mu    sync.Mutex
	known map[string]*watchers.Match
}

func (c *compiledMatches) of(text string) (*watchers.Match, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.known[text]; m != nil {
		return m, nil
	}
	m, err := watchers.CompileMatch(text)
	if err != nil {
		return nil, err
	}
	if c.known == nil || len(c.known) >= maxCompiled {
		c.known = map[string]*watchers.Match{}
	}
	c.known[text] = m
	return m, nil
}

// list asks for the instances that there are.
func (r *round) list() {
	if r.found == nil {
		r.found = r.services.Deployer.Instances(r.look.Identity, r.spec.Template)
	}
}

// manager tells the instances of this watcher from those of others.
func (r *round) manager() string { return r.look.Machine + "/" + r.look.Watcher }

// ours reports whether there is an instance of a name, and whether it is this watcher's.
func (r *round) ours(name string) (there, ours bool) {
	r.list()
	input, there := r.found[name]
	return there, there && input["manager"] == r.manager()
}

// keep sees to it that the instance of a machine has its present entry.
func (r *round) keep(name string, e registry.Entry) error {
	told, known := r.told[name]
	gone := false
	if known && r.found != nil {
		there, _ := r.ours(name)
		gone = !there
	}
	switch {
	case known && !gone && reflect.DeepEqual(told, e):
		return nil
	case known && !gone:
		return r.tell(name, e)
	}
	if _, runs := r.services.Deployer.Standing(r.look.Identity, name); runs {
		if _, ours := r.ours(name); !ours {
			r.impossible = append(r.impossible, fmt.Sprintf("%s: a machine of this name runs that is not of this list", name))
			return nil
		}
	}
	return r.start(name, e)
}

// start starts an instance, or tells the one that an earlier process has left.
func (r *round) start(name string, e registry.Entry) error {
	input, err := r.input(e)
	if err != nil {
		return err
	}
	started, err := r.services.Spawner.Spawn(r.ctx, watchers.SpawnOrder{Identity: r.look.Identity, Template: r.spec.Template, Key: name, Input: input})
	switch {
	case err != nil:
		return err
	case started:
		r.told[name], r.changed = e, true
		return nil
	}
	r.found = nil // it is newer than the list may be
	if _, ours := r.ours(name); !ours {
		r.impossible = append(r.impossible, fmt.Sprintf("%s: another list has a machine of this name", name))
		return nil
	}
	return r.tell(name, e)
}

// tell gives an instance its present entry.
func (r *round) tell(name string, e registry.Entry) error {
	payload, err := r.input(e)
	if err != nil {
		return err
	}
	there, err := r.services.Deployer.Signal(r.ctx, r.look.Identity, r.spec.Template, name, eventChanged, payload)
	switch {
	case err != nil:
		return err
	case !there:
		delete(r.told, name)
		return errEnding
	}
	r.told[name], r.changed = e, true
	return nil
}

var errEnding = errors.New("its instance is just ending; the next look starts another")

// input is what an instance is given. The password stands beside the entry, so that the manifest can declare it secret.
func (r *round) input(e registry.Entry) (map[string]any, error) {
	password := e.Password
	e.Password = ""
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	entry, err := watchers.ReadJSON(text, maxEntryDepth)
	if err != nil {
		return nil, err
	}
	return map[string]any{"machine": entry, "password": password, "target": r.target, "manager": r.manager()}, nil
}

const maxEntryDepth = 32

// purge tells the instances of this watcher that are not wanted. Of what cannot be said it leaves everything as it is.
func (r *round) purge(wanted map[string]registry.Entry) error {
	names := slices.Collect(maps.Keys(r.told))
	for name := range r.found {
		if _, ours := r.ours(name); ours && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var failed error
	for _, name := range names {
		if _, ok := wanted[name]; ok || slices.Contains(r.unknown, name) {
			continue
		}
		there, err := r.services.Deployer.Signal(r.ctx, r.look.Identity, r.spec.Template, name, eventUnwanted, nil)
		if err != nil {
			failed = err
			continue
		}
		delete(r.told, name)
		r.changed = r.changed || there
	}
	return failed
}
