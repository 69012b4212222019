package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A sealed value takes the place of a secret in what is stored: a mapping of one key, Concealed, whose value is a text that only a
// Vault can read, or nothing where there was no vault to seal it.

// Concealed is what is shown in place of a secret, and the key of a sealed value.
const Concealed = "(secret)"

// SecretField says where a sealed value belongs. A vault opens it nowhere else.
type SecretField struct {
	Machine  string // by the manifest's name
	Instance string
	Path     []string // "data" and the key, or "payload" or "input" and the keys that lead to the value
}

// String is the path with dots.
func (f SecretField) String() string { return strings.Join(f.Path, ".") }

// Vault seals values and opens them again. It is safe for concurrent use.
type Vault interface {
	// Seal returns a text from which only the vault gets the value back, "" where it cannot seal.
	Seal(f SecretField, value []byte) string
	// Open returns what Seal was given for the field.
	Open(f SecretField, text string) ([]byte, error)
}

var errNeverSealed = errors.New("it was never sealed: there was no key")

// sealedText returns the text of a sealed value, false for every other value.
func sealedText(v any) (string, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	text, ok := m[Concealed].(string)
	return text, ok
}

// carriesSealed reports whether a value is sealed, or has a sealed one in it.
func carriesSealed(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, sealed := sealedText(v); sealed {
			return true
		}
		for _, e := range v {
			if carriesSealed(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, carriesSealed)
	}
	return false
}

// Seal returns the record as it may be stored: its secrets sealed. The record itself is not modified, and returned where it has none.
func (d *Definition) Seal(r *Record, v Vault) *Record {
	return d.rewrite(r, func(f SecretField, value any) any {
		text := ""
		if plain, err := json.Marshal(value); err == nil {
			text = v.Seal(f, plain)
		}
		return map[string]any{Concealed: text}
	})
}

// Conceal returns the record as it may be shown: Concealed in place of its secrets, sealed ones too. The record is not modified.
func (d *Definition) Conceal(r *Record) *Record {
	return concealSealed(d.rewrite(r, concealed))
}

// concealed is what is shown of a secret. Of a whole payload or input, the keys are.
func concealed(f SecretField, value any) any {
	m, ok := value.(map[string]any)
	if !ok || len(f.Path) > 1 {
		return Concealed
	}
	out := make(map[string]any, len(m))
	for k := range m {
		out[k] = Concealed
	}
	return out
}

// ConcealData returns a machine's data as it may be shown.
func (d *Definition) ConcealData(data map[string]any) map[string]any {
	if d.secrets != nil {
		data = d.secrets.keys.replace(data, func([]string, any) any { return Concealed })
	}
	return ConcealSealed(data)
}

// ConcealSealed returns data with Concealed in place of what is sealed in it. It needs no definition, so that a log can be shown
// without its manifests.
func ConcealSealed(data map[string]any) map[string]any {
	if _, whole := sealedText(data); whole {
		return map[string]any{Concealed: Concealed}
	}
	shown, _ := concealedValue(data).(map[string]any)
	return shown
}

func concealedValue(v any) any {
	return eachSealed(v, nil, func([]string, string) any { return Concealed })
}

func concealSealed(r *Record) *Record {
	out := *r
	for _, m := range []*map[string]any{&out.Payload, &out.Input, &out.Set, &out.Arguments} {
		*m = ConcealSealed(*m)
	}
	return &out
}

// rewrite returns a copy of the record in which f has replaced every secret.
func (d *Definition) rewrite(r *Record, f func(f SecretField, value any) any) *Record {
	if d.secrets == nil {
		return r
	}
	out := *r
	in := func(section string) func([]string, any) any {
		return func(at []string, v any) any {
			return f(SecretField{Machine: r.Machine, Instance: r.Instance, Path: append([]string{section}, at...)}, v)
		}
	}
	data := d.secrets.keys
	out.Payload = d.secrets.payloadOf(d, r).replace(r.Payload, in("payload"))
	out.Input = data.replace(r.Input, in("data"))
	out.Set = data.replace(r.Set, in("data"))
	out.Arguments = d.secrets.input.replace(r.Arguments, in("input"))
	return &out
}

// eachSealed returns a value with every sealed value in it replaced by what f makes of its text. Nothing is modified.
func eachSealed(v any, at []string, f func(at []string, text string) any) any {
	if !carriesSealed(v) {
		return v
	}
	if text, sealed := sealedText(v); sealed {
		return f(at, text)
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = eachSealed(e, append(slices.Clone(at), k), f)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = eachSealed(e, at, f)
		}
		return out
	default:
		return v
	}
}

// opener opens the sealed values of one machine and notes those that it cannot.
type opener struct {
	vault    Vault // nil opens nothing
	machine  string
	instance string
	closed   []SecretField
}

// section opens what is sealed in a section of a record or snapshot. What cannot be opened stays sealed.
func (o *opener) section(name string, m map[string]any) map[string]any {
	if !carriesSealed(m) {
		return m
	}
	opened, _ := eachSealed(m, []string{name}, func(at []string, text string) any {
		f := SecretField{Machine: o.machine, Instance: o.instance, Path: at}
		v, err := o.open(f, text)
		if err != nil {
			o.closed = append(o.closed, f)
			return map[string]any{Concealed: text}
		}
		return v
	}).(map[string]any)
	return opened
}

func (o *opener) open(f SecretField, text string) (any, error) {
	if o.vault == nil || text == "" {
		return nil, errNeverSealed
	}
	plain, err := o.vault.Open(f, text)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading %s: %w", f, err)
	}
	return normalise(v)
}

// OpenRecord returns a stored record with its secrets, and those that the vault does not open, which stay sealed. The vault may be nil.
func OpenRecord(r *Record, v Vault) (*Record, []SecretField) {
	o := opener{vault: v, machine: r.Machine, instance: r.Instance}
	out := *r
	out.Payload = o.section("payload", r.Payload)
	out.Input = o.section("data", r.Input)
	out.Set = o.section("data", r.Set)
	out.Arguments = o.section("input", r.Arguments)
	return &out, o.closed
}

// OpenSnapshot is OpenRecord for the snapshot of a machine of that name, as it was stored.
func OpenSnapshot(s *Snapshot, machine string, v Vault) (*Snapshot, []SecretField) {
	if !carriesSealed(s.Data) && !carriesSealed(s.Input) {
		return s, nil
	}
	o := opener{vault: v, machine: machine, instance: s.Instance}
	out := *s
	out.Data = o.section("data", s.Data)
	out.Input = o.section("input", s.Input)
	return &out, o.closed
}
