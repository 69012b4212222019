package runtime

import (
	"slices"

	"github.com/statecraft-io/statecraft/machine"
)

// index says which machines wait for what of which others. It is replaced as a whole when a machine comes or goes.
type index struct {
	subscribers map[subscription][]*unit
	dependents  map[string][]*unit // whose watchers require a state of the machine
}

// reindex rebuilds the index from the published programs.
func (h *Host) reindex() {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &index{subscribers: map[subscription][]*unit{}, dependents: map[string][]*unit{}}
	for _, u := range h.units {
		p := u.published.Load()
		if p == nil {
			continue
		}
		for key := range p.prog.subscribed {
			x.subscribers[key] = append(x.subscribers[key], u)
		}
		for i := range p.prog.prepared {
			for _, f := range p.prog.spec(i).ForeignStateRequired {
				if !slices.Contains(x.dependents[f.Machine], u) {
					x.dependents[f.Machine] = append(x.dependents[f.Machine], u)
				}
			}
		}
	}
	h.index.Store(x)
}

// subscribers returns who is to hear of the event that a record takes, and notes the durable ones in the
// record, so that a restart between the two can make up for it.
func (h *Host) subscribers(u *unit, r *machine.Record) []*unit {
	targets := h.index.Load().subscribers[subscription{u.name, r.Event}]
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
		if p := t.published.Load(); u.journaled() && p != nil && p.prog.def.Manifest.Durable {
			r.Notify = append(r.Notify, t.name)
		}
	}
	slices.Sort(r.Notify)
	return reached
}

// deliverAll hands a taken event to the machines that are subscribed to it.
func (h *Host) deliverAll(u *unit, r *machine.Record, targets []*unit) {
	for _, t := range targets {
		d := delivery{Machine: u.name, Seq: r.Seq, Event: r.Event}
		if err := t.post(message{delivery: &d}, false, 0); err != nil {
			h.log.Debug("subscriber_gone", "machine", t.name, "from", u.name, "event", r.Event)
		}
	}
}

// stateChanged wakes the watchers that require a state of the machine.
func (h *Host) stateChanged(name string) {
	for _, t := range h.index.Load().dependents[name] {
		_ = t.post(message{foreign: name}, false, 0)
	}
}
