package runtime

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
)

// index says which machines wait for what of which others. Its lists are sorted by name and never modified in
// place, so that who has read one may go on using it.
type index struct {
	mu          sync.RWMutex
	subscribers map[subscription][]*unit
	dependents  map[string][]*unit // whose watchers require a state of the machine
}

func newIndex() *index {
	return &index{subscribers: map[subscription][]*unit{}, dependents: map[string][]*unit{}}
}

// replace enters what a unit waits for with its new program in place of what it waited for with its old one. Either
// may be nil.
func (x *index) replace(u *unit, old, next *program) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old != nil {
		for key := range old.subscribed {
			without(x.subscribers, key.within(u), u)
		}
		for _, name := range old.requires() {
			without(x.dependents, u.who.scope+name, u)
		}
	}
	if next != nil {
		for key := range next.subscribed {
			x.subscribers[key.within(u)] = with(x.subscribers[key.within(u)], u)
		}
		for _, name := range next.requires() {
			x.dependents[u.who.scope+name] = with(x.dependents[u.who.scope+name], u)
		}
	}
}

// within returns the subscription with the name that the machine has on the host for a unit.
func (s subscription) within(u *unit) subscription {
	return subscription{u.who.scope + s.machine, s.event}
}

func with(list []*unit, u *unit) []*unit {
	i, _ := slices.BinarySearchFunc(list, u.name, func(v *unit, name string) int { return strings.Compare(v.name, name) })
	return slices.Insert(slices.Clip(list), i, u)
}

func without[K comparable](lists map[K][]*unit, key K, u *unit) {
	rest := slices.DeleteFunc(slices.Clone(lists[key]), func(v *unit) bool { return v == u })
	if len(rest) == 0 {
		delete(lists, key)
		return
	}
	lists[key] = rest
}

func (x *index) subscribedTo(key subscription) []*unit {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.subscribers[key]
}

func (x *index) dependingOn(name string) []*unit {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.dependents[name]
}

// subscribers returns who is to hear of the event that a record takes, and notes the durable ones in the
// record, so that a restart between the two can make up for it.
func (h *Host) subscribers(u *unit, r *machine.Record) []*unit {
	targets := h.index.subscribedTo(subscription{cmp.Or(u.who.template, u.name), r.Event})
	if len(targets) == 0 {
		return nil
	}
	var reached []*unit
	for _, t := range targets {
		if !h.book.room(t.name) {
			h.metrics.overflow.Inc()
			h.log.Error("subscription_overflow", "machine", t.name, "from", u.name, "event", r.Event)
			continue
		}
		reached = append(reached, t)
		if p := t.published.Load(); u.prog.def.Manifest.Durable && p != nil && p.prog.def.Manifest.Durable {
			r.Notify = append(r.Notify, t.name)
		}
	}
	slices.Sort(r.Notify)
	return reached
}

// deliverAll hands a taken event to the machines that are subscribed to it.
func (h *Host) deliverAll(u *unit, r *machine.Record, targets []*unit) {
	for _, t := range targets {
		d := delivery{Machine: u.name, Seq: r.Seq, Event: r.Event, noted: slices.Contains(r.Notify, t.name)}
		limit := maxPending
		if d.noted {
			limit = 0 // the book bounds them
		}
		err := t.post(message{delivery: &d}, false, limit)
		if again, ok := h.unit(t.name); ok && errors.Is(err, ErrUnknownMachine) {
			err = again.post(message{delivery: &d}, false, limit) // it was removed and deployed anew meanwhile
		}
		switch {
		case errors.Is(err, ErrBusy):
			h.log.Error("subscription_overflow", "machine", t.name, "from", u.name, "event", r.Event)
		case err != nil:
			h.log.Debug("subscriber_gone", "machine", t.name, "from", u.name, "event", r.Event)
		}
	}
}

// stateChanged wakes the watchers that require a state of the machine.
func (h *Host) stateChanged(name string) {
	for _, t := range h.index.dependingOn(name) {
		_ = t.post(message{foreign: name}, false, 0)
	}
}
