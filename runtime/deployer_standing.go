package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// fits holds a manifest against an order.
func fits(m *machine.Manifest, o *watchers.DeployOrder) error {
	switch {
	case m.Name != o.Name:
		return fmt.Errorf("its manifest is of the machine %q: %w", m.Name, watchers.ErrUndeployable)
	case o.Version != "" && m.Version != o.Version:
		return fmt.Errorf("its manifest is of version %s, %s is wanted: %w", m.Version, o.Version, watchers.ErrUndeployable)
	}
	return nil
}

// Remove implements watchers.Deployer.
func (d *Deployer) Remove(ctx context.Context, identity, name string) error {
	h := d.cfg.Host()
	unit := h.unitOf(identity, name)
	defer d.begin(unit)()
	if !d.owns(unit) {
		return nil
	}
	builtIn, replaced := d.builtIn(name)
	if replaced && h.offered(unit) != nil { // instances end by what they began with
		err := h.Deploy(ctx, builtIn)
		if err == nil {
			d.disclaim(unit)
		}
		return err
	}
	if err := h.Remove(ctx, unit); err != nil && !errors.Is(err, ErrUnknownMachine) {
		return err
	}
	if replaced { // from its beginning: what was removed may have left a state in which nothing is done
		if err := h.Deploy(ctx, builtIn); err != nil {
			return fmt.Errorf("starting the built-in machine %q again: %w", name, err)
		}
	}
	d.disclaim(unit)
	return nil
}

// Standing implements watchers.Deployer.
func (d *Deployer) Standing(identity, name string) (watchers.Standing, bool) {
	h := d.cfg.Host()
	unit := h.unitOf(identity, name)
	if _, replaceable := d.builtIn(name); replaceable && !d.owns(unit) {
		return watchers.Standing{}, false
	}
	if u, ok := h.unit(unit); ok {
		return u.standing()
	}
	if p := h.offered(unit); p != nil && d.owns(unit) {
		return watchers.Standing{Version: p.def.Manifest.Version, Digest: p.def.Manifest.Digest.String(), Home: true, Started: true}, true
	}
	return watchers.Standing{}, false
}

// standing is how a unit is, as others may see it. It is not there before it has a program.
func (u *unit) standing() (watchers.Standing, bool) {
	p := u.published.Load()
	if p == nil {
		return watchers.Standing{}, false
	}
	m, snap := p.prog.def.Manifest, p.snap
	spec, known := p.prog.def.State(snap.State)
	digest := m.Digest.String()
	s := watchers.Standing{
		Version: m.Version, Digest: digest, State: snap.State,
		Started: known && snap.Digest == digest, Failed: spec.Final == machine.FinalFailure,
	}
	declared := slices.ContainsFunc(m.States, func(s machine.StateSpec) bool { return s.Home })
	s.Home = s.Started && !s.Failed && (!declared || spec.Home || spec.Final == machine.FinalSuccess)
	return s, true
}

// Machines implements watchers.Deployer.
func (d *Deployer) Machines(identity string) map[string]watchers.Standing {
	h := d.cfg.Host()
	scope := h.unitOf(identity, "")
	found := map[string]watchers.Standing{}
	for _, u := range h.those(scope, "") {
		if s, ok := u.standing(); ok {
			found[strings.TrimPrefix(u.name, scope)] = s
		}
	}
	return found
}

// those are the units of an identity that are instances of a template, or of none where it is "".
func (h *Host) those(scope, template string) []*unit {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var units []*unit
	for _, u := range h.scopes[scope] {
		if u.who.template == template {
			units = append(units, u)
		}
	}
	return units
}

// Instances implements watchers.Deployer.
func (d *Deployer) Instances(identity, template string) map[string]map[string]any {
	h := d.cfg.Host()
	found := map[string]map[string]any{}
	for _, u := range h.those(h.unitOf(identity, ""), h.unitOf(identity, template)) {
		found[u.who.instance] = nil
		if p := u.published.Load(); p != nil {
			found[u.who.instance] = maps.Clone(p.snap.Input)
		}
	}
	return found
}

// Signal implements watchers.Deployer. It returns when what the instance made of the event is recorded.
func (d *Deployer) Signal(ctx context.Context, identity, template, key, event string, payload map[string]any) (bool, error) {
	h := d.cfg.Host()
	u, ok := h.unit(h.unitOf(identity, template) + ":" + key)
	if !ok {
		return false, nil
	}
	fired, err := u.tell(ctx, machine.Event{Name: event, Payload: payload, Cause: machine.Cause{Kind: machine.CauseSignal}})
	switch {
	case errors.Is(err, ErrUnknownMachine):
		return false, nil // it has just ended
	case err != nil:
		return true, fmt.Errorf("telling %q of %q: %w", u.name, event, err)
	case fired.Record.Kind == machine.RecordRefused:
		return true, fmt.Errorf("telling %q of %q: %s", u.name, event, fired.Record.Reason)
	}
	return true, nil
}

// tell gives a unit an event and waits for its record.
func (u *unit) tell(ctx context.Context, ev machine.Event) (Fired, error) {
	var fired Fired
	var refused error
	answered := make(chan struct{})
	m := message{event: &ev, reply: func(f Fired, err error) {
		fired, refused = f, err
		close(answered)
	}}
	if err := u.post(m, false, u.host.cfg.InboxSize); err != nil {
		return fired, err
	}
	if err := u.await(ctx, answered); err != nil {
		return Fired{}, err
	}
	return fired, refused
}
