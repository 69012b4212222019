package machine

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Unseen is what a replay could not see because it was sealed. What depends on it was taken as it was recorded.
type Unseen struct {
	Values []string      `json:"values"`           // such as data.token, in order
	Guards []UnseenGuard `json:"guards,omitempty"` // that read them
}

// UnseenGuard is a guard that a replay could not evaluate.
type UnseenGuard struct {
	Seq   uint64 `json:"seq"`   // of the record
	Event string `json:"event"` // the transition's name
	When  string `json:"when"`
}

// blind is a record that is decided again although some of what its event or the data hold is sealed.
type blind struct {
	record  *Record
	foreign bool // another manifest decides than the one that did
	guards  []UnseenGuard
}

// hides reports whether an expression reads something that is sealed.
func (t *turn) hides(e *expression) bool {
	if t.blind == nil {
		return false
	}
	env := t.environment()
	return slices.ContainsFunc(readsOf(e.text), func(p secretPath) bool { return sealedAt(env, p) })
}

// sealedAt reports whether a value at a path is, is part of, or has in it something that is sealed.
func sealedAt(v any, p secretPath) bool {
	for _, key := range p {
		if _, sealed := sealedText(v); sealed {
			return true
		}
		m, ok := v.(map[string]any)
		if !ok {
			break
		}
		v = m[key]
	}
	return carriesSealed(v)
}

// holds evaluates a guard, or takes it as it was recorded where it reads what is sealed.
func (t *turn) holds(i int, r *rule) (bool, error) {
	if !t.hides(r.when) {
		return r.when.holds(t.environment())
	}
	n := len(t.record.Guards)
	if n >= len(t.blind.record.Guards) {
		return false, nil // nobody read it then, which is a difference
	}
	g := t.blind.record.Guards[n]
	if g.Transition != i && !t.blind.foreign {
		return false, nil
	}
	t.blind.guards = append(t.blind.guards, UnseenGuard{Seq: t.record.Seq, Event: r.name, When: r.when.text})
	if g.Error != "" {
		return g.Value, errors.New(g.Error)
	}
	return g.Value, nil
}

// setAsRecorded takes what an assignment gave from the record, which may be that it was refused.
func (t *turn) setAsRecorded(changes map[string]any, key string) bool {
	recorded := t.blind.record
	if recorded.Kind == RecordRefused && strings.HasPrefix(recorded.Reason, "set") {
		return t.refuse("%s", recorded.Reason)
	}
	changes[key] = recorded.Set[key]
	return true
}

// convert brings changes to the declared types. What is sealed has the type already.
func (t *turn) convert(changes map[string]any) (map[string]any, string) {
	if t.blind == nil {
		return t.d.convertChanges(changes)
	}
	seen, sealed := map[string]any{}, map[string]any{}
	for key, v := range changes {
		if carriesSealed(v) {
			sealed[key] = v
		} else {
			seen[key] = v
		}
	}
	seen, reason := t.d.convertChanges(seen)
	if reason != "" {
		return nil, reason
	}
	return withChanges(seen, sealed), ""
}

// step decides an event of a trace again.
func (p *replayer) step(r *Record) Record {
	ev := Event{Name: r.Event, Outcome: r.Outcome, Message: r.Message, Payload: r.Payload, Data: r.Input, Cause: r.Cause}
	if !carriesSealed(r.Payload) && !carriesSealed(r.Input) && !carriesSealed(p.s.Data) && !carriesSealed(p.s.Input) {
		return p.d.Step(&p.s, ev, r.At)
	}
	b := &blind{record: r, foreign: p.foreign}
	decided := p.d.stepAs(&p.s, ev, r.At, b)
	p.unseen.Guards = append(p.unseen.Guards, b.guards...)
	return decided
}

// open returns a record of the trace with those of its secrets that can be opened.
func (p *replayer) open(r *Record) *Record {
	opened, closed := OpenRecord(r, p.Vault)
	p.noteUnseen(closed)
	return opened
}

func (p *replayer) noteUnseen(closed []SecretField) {
	for _, f := range closed {
		if i, known := slices.BinarySearch(p.unseen.Values, f.String()); !known {
			p.unseen.Values = slices.Insert(p.unseen.Values, i, f.String())
		}
	}
}

// unite gives what was decided the values that only the record knows: sealed ones that it sets and, of a restart or upgrade, secrets that
// it says again to seal them, and defaults in place of those that the host could not open.
func (p *replayer) unite(want, got *Record) {
	resumed := want.Kind == RecordRecovery || want.Kind == RecordUpgrade
	gone := resumed && strings.HasPrefix(want.Reason, secretsGone)
	if gone {
		got.Reason = want.Reason
	}
	set := maps.Clone(got.Set)
	for key, v := range want.Set {
		_, both := got.Set[key]
		switch {
		case both && carriesSealed(v), gone && reflect.DeepEqual(v, p.d.defaults[key]), resumed && p.saysAgain(key, v):
			if set == nil {
				set = map[string]any{}
			}
			set[key] = v
		}
	}
	got.Set = set
}

// saysAgain reports whether setting a secret to a value changes nothing, as far as that can be seen.
func (p *replayer) saysAgain(key string, v any) bool {
	if p.d.secrets == nil || !p.d.secrets.data[key] {
		return false
	}
	return carriesSealed(v) || reflect.DeepEqual(v, p.s.Data[key])
}
