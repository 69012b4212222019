package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/statecraft-io/statecraft/machine"
)

// Deployment is a machine for a host to run.
type Deployment struct {
	Definition *machine.Definition
	// Name is what the host calls the machine; empty is the manifest's name. Several machines of
	// different names may share a definition.
	Name string
	// Identity is who the machine runs as; empty is the host's. The machines of one identity see each other by their names; their names on
	// the host begin with "<identity>/" where the identity is another than the host's.
	Identity string
	// Input is what expressions read as input: the site's configuration of the machine, at most machine.MaxPayload bytes.
	Input map[string]any
	// Instance is the key of a template's instance that starts at once and stays when it has ended. A template without it only becomes known, for Spawn.
	Instance string
	// Directory is the payload, absolute; watchers run in it. Empty for machines without one.
	Directory string
	// Content identifies the payload's files; a Deploy with the same definition, folder and content changes nothing.
	Content string
	// Intact is asked before each look that may use the payload, on the look's goroutine: an error fails the look, which does not happen. It
	// belongs to folder and content. Nil asks nothing.
	Intact func() error
	// Origin is by whose word it runs.
	Origin Origin
}

// Deploy starts a machine or replaces the one of the same name, which goes on in its state and with its data. Everything is validated
// before the running machine is touched: after an error it runs as before. It returns when the machine has
// taken its place (its first record may be waiting for its splay).
func (h *Host) Deploy(ctx context.Context, d Deployment) error {
	w := h.whoOf(d)
	name := w.scope + cmp.Or(d.Name, d.Definition.Manifest.Name)
	prog, problems := h.prepare(d)
	if err := problems.Err(); err != nil {
		return fmt.Errorf("machine %q: %w", name, err)
	}
	input, err := machine.CheckInput(d.Input)
	if err != nil {
		return fmt.Errorf("machine %q: %w", name, err)
	}
	h.keepManifest(d.Definition)
	if d.Definition.Manifest.Kind == machine.KindTemplate && d.Instance == "" {
		return h.offer(ctx, name, w, prog)
	}
	return h.start(ctx, name, w, prog, input)
}

// whoOf returns what a deployment says of the unit beside its program.
func (h *Host) whoOf(d Deployment) who {
	w := who{identity: cmp.Or(d.Identity, h.cfg.Identity), instance: d.Instance}
	if w.identity != h.cfg.Identity {
		w.scope = w.identity + "/"
	}
	return w
}

// start lets a unit run a program.
func (h *Host) start(ctx context.Context, name string, w who, prog *program, input map[string]any) error {
	for {
		u, _ := h.enter(name, w)
		err := u.command(ctx, func() { u.install(prog, input) })
		if !errors.Is(err, ErrUnknownMachine) {
			return err
		}
		// The machine was being removed and has left now: another takes its place.
	}
}

// enter returns the unit of a name, which is made where there is none.
func (h *Host) enter(name string, w who) (u *unit, made bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u, known := h.units[name]
	if !known {
		u = newUnit(h, name, w)
		h.include(u)
		h.metrics.machines.Set(float64(len(h.units)))
	}
	return u, !known
}

// include makes a unit known, and counts an instance. It is called under the lock.
func (h *Host) include(u *unit) {
	if t := h.templates[u.who.template]; t != nil {
		u.template = t
		t.running++
		if u.who.beneficiary != "" {
			t.of[u.who.beneficiary]++
		}
	}
	h.units[u.name] = u
	if h.scopes[u.who.scope] == nil {
		h.scopes[u.who.scope] = map[string]*unit{}
	}
	h.scopes[u.who.scope][u.name] = u
}

// exclude forgets a unit. It is called under the lock.
func (h *Host) exclude(u *unit) {
	delete(h.units, u.name)
	delete(h.scopes[u.who.scope], u.name)
	if len(h.scopes[u.who.scope]) == 0 {
		delete(h.scopes, u.who.scope)
	}
}

// Remove stops a machine and waits until its looks have ended, at most a second. Its state stays in the journal, so that
// a later Deploy of the name goes on from it.
//
// Of a template every instance is removed.
func (h *Host) Remove(ctx context.Context, name string) error {
	if instances, known := h.withdraw(name); known {
		var errs []error
		for _, u := range instances {
			if err := h.Remove(ctx, u); err != nil && !errors.Is(err, ErrUnknownMachine) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	u, ok := h.unit(name)
	if !ok {
		return fmt.Errorf("removing %q: %w", name, ErrUnknownMachine)
	}
	if err := u.post(message{control: u.retire}, true, 0); err != nil {
		return fmt.Errorf("removing %q: %w", name, err)
	}
	return u.await(ctx, u.left)
}

// command runs f in the unit's turn and waits for it. A unit that is being removed runs nothing any more; the error is
// ErrUnknownMachine when it has left.
func (u *unit) command(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	err := u.post(message{control: func() {
		if !u.removed {
			defer close(ran)
			f()
		}
	}}, true, 0)
	if err == nil {
		err = u.await(ctx, ran)
	}
	if err != nil {
		return fmt.Errorf("machine %q: %w", u.name, err)
	}
	return nil
}

// await waits for something that a turn of the unit does; the error is ErrUnknownMachine where the unit leaves the host before.
func (u *unit) await(ctx context.Context, done <-chan struct{}) error {
	if u.host.simulated() {
		u.host.settle()
		return u.answered(done)
	}
	select {
	case <-done:
		return nil
	case <-u.left:
		return u.answered(done)
	case <-ctx.Done():
		return ctx.Err()
	case <-u.host.stopped:
		return ErrStopped
	}
}

// answered is nil where a turn of the unit has done what is waited for.
func (u *unit) answered(done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-u.left:
		return ErrUnknownMachine
	default:
		return ErrWaiting
	}
}

// install puts a program in place of the present one.
func (u *unit) install(p *program, input map[string]any) {
	old := u.prog
	if old != nil && old.same(p) && reflect.DeepEqual(u.input, input) {
		return
	}
	u.input = input
	u.exchange(p)
	u.secretive = u.secretive || p.def.HasSecrets()
	if old != nil && old.def.Manifest.Durable != p.def.Manifest.Durable {
		u.snap = nil // a history in memory and one in the log cannot continue each other
	}
	switch {
	case u.snap != nil:
		rec := p.def.Replace(u.snap, u.wall)
		rec.WithInput(u.snap, u.input)
		if old != nil {
			u.reseal(&rec, p.def.Orphans(old.def, u.snap))
		}
		u.record(rec, nil)
	case u.bootAt > 0:
	default:
		u.bootAt = u.elapsed + u.host.cfg.Random(p.def.Manifest.SplayStart)
		if u.bootAt <= u.elapsed {
			u.bootAt = 0
			u.boot()
		}
	}
	u.publishProgram(old)
}

// exchange puts the watchers of a program in place of the present ones. Looks that still run stay in the way of new ones.
func (u *unit) exchange(p *program) {
	running := map[string]*look{}
	for i := range u.watches {
		if u.watches[i].activation != 0 {
			u.end(i)
		}
		if l := u.watches[i].running; l != nil {
			running[l.name] = l
		}
	}
	u.unthrottle()
	u.prog, u.watches = p, make([]watch, len(p.prepared))
	for i := range u.watches {
		u.watches[i].running = running[p.spec(i).Name]
	}
}

// publishProgram shows the new program to subscriptions and foreign states, with the last recorded snapshot.
func (u *unit) publishProgram(old *program) {
	snap := u.snap
	if snap == nil {
		snap = &machine.Snapshot{}
	}
	u.published.Store(&published{prog: u.prog, snap: snap})
	u.host.index.replace(u, old, u.prog)
}

// boot records the machine's start, or that it goes on after a restart of the host.
func (u *unit) boot() {
	def, at := u.prog.def, u.wall
	var snap *machine.Snapshot
	var gone []string
	var waiting []delivery
	if def.Manifest.Durable {
		waiting = u.host.book.waiting(u.name)
		snap, gone = u.restored()
	}
	var rec machine.Record
	switch {
	case snap == nil:
		rec = def.Start(u.origin(), at)
		if first := u.host.first; first != nil {
			first(&rec)
		}
	case snap.Digest == def.Manifest.Digest.String() || def.Manifest.OnRestart == machine.Initial:
		rec = def.Recover(snap, at)
	default:
		rec = def.Replace(snap, at)
	}
	u.snap = snap
	if snap != nil {
		if u.who.instance == "" {
			rec.WithInput(snap, u.input) // an instance keeps what it was started with
		}
		u.since = u.elapsed - max(0, u.wall.Sub(snap.Entered))
		u.enterGroups(nil, u.wall, u.elapsed)
	}
	u.reseal(&rec, gone)
	u.record(rec, nil)
	for _, d := range waiting {
		d.noted = true
		_ = u.post(message{delivery: &d}, false, 0)
	}
}

// origin is what the machine's first record says.
func (u *unit) origin() machine.Origin {
	o := machine.Origin{Instance: u.who.instance, Input: u.input}
	if u.who.ephemeral {
		o.Cause = machine.Cause{Kind: machine.CauseSpawn}
	}
	return o
}

// retire ends every activation. The unit leaves the host when no look of the machine is left.
func (u *unit) retire() {
	if u.removed {
		return
	}
	for i := range u.watches {
		w := &u.watches[i]
		if w.activation != 0 {
			u.end(i)
		}
		if w.running != nil {
			w.running.stop()
		}
	}
	u.removed, u.removeBy, u.bootAt = true, u.elapsed+stopGrace, 0
	u.unthrottle() // the reports of its looks must not wait
}

// quiet reports whether no look of the machine is left, or waited for any longer.
func (u *unit) quiet() bool {
	if u.elapsed >= u.removeBy {
		return true
	}
	for i := range u.watches {
		if u.watches[i].running != nil {
			return false
		}
	}
	return true
}

// leaveHost takes a removed unit out of the host, which forgets it before its inbox is closed: who finds that closed may look for the
// unit that has taken its place.
func (u *unit) leaveHost() {
	h := u.host
	h.mu.Lock()
	h.exclude(u)
	h.metrics.machines.Set(float64(len(h.units)))
	h.mu.Unlock()
	u.box.mu.Lock()
	u.box.phase = gone
	waiting := append(u.box.operator.items[u.box.operator.head:], u.box.others.items[u.box.others.head:]...)
	u.box.operator, u.box.others = fifo{}, fifo{}
	u.box.mu.Unlock()
	h.timers.set(u, -1)
	h.index.replace(u, u.prog, nil)
	for _, m := range waiting {
		if m.reply != nil {
			m.reply(Fired{}, ErrUnknownMachine)
		}
	}
	h.stateChanged(u.name)
	h.forget(u)
	close(u.left)
}
