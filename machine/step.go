package machine

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// unrecorded begins the reason of a refusal whose event could not be kept in its record. A replay cannot
// decide such an event again; it holds the record to having changed nothing.
const unrecorded = "event cannot be recorded: "

// Step decides one event. It never fails: what cannot be taken is a record of kind refused. The
// transitions of the event's name that leave the current state are tried in order and the first whose
// guard holds is taken, through looplab/fsm.
//
// The event's Data is set before guards are read and stays set where the event itself is refused, unless
// the data is what is wrong with it.
func (d *Definition) Step(s *Snapshot, ev Event, at time.Time) Record {
	return d.stepAs(s, ev, at, nil)
}

// stepAs is Step; recorded is what was decided before, where the event or the snapshot has sealed values, nil otherwise.
func (d *Definition) stepAs(s *Snapshot, ev Event, at time.Time, recorded *blind) Record {
	t := turn{d: d, s: s, record: d.next(s, at), data: s.Data, blind: recorded}
	t.record.Kind = RecordRefused
	t.record.Event = shortText(ev.Name)
	t.record.Outcome = shortText(ev.Outcome)
	t.record.Message = OneLine(ev.Message)
	t.record.Cause = ev.Cause.valid()
	if t.keep(&ev) && t.applyData() {
		t.decide()
	}
	return t.record
}

// next returns the record that follows a snapshot and changes nothing.
func (d *Definition) next(s *Snapshot, at time.Time) Record {
	return Record{
		Seq: s.Seq + 1, Epoch: s.Epoch, At: at.Round(0).UTC(), Machine: d.Manifest.Name, Digest: d.digest,
		From: s.State, To: s.State, Prev: s.Head, Instance: s.Instance,
	}
}

// valid makes the texts of a cause survive being stored.
func (c Cause) valid() Cause {
	c.Name, c.Machine, c.Identity = shortText(c.Name), shortText(c.Machine), shortText(c.Identity)
	return c
}

// turn is one Step in progress. The record is a refusal until something is taken.
type turn struct {
	d      *Definition
	s      *Snapshot
	record Record
	data   map[string]any // after the event's Data
	env    map[string]any // of expressions, made when the first is evaluated
	blind  *blind         // of replays that cannot see all of it, nil otherwise
}

func (t *turn) refuse(format string, args ...any) bool {
	t.record.Reason = shortText(fmt.Sprintf(format, args...))
	return false
}

// fits refuses an event that is, or makes something, too large.
func (t *turn) fits(v any, limit int, what string) bool {
	reason := func() string { return fmt.Sprintf("%s more than %d bytes", what, limit) }
	if t.blind != nil && carriesSealed(v) {
		if t.blind.record.Reason != reason() {
			return true
		}
	} else if !tooLarge(v, limit) {
		return true
	}
	return t.refuse("%s", reason())
}

// keep puts what the event carries into the record.
func (t *turn) keep(ev *Event) bool {
	payload, err := normalObject(ev.Payload)
	if err != nil {
		return t.refuse("%spayload: %v", unrecorded, err)
	}
	data, err := normalObject(ev.Data)
	if err != nil {
		return t.refuse("%sdata: %v", unrecorded, err)
	}
	if !t.fits(payload, MaxPayload, unrecorded+"the payload takes") || !t.fits(data, MaxData, unrecorded+"its data takes") {
		return false
	}
	t.record.Payload, t.record.Input = payload, data
	return true
}

// applyData sets the event's Data, as one change.
func (t *turn) applyData() bool {
	if len(t.record.Input) == 0 {
		return true
	}
	changes, reason := t.convert(t.record.Input)
	if reason != "" {
		return t.refuse("%s", reason)
	}
	data := withChanges(t.s.Data, changes)
	if !t.fits(data, MaxData, "the data would take") {
		return false
	}
	t.record.Set, t.data = changes, data
	return true
}

// decide finds the transition that the event takes.
func (t *turn) decide() {
	if t.record.Event == "" {
		t.record.Kind = RecordStay
		return
	}
	first, exists := t.d.byName[t.record.Event]
	if !exists {
		t.refuse("unknown event %q: no transition has this name", t.record.Event)
		return
	}
	state, known := t.d.index[t.s.State]
	if !known {
		t.refuse("the machine is in state %q, which its manifest does not have", t.s.State)
		return
	}
	rules := t.d.byState[state][t.record.Event]
	if len(rules) == 0 {
		// looplab is asked about any rule of that name: none of them leaves this state.
		t.fire(&t.d.rules[first])
		return
	}
	if r := t.choose(rules); r != nil {
		t.take(r)
		return
	}
	t.refuse("no guard of event %q holds in state %q", t.record.Event, t.s.State)
}

// choose returns the first rule whose guard holds, and records the guards that it read.
func (t *turn) choose(rules []int) *rule {
	for _, i := range rules {
		r := &t.d.rules[i]
		if r.when == nil {
			return r
		}
		ok, err := t.holds(i, r)
		g := GuardValue{Transition: i, Value: ok}
		if err != nil {
			g.Error = shortText(err.Error())
		}
		t.record.Guards = append(t.record.Guards, g)
		if ok {
			return r
		}
	}
	return nil
}

// take applies a rule whose guard holds.
func (t *turn) take(r *rule) {
	if len(r.set) > 0 && !t.assign(r.set) {
		return
	}
	to, ok := t.fire(r)
	if !ok {
		return
	}
	t.record.To = to
	if to == t.s.State && !r.reenter {
		t.record.Kind = RecordStay
		return
	}
	t.record.Kind = RecordTransition
	t.record.Epoch++
	t.d.noteGroups(&t.record)
}

// fire has looplab take a rule. What it refuses is refused.
func (t *turn) fire(r *rule) (string, bool) {
	to, err := t.d.engine.fire(t.s.State, r.event)
	if err != nil {
		return "", t.refuse("event %q is not taken in state %q", t.record.Event, t.s.State)
	}
	return to, true
}

// assign evaluates a transition's set, every expression reading the data before all of them.
func (t *turn) assign(set []assignment) bool {
	changes := make(map[string]any, len(set))
	for _, a := range set {
		if slices.ContainsFunc(a.exprs, t.hides) {
			if !t.setAsRecorded(changes, a.key) {
				return false
			}
			continue
		}
		v, err := a.evaluate(t.environment())
		if err != nil {
			return t.refuse("set %s: %v", a.key, err)
		}
		changes[a.key] = v
	}
	changes, reason := t.convert(changes)
	if reason != "" {
		return t.refuse("set: %s", reason)
	}
	if !t.fits(withChanges(t.data, changes), MaxData, "set: the data would take") {
		return false
	}
	all := make(map[string]any, len(t.record.Set)+len(changes))
	maps.Copy(all, t.record.Set)
	maps.Copy(all, changes)
	t.record.Set = all
	return true
}

// environment is what guards and assignments see.
func (t *turn) environment() map[string]any {
	if t.env == nil {
		t.env = expressionEnv(t.d, t.s, t.data, t.record.At)
		t.env["event"] = map[string]any{
			"name": t.record.Event, "outcome": t.record.Outcome, "message": t.record.Message, "payload": orEmpty(t.record.Payload),
		}
	}
	return t.env
}

func (d *Definition) watcherEnv(s *Snapshot, at time.Time) map[string]any {
	return expressionEnv(d, s, s.Data, at.Round(0).UTC())
}

func expressionEnv(d *Definition, s *Snapshot, data map[string]any, at time.Time) map[string]any {
	return map[string]any{
		"data": orEmpty(data), "input": orEmpty(s.Input), "machine": d.Manifest.Name, "instance": s.Instance, "state": s.State, "at": at,
	}
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
