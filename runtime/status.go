package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// MachineStatus is a machine at a glance.
type MachineStatus struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	State   string    `json:"state"` // "" before the first record
	Since   time.Time `json:"since"` // when the state was entered
	Seq     uint64    `json:"seq"`
	Epoch   uint64    `json:"epoch"`
	Durable bool      `json:"durable"`
	Final   string    `json:"final,omitempty"` // success or failure, once the machine has ended
	// ThrottledSince is when the machine's events began to wait for its brake; zero where none has for a while.
	ThrottledSince time.Time `json:"throttled_since,omitzero"`
}

// MachineDetail is a machine in full.
type MachineDetail struct {
	MachineStatus
	Digest    string          `json:"digest"`
	Directory string          `json:"directory"`
	Data      map[string]any  `json:"data"`
	Waiting   int             `json:"waiting"` // messages in its inbox
	Throttled bool            `json:"throttled"`
	Pace      string          `json:"pace"`             // how fast the machine may turn for long, in words
	Groups    []string        `json:"groups,omitempty"` // that the state is in
	Deadline  *DeadlineStatus `json:"deadline,omitempty"`
	Watchers  []WatcherStatus `json:"watchers"`
}

// DeadlineStatus is the next deadline of the present state, or of a group that it is in.
type DeadlineStatus struct {
	Event string    `json:"event"`
	At    time.Time `json:"at"`
	Group string    `json:"group,omitempty"` // "" where it is the state's own
}

// WatcherStatus is what one watcher does at the moment.
type WatcherStatus struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"`
	Active  bool      `json:"active"`
	Running bool      `json:"running"`
	Next    time.Time `json:"next,omitzero"` // look
	Outcome string    `json:"outcome,omitempty"`
	Message string    `json:"message,omitempty"`
	Skipped string    `json:"skipped,omitempty"`
	At      time.Time `json:"at,omitzero"` // of the last outcome
	Took    string    `json:"took,omitempty"`
}

// Health is the host's own state.
type Health struct {
	Identity string   `json:"identity"`
	Machines int      `json:"machines"`
	Durable  bool     `json:"durable"`
	Degraded []string `json:"degraded,omitempty"` // reasons, empty when all is well
}

// Machines returns every machine, by name. It reads what is published and waits for no turn.
func (h *Host) Machines() []MachineStatus {
	var list []MachineStatus
	for _, u := range h.all() {
		if p := u.published.Load(); p != nil {
			list = append(list, u.status(p))
		}
	}
	return list
}

func (u *unit) status(p *published) MachineStatus {
	m := p.prog.def.Manifest
	spec, _ := p.prog.def.State(p.snap.State)
	return MachineStatus{
		Name: u.name, Version: m.Version, State: p.snap.State, Since: p.snap.Entered,
		Seq: p.snap.Seq, Epoch: p.snap.Epoch, Durable: m.Durable, Final: string(spec.Final),
		ThrottledSince: u.throttledSince(),
	}
}

// Machine returns one machine in full, as it may be shown: with machine.Concealed in place of secrets. It waits for a turn of the machine.
func (h *Host) Machine(ctx context.Context, name string) (MachineDetail, error) {
	u, ok := h.unit(name)
	if !ok {
		return MachineDetail{}, fmt.Errorf("machine %q: %w", name, ErrUnknownMachine)
	}
	var detail MachineDetail
	deployed := false
	err := u.command(ctx, func() {
		if deployed = u.prog != nil; deployed {
			detail = u.detail()
		}
	})
	if err == nil && !deployed {
		err = fmt.Errorf("machine %q: %w", name, ErrUnknownMachine) // it is about to be deployed for the first time
	}
	if err != nil {
		return MachineDetail{}, err
	}
	return detail, nil
}

// Glance returns a machine's state and its data, as they may be shown, without waiting for a turn; false where there is no such machine, or
// nothing of it is known yet.
func (h *Host) Glance(name string) (state string, data map[string]any, ok bool) {
	u, ok := h.unit(name)
	if !ok {
		return "", nil, false
	}
	p := u.published.Load()
	if p == nil {
		return "", nil, false
	}
	return p.snap.State, p.prog.def.ConcealData(p.snap.Data), true
}

// Definition returns what a machine runs at the moment.
func (h *Host) Definition(name string) (*machine.Definition, bool) {
	if u, ok := h.unit(name); ok {
		if p := u.published.Load(); p != nil {
			return p.prog.def, true
		}
	}
	return nil, false
}

func (u *unit) detail() MachineDetail {
	p := u.published.Load()
	d := MachineDetail{
		MachineStatus: u.status(p), Digest: p.prog.def.Manifest.Digest.String(),
		Directory: p.prog.directory, Data: u.shownData(p), Throttled: u.slowed.Load() != nil, Pace: p.prog.def.Manifest.Pace(),
	}
	u.box.mu.Lock()
	d.Waiting = u.box.operator.len() + u.box.others.len()
	u.box.mu.Unlock()
	if u.snap == nil {
		return d
	}
	d.Groups = u.prog.def.GroupsOf(u.snap.State)
	if next, ok := u.deadline(); ok {
		d.Deadline = &DeadlineStatus{Event: next.after.Event, At: u.wall.Add(next.due - u.elapsed)}
		if next.group != nil {
			d.Deadline.Group = next.group.Name
		}
	}
	for i := range u.watches {
		d.Watchers = append(d.Watchers, u.watcherStatus(i))
	}
	return d
}

func (u *unit) watcherStatus(i int) WatcherStatus {
	w, spec := &u.watches[i], u.prog.spec(i)
	s := WatcherStatus{Name: spec.Name, Type: spec.Type, Active: w.activation != 0, Running: w.running != nil}
	if w.due > 0 {
		s.Next = u.wall.Add(w.due - u.elapsed)
	}
	if l := w.last; l != nil {
		s.Outcome, s.Message, s.At, s.Skipped = l.outcome, l.message, l.at, l.skipped
		if l.took > 0 {
			s.Took = l.took.String()
		}
	}
	return s
}

// Health reports whether the host keeps its promises, and why not.
func (h *Host) Health() Health {
	h.mu.RLock()
	health := Health{Identity: h.cfg.Identity, Machines: len(h.units), Durable: h.store != nil}
	h.mu.RUnlock()
	if h.cfg.Degraded != nil {
		health.Degraded = h.cfg.Degraded()
	}
	health.Degraded = append(health.Degraded, h.throttledTooLong()...)
	health.Degraded = append(health.Degraded, h.starving.degraded()...)
	if h.store == nil {
		return health
	}
	s := h.store.Status()
	health.Durable = s.Durable
	if !s.Durable {
		health.Degraded = append(health.Degraded, fmt.Sprintf("the log cannot be written since %s: %v", s.Since.Format(time.RFC3339), s.Fault))
	}
	for _, d := range s.Damage {
		health.Degraded = append(health.Degraded, fmt.Sprintf("the log was damaged when it was opened: %s at byte %d: %s", d.Segment, d.Offset, d.Reason))
	}
	health.Degraded = append(health.Degraded, h.secretsDegraded()...)
	return health
}

// HistoryEntry is a record as it was stored, or a gap in the records.
type HistoryEntry struct {
	Record *machine.Record
	Unit   string // the machine's name on the host
	JSON   []byte // the exact bytes of the record, nil where it was never stored
	Gap    *journal.Gap
}

// History calls f with the records of a machine that are kept, oldest first.
func (h *Host) History(ctx context.Context, name string, f func(HistoryEntry) error) error {
	if u, ok := h.unit(name); ok {
		var recent []*machine.Record
		if err := u.command(ctx, func() { recent = u.remembered() }); err != nil {
			return err
		}
		for _, r := range recent {
			if err := f(HistoryEntry{Record: u.shown(r)}); err != nil {
				return err
			}
		}
	}
	if h.store == nil {
		return nil
	}
	return h.store.History(ctx, name, func(e journal.Entry) error { return eachEntry(e, f) })
}

// ReadHistory is History for the state folder of a host that is not running.
func ReadHistory(ctx context.Context, stateDir, name string, f func(HistoryEntry) error) error {
	return journal.ReadDir(ctx, journalDir(stateDir), name, func(e journal.Entry) error { return eachEntry(e, f) })
}

func eachEntry(e journal.Entry, f func(HistoryEntry) error) error {
	switch e.Kind {
	case journal.KindRecord:
		r, err := machine.DecodeRecord(e.Data)
		if err != nil {
			return fmt.Errorf("machine %q: %w", e.Key, err)
		}
		return f(HistoryEntry{Record: r, Unit: e.Key, JSON: e.Data})
	case journal.KindGap:
		var g journal.Gap
		if err := json.Unmarshal(e.Data, &g); err != nil {
			return fmt.Errorf("reading a gap of the host log: %w", err)
		}
		return f(HistoryEntry{Gap: &g})
	}
	return nil
}
