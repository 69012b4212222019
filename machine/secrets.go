package machine

import (
	"errors"
	"maps"
	"slices"
)

// secrets is where a machine has secrets: what its manifest and the types of its watchers declare and, besides, every place from which an
// assignment takes a value into data that is secret. It is immutable.
type secrets struct {
	data     map[string]bool        // by key
	keys     secretPaths            // the same, as paths into data
	input    secretPaths            // into the input
	watchers map[string]secretPaths // into the payloads of a watcher's events, by its name
	events   map[string]secretPaths // into an event's payload, whoever fires it
	anyEvent secretPaths            // of events that no transition takes
}

// errSecretExpr takes the place of errors that might repeat a value.
var errSecretExpr = errors.New("it cannot be evaluated; why is not said, because it reads a secret")

// HasSecrets reports whether something of the machine is secret, so that its records are not what may be shown or stored.
func (d *Definition) HasSecrets() bool { return d.secrets != nil }

// SecretData returns the keys of data that are secret, in order.
func (d *Definition) SecretData() []string {
	if d.secrets == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(d.secrets.data))
}

// addSecrets finds what is secret. The expressions must have been compiled: those that read a secret are marked.
func (d *Definition) addSecrets(cat Catalogue) {
	s := &secrets{data: map[string]bool{}, watchers: map[string]secretPaths{}, events: map[string]secretPaths{}}
	for _, f := range d.Manifest.Data {
		if f.Secret {
			s.data[f.Name] = true
			s.keys = append(s.keys, secretPath{f.Name})
		}
	}
	s.input = declaredPaths(d.Manifest.SecretInput)
	for i := range d.Manifest.Watchers {
		w := &d.Manifest.Watchers[i]
		paths := declaredPaths(w.Secret)
		for _, o := range outcomesOf(w, cat) {
			paths = paths.with(declaredPaths(o.Secrets)...)
		}
		if len(paths) > 0 {
			s.watchers[w.Name] = paths
		}
	}
	if len(s.data)+len(s.input)+len(s.watchers) == 0 {
		return
	}
	d.secrets = s
	d.followSecrets()
	d.markSecretExpressions()
}

func declaredPaths(texts []string) secretPaths {
	var out secretPaths
	for _, text := range texts {
		if p, ok := readSecretPath(text); ok {
			out = out.with(p)
		}
	}
	return out
}

// followSecrets finds where the values of secret data come from.
func (d *Definition) followSecrets() {
	s := d.secrets
	for _, t := range d.Manifest.Transitions {
		for _, a := range t.Set {
			if !s.data[a.Key] {
				continue
			}
			for _, e := range a.Value.Expressions() {
				for _, read := range readsOf(e.Expr) {
					s.comesFrom(t.Name, read)
				}
			}
		}
	}
}

// comesFrom notes that a secret is taken from a path, where an event of that name is decided.
func (s *secrets) comesFrom(event string, read secretPath) {
	if p, ok := read.payloadPath(); ok {
		s.events[event] = s.events[event].with(p)
		s.anyEvent = s.anyEvent.with(p)
	}
	if p, ok := read.inputPath(); ok {
		s.input = s.input.with(p)
	}
}

// markSecretExpressions has the expressions that read a secret keep quiet about why they fail.
func (d *Definition) markSecretExpressions() {
	for i := range d.rules {
		t := &d.Manifest.Transitions[i]
		if e := d.rules[i].when; e != nil {
			e.secret = d.readsSecret(t.When, t.Name)
		}
		for j := range d.rules[i].set {
			for _, e := range d.rules[i].set[j].exprs {
				e.secret = d.readsSecret(e.text, t.Name)
			}
		}
	}
	for i := range d.watchers {
		if e := d.watchers[i].when; e != nil {
			e.secret = d.readsSecret(d.Manifest.Watchers[i].When, "")
		}
	}
}

// readsSecret reports whether an expression reads a secret, where the event of that name is decided.
func (d *Definition) readsSecret(text, event string) bool {
	payload := d.secretPayload(event)
	return slices.ContainsFunc(readsOf(text), func(p secretPath) bool { return d.secrets.covers(p, payload) })
}

// covers reports whether a read path leads to a secret. payload is where the event's payload has some.
func (s *secrets) covers(read secretPath, payload secretPaths) bool {
	if p, ok := read.payloadPath(); ok {
		return payload.touches(p)
	}
	if p, ok := read.inputPath(); ok {
		return s.input.touches(p)
	}
	return read[0] == "data" && (len(read) == 1 && len(s.data) > 0 || len(read) > 1 && s.data[read[1]])
}

// secretPayload is where the payload of an event may have secrets, whoever fires it.
func (d *Definition) secretPayload(event string) secretPaths {
	paths := d.secrets.events[event]
	for i := range d.Manifest.Watchers {
		w := &d.Manifest.Watchers[i]
		if declared := d.secrets.watchers[w.Name]; len(declared) > 0 && d.fires(i, event) {
			paths = paths.with(declared...)
		}
	}
	return paths
}

// fires reports whether a watcher may fire an event.
func (d *Definition) fires(w int, event string) bool {
	retry := d.Manifest.Watchers[w].Retry
	return retry != nil && retry.Then == event || slices.Contains(slices.Collect(maps.Values(d.watchers[w].events)), event)
}

// payloadOf is where the payload of a record has secrets.
func (s *secrets) payloadOf(d *Definition, r *Record) secretPaths {
	for key, v := range r.Input {
		if s.data[key] && !empty(v) {
			return secretPaths{{}} // what brings a secret along may well repeat it
		}
	}
	paths := s.events[r.Event]
	if _, known := d.byName[r.Event]; !known {
		paths = s.anyEvent
	}
	if declared := s.watchers[r.Cause.Name]; r.Cause.Kind == CauseWatcher && len(declared) > 0 {
		paths = paths.with(declared...)
	}
	return paths
}
