package machine

import (
	"fmt"
	"maps"
	"reflect"
	"time"
)

// Origin is what a machine is started with. The zero Origin is that of a plain machine whose site configures nothing.
type Origin struct {
	Instance string         // the key of a template's instance
	Input    map[string]any // JSON values, at most MaxPayload bytes encoded: what expressions read as input
	Cause    Cause          // of kind CauseSpawn for instances; the zero Cause is CauseStart
}

// Start returns the first record of a machine, entering the initial state with the defaults of its data. Input that cannot
// be recorded is left out; CheckInput tells before.
func (d *Definition) Start(o Origin, at time.Time) Record {
	r := d.next(&Snapshot{}, at)
	r.Kind, r.Cause = RecordStart, Cause{Kind: CauseStart}
	if o.Cause.Kind != "" {
		r.Cause = o.Cause.valid()
	}
	r.Instance = o.Instance
	r.Arguments, _ = CheckInput(o.Input)
	r.To = d.states[0]
	r.Epoch++
	if len(d.defaults) > 0 {
		r.Set = maps.Clone(d.defaults)
	}
	d.noteGroups(&r)
	return r
}

// CheckInput returns a machine's input in the form in which it is recorded, nil for an empty one. The error says what cannot be.
func CheckInput(input map[string]any) (map[string]any, error) {
	normal, err := normalObject(input)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if tooLarge(normal, MaxPayload) {
		return nil, fmt.Errorf("input takes more than %d bytes", MaxPayload)
	}
	if len(normal) == 0 {
		return nil, nil
	}
	return normal, nil
}

// WithInput adds to the record of a start over, a restart or an upgrade that the machine's input is another now. A record without arguments leaves
// the input as it was; an empty one is recorded as such.
func (r *Record) WithInput(s *Snapshot, input map[string]any) {
	normal, err := CheckInput(input)
	if err != nil || reflect.DeepEqual(orEmpty(normal), orEmpty(s.Input)) {
		return
	}
	r.Arguments = orEmpty(normal)
}

// Recover returns the record of a host's restart. It follows on_restart, which the cause names: resume goes
// on with the visit and its deadlines, initial begins a visit of the initial state.
func (d *Definition) Recover(s *Snapshot, at time.Time) Record {
	r := d.next(s, at)
	policy := d.Manifest.OnRestart
	if _, known := d.index[s.State]; !known {
		policy = Initial
	}
	if policy == Initial {
		r.To = d.states[0]
	}
	r.Kind, r.Cause = RecordRecovery, Cause{Kind: CauseRecovery, Name: string(policy)}
	r.Epoch++
	if r.newVisit() {
		d.noteGroups(&r)
	}
	return r
}

// Replace returns the record of a machine that ran another definition and goes on with this one: the
// state is kept, mapped by the upgrade section, or the initial one where it no longer exists; data is kept,
// converted where a declared type asks for it, and new keys get their defaults.
func (d *Definition) Replace(s *Snapshot, at time.Time) Record {
	r := d.next(s, at)
	r.Kind, r.Cause = RecordUpgrade, Cause{Kind: CauseUpgrade}
	r.To = d.successor(s.State)
	r.Epoch++
	d.noteGroups(&r)
	for key := range d.types {
		old, kept := s.Data[key]
		v, ok := d.types[key].convert(old)
		if !kept || !ok {
			v = d.defaults[key]
		}
		if r.Set == nil {
			r.Set = map[string]any{}
		}
		if kept || v != nil {
			r.Set[key] = v
		}
	}
	if len(r.Set) == 0 {
		r.Set = nil
	}
	return r
}

// successor returns the state in which a machine of an earlier version goes on.
func (d *Definition) successor(state string) string {
	if up := d.Manifest.Upgrade; up != nil {
		if to, ok := up.Map[state]; ok {
			state = to
		}
	}
	if _, known := d.index[state]; !known {
		return d.states[0]
	}
	return state
}

// Effect returns the record of a look that is about to start and must not run twice. Its Cause.Run is the
// number that the event which ends the look carries.
func (d *Definition) Effect(s *Snapshot, watcher string, at time.Time) Record {
	r := d.next(s, at)
	r.Kind = RecordEffect
	r.Cause = Cause{Kind: CauseWatcher, Name: shortText(watcher), Run: s.Runs + 1}
	return r
}
