package runtime

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// book is what the synced records add up to: every durable machine's snapshot, machines that are not deployed at
// the moment included, and the subscriptions that have fired and were not yet taken. It is a view that the
// journal can rebuild, and what a checkpoint is made of.
type book struct {
	mu        sync.Mutex
	snapshots map[string]*machine.Snapshot
	instances map[string]map[string]bool // the names in snapshots that are instances, by their templates
	pending   map[string][]delivery      // by the subscribed machine, in order
}

// delivery is an event of one machine on its way to a subscribed one.
type delivery struct {
	Machine string `json:"machine"` // who took the event
	Seq     uint64 `json:"seq"`     // in which record
	Event   string `json:"event"`
	noted   bool   // in the publisher's record: the book has it until it is taken
}

// maxPending bounds the deliveries that wait for one machine.
const maxPending = 4096

// bookEntry is one machine's part of a checkpoint.
type bookEntry struct {
	Snapshot json.RawMessage `json:"snapshot"`
	Pending  []delivery      `json:"pending,omitempty"`
}

func newBook() *book {
	return &book{snapshots: map[string]*machine.Snapshot{}, instances: map[string]map[string]bool{}, pending: map[string][]delivery{}}
}

// replay takes one entry of the journal.
func (b *book) replay(e journal.Entry) error {
	switch e.Kind {
	case journal.KindCheckpoint:
		var entry bookEntry
		if err := json.Unmarshal(e.Data, &entry); err != nil {
			return fmt.Errorf("reading the checkpoint of machine %q: %w", e.Key, err)
		}
		s, err := machine.DecodeSnapshot(entry.Snapshot)
		if err != nil {
			return fmt.Errorf("reading the checkpoint of machine %q: %w", e.Key, err)
		}
		b.keep(e.Key, s)
		b.pending[e.Key] = entry.Pending
	case journal.KindRecord:
		r, err := machine.DecodeRecord(e.Data)
		if err != nil {
			return fmt.Errorf("reading a record of machine %q: %w", e.Key, err)
		}
		var s machine.Snapshot
		if old := b.snapshots[e.Key]; old != nil {
			s = *old
		}
		s = s.Apply(r, machine.HashRecord(e.Data))
		b.commit(e.Key, &s, r)
	}
	return nil
}

// commit takes a synced record with the snapshot after it.
func (b *book) commit(name string, s *machine.Snapshot, r *machine.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep(name, s)
	for _, target := range r.Notify {
		b.pending[target] = append(b.pending[target], delivery{Machine: name, Seq: r.Seq, Event: r.Event})
	}
	if r.Cause.Kind == machine.CauseSubscription {
		b.remove(name, r.Cause.Machine, r.Cause.Seq)
	}
}

// keep notes a machine's snapshot; under the lock.
func (b *book) keep(name string, s *machine.Snapshot) {
	if template, _, ok := strings.Cut(name, ":"); ok && b.snapshots[name] == nil {
		if b.instances[template] == nil {
			b.instances[template] = map[string]bool{}
		}
		b.instances[template][name] = true
	}
	b.snapshots[name] = s
}

// cancel forgets a delivery that nothing takes any more.
func (b *book) cancel(name string, d delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(name, d.Machine, d.Seq)
}

func (b *book) remove(name, from string, seq uint64) {
	waiting := slices.DeleteFunc(b.pending[name], func(d delivery) bool { return d.Machine == from && d.Seq == seq })
	if len(waiting) == 0 {
		delete(b.pending, name)
		return
	}
	b.pending[name] = waiting
}

// snapshot returns a machine's last synced snapshot, nil for a machine that never ran.
func (b *book) snapshot(name string) *machine.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snapshots[name]
}

// digests are those of the manifests by which the snapshots were recorded.
func (b *book) digests() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]bool, len(b.snapshots))
	for _, s := range b.snapshots {
		all[s.Digest] = true
	}
	return all
}

// forget drops an instance that has ended.
func (b *book) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.snapshots, name)
	delete(b.pending, name)
	template, _, _ := strings.Cut(name, ":")
	if delete(b.instances[template], name); len(b.instances[template]) == 0 {
		delete(b.instances, template)
	}
}

// instancesOf returns the instances of a template, in order.
func (b *book) instancesOf(template string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.instances[template]))
}

// waiting returns the deliveries that a machine has not taken.
func (b *book) waiting(name string) []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.pending[name])
}

// owes reports whether a delivery has not been taken yet.
func (b *book) owes(name string, d delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.pending[name], func(w delivery) bool { return w.Machine == d.Machine && w.Seq == d.Seq })
}

// room reports whether one more delivery may wait for a machine.
func (b *book) room(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending[name]) < maxPending
}

// checkpoint writes the book.
func (b *book) checkpoint(put func(key string, state []byte) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, s := range b.snapshots {
		// As bookEntry, whose raw snapshot would be gone through and copied once more.
		state, err := json.Marshal(struct {
			Snapshot *machine.Snapshot `json:"snapshot"`
			Pending  []delivery        `json:"pending,omitempty"`
		}{s, b.pending[name]})
		if err != nil {
			return fmt.Errorf("encoding the checkpoint of machine %q: %w", name, err)
		}
		if err := put(name, state); err != nil {
			return err
		}
	}
	return nil
}
