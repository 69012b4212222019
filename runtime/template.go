package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// The causes of an instance that is not started.
var (
	ErrUnknownTemplate = errors.New("no such template")
	// ErrTooMany is wrapped where as many instances run as an order allows.
	ErrTooMany = watchers.ErrTooMany
)

// template is a program that instances are started of.
type template struct {
	prog    *program
	running int            // instances in the host
	limit   int            // how many may run, as the last order said; 0 is no limit
	of      map[string]int // those that are for somebody, by whom
}

// offer makes a template known and goes on with the instances that an ended host has left. Instances that run go on with the
// program that they began with.
func (h *Host) offer(ctx context.Context, name string, w who, prog *program) error {
	h.mu.Lock()
	t := h.templates[name]
	if t == nil {
		t = &template{of: map[string]int{}}
		h.templates[name] = t
	}
	t.prog = prog
	h.mu.Unlock()
	if !prog.def.Manifest.Durable {
		return nil
	}
	for _, unit := range h.book.instancesOf(name) {
		snap := h.book.snapshot(unit)
		if spec, ok := prog.def.State(snap.State); ok && spec.Final != "" {
			h.book.forget(unit)
			continue
		}
		w.template, w.instance, w.ephemeral = name, strings.TrimPrefix(unit, name+":"), true
		if err := h.start(ctx, unit, w, prog, snap.Input); err != nil {
			return err
		}
	}
	return nil
}

// withdraw forgets a template and returns the names of its instances.
func (h *Host) withdraw(name string) (instances []string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.templates[name] == nil {
		return nil, false
	}
	delete(h.templates, name)
	for unit, u := range h.units {
		if u.who.template == name {
			instances = append(instances, unit)
		}
	}
	return instances, true
}

// Spawn implements watchers.Spawner. The errors are ErrUnknownTemplate, ErrTooMany, ErrStopped and those of the input.
func (h *Host) Spawn(ctx context.Context, o watchers.SpawnOrder) (started bool, err error) {
	w := h.whoOf(Deployment{Identity: o.Identity, Instance: o.Key})
	w.template, w.ephemeral, w.beneficiary = w.scope+o.Template, true, o.For
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("starting an instance of %q: %w", w.template, err)
	}
	if o.Key == "" {
		return fail(errors.New("its key is empty"))
	}
	input, err := machine.CheckInput(o.Input)
	if err != nil {
		return fail(err)
	}
	name := w.template + ":" + o.Key
	u, prog, err := h.admit(name, w, o)
	switch {
	case err != nil:
		return fail(err)
	case u == nil:
		return false, nil
	}
	if err := u.command(ctx, func() { u.install(prog, input) }); err != nil {
		return fail(err)
	}
	return true, nil
}

// admit makes the unit of an instance, nil where there is one of the key.
func (h *Host) admit(name string, w who, o watchers.SpawnOrder) (*unit, *program, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.templates[w.template]
	if t == nil {
		return nil, nil, ErrUnknownTemplate
	}
	t.limit = o.Limit
	switch {
	case h.units[name] != nil:
		return nil, nil, nil
	case o.LimitFor > 0 && t.of[o.For] >= o.LimitFor:
		return nil, nil, fmt.Errorf("%w: %d for %q", ErrTooMany, o.LimitFor, o.For)
	case o.Limit > 0 && t.running >= o.Limit:
		return nil, nil, fmt.Errorf("%w: %d", ErrTooMany, o.Limit)
	}
	u := newUnit(h, name, w)
	h.include(u)
	h.metrics.machines.Set(float64(len(h.units)))
	return u, t.prog, nil
}

// Instances is how many instances of a template run.
type Instances struct {
	Template string // its name, with the identity and a slash before it where that is not the host's
	Machine  string // the name in its manifest
	Running  int
	Limit    int // how many may run at once, as the last that started one said; 0 is no limit
}

// Instances counts the instances of all templates, in no order.
func (h *Host) Instances() []Instances {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]Instances, 0, len(h.templates))
	for name, t := range h.templates {
		all = append(all, Instances{Template: name, Machine: t.prog.def.Manifest.Name, Running: t.running, Limit: t.limit})
	}
	return all
}

// forget drops what is left of an instance that has left the host.
func (h *Host) forget(u *unit) {
	if u.who.template == "" {
		return
	}
	h.mu.Lock()
	if t := u.template; t != nil {
		t.running--
		if n := t.of[u.who.beneficiary]; n > 1 {
			t.of[u.who.beneficiary] = n - 1
		} else {
			delete(t.of, u.who.beneficiary)
		}
	}
	h.mu.Unlock()
	if u.ended() {
		h.book.forget(u.name)
		h.removeScratch(u)
	}
}

// ended reports whether the machine is in a final state.
func (u *unit) ended() bool {
	if u.snap == nil {
		return false
	}
	spec, _ := u.prog.def.State(u.snap.State)
	return spec.Final != ""
}
