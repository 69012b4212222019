package runtime

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/clock"
)

// Simulation is a host in virtual time, driven by its caller: nothing happens but in its methods, on the caller's
// goroutine. It takes the same turns through the same code as a running host. Not for concurrent use.
type Simulation struct {
	*Host
	clock *clock.Virtual
}

// NewSimulation makes a host that keeps everything in memory. cfg.Clock must be nil: virtual takes its place. Looks that
// would need a goroutine go to cfg.Intercept, which is required.
func NewSimulation(cfg Config, virtual *clock.Virtual) (*Simulation, error) {
	cfg.Clock, cfg.StateDir = virtual, ""
	h, err := New(cfg)
	if err != nil {
		return nil, err
	}
	h.publisher.direct = true
	s := &Simulation{Host: h, clock: virtual}
	return s, nil
}

// simulated reports whether the host is driven by a Simulation.
func (h *Host) simulated() bool { return h.publisher.direct }

// after calls f once d has passed, in virtual time where the host is simulated. f must not block.
func (h *Host) after(d time.Duration, f func()) (stop func()) {
	if h.simulated() {
		return h.timers.after(d, f)
	}
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// settle gives turns until no unit has anything to do at the present time.
func (h *Host) settle() {
	for {
		for u := h.runq.tryPop(); u != nil; u = h.runq.tryPop() {
			u.turn()
		}
		due, ok := h.timers.next()
		if !ok || due > h.cfg.Clock.Elapsed() {
			return
		}
		h.timers.fire()
	}
}

// Settle lets everything happen that can happen without time passing.
func (s *Simulation) Settle() { s.settle() }

// Advance lets time pass, stopping at every instant at which something is due.
func (s *Simulation) Advance(d time.Duration) {
	end := s.clock.Elapsed() + d
	s.settle()
	for {
		due, ok := s.timers.next()
		if !ok || due > end {
			break
		}
		s.clock.Advance(max(0, due-s.clock.Elapsed()))
		s.settle()
	}
	s.clock.Advance(end - s.clock.Elapsed())
	s.settle()
}

// Next returns the time until something is due, 0 where something is already; false where nothing is.
func (s *Simulation) Next() (time.Duration, bool) {
	due, ok := s.timers.next()
	return max(0, due-s.clock.Elapsed()), ok
}

// First has change called with the first record of every machine that starts from now on, so that a test begins
// in another state or with other data.
func (s *Simulation) First(change func(*machine.Record)) { s.first = change }

// SetWall sets the wall clock, as an administrator would.
func (s *Simulation) SetWall(t time.Time) {
	s.clock.SetWall(t)
	s.clockJumped()
	s.settle()
}

// Suspend lets time pass as it does while the system sleeps: nothing happens before the end of it.
func (s *Simulation) Suspend(d time.Duration) {
	s.clock.Suspend(d)
	s.clockJumped()
	s.settle()
}

// Restart ends every machine as a crash of the host would, and starts them again from what was recorded.
func (s *Simulation) Restart(ctx context.Context) error {
	var again []Deployment
	units := s.all()
	slices.SortFunc(units, func(a, b *unit) int { return strings.Compare(a.name, b.name) })
	for _, u := range units {
		again = append(again, Deployment{
			Name: strings.TrimPrefix(u.name, u.who.scope), Definition: u.prog.def, Directory: u.prog.directory, Content: u.prog.content,
			Identity: u.who.identity, Input: u.input, Instance: u.who.instance,
		})
		u.box.phase = gone
		s.timers.set(u, -1)
		s.index.replace(u, u.prog, nil)
		for i := range u.watches {
			if l := u.watches[i].running; l != nil {
				l.cancel()
			}
		}
	}
	s.governors.stop()
	s.looks.stop()
	s.looks, s.governors = newLookPool(s.cfg.MaxLooks, s.cfg.Intercept), newGovernors(s.cfg.Governors, s.after)
	s.starving.of = nil
	s.units = map[string]*unit{}
	for s.runq.tryPop() != nil {
	}
	for _, d := range again {
		if err := s.Deploy(ctx, d); err != nil {
			return err
		}
	}
	s.settle()
	return nil
}
