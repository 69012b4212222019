package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// secretsGone begins the reason of a restart or upgrade after which the machine goes on without some of its secrets.
const secretsGone = "secrets are gone: "

// Restore returns a stored snapshot with its secrets, as the definition can go on with it, and what is gone of them: what the vault
// does not open is absent, and what the definition does not declare any more is, too. Record.Forget says so in the next record.
func (d *Definition) Restore(stored *Snapshot, v Vault) (s *Snapshot, gone []string) {
	if !carriesSealed(stored.Data) && !carriesSealed(stored.Input) {
		return stored, nil
	}
	s, closed := OpenSnapshot(stored, d.Manifest.Name, v)
	out := *s
	for _, f := range closed {
		switch rest := secretPath(f.Path[1:]); {
		case f.Path[0] == "data" && len(rest) == 1 && d.loses(rest[0]):
			out.Data = withChanges(out.Data, map[string]any{rest[0]: nil})
		case f.Path[0] == "input" && d.secrets != nil && d.secrets.input.touches(rest):
			out.Input = without(out.Input, rest)
		default:
			continue // whoever sent it made it look like this
		}
		gone = append(gone, f.String())
	}
	for key, v := range stored.Data {
		if _, sealed := sealedText(v); sealed && !carriesSealed(s.Data[key]) && !d.declares(key) {
			out.Data = withChanges(out.Data, map[string]any{key: nil})
			gone = append(gone, "data."+key)
		}
	}
	slices.Sort(gone)
	return &out, gone
}

// loses reports whether data under a key is gone where it cannot be opened.
func (d *Definition) loses(key string) bool {
	return d.secrets != nil && d.secrets.data[key] || d.declares(key) && !d.types[key].admits(map[string]any{})
}

func (d *Definition) declares(key string) bool {
	_, declared := d.types[key]
	return declared
}

// Orphans returns the secrets of a machine that ran another definition and whose data the new one does not declare.
func (d *Definition) Orphans(old *Definition, s *Snapshot) []string {
	var gone []string
	for _, key := range old.SecretData() {
		if _, there := s.Data[key]; there && !d.declares(key) {
			gone = append(gone, "data."+key)
		}
	}
	return gone
}

// Reseal makes the record of a restart or upgrade say again those secrets that were stored in clear, before the manifest declared them:
// kept is what is stored, s the same in clear.
func (d *Definition) Reseal(r *Record, kept, s *Snapshot) {
	if d.secrets == nil || kept == nil {
		return
	}
	set := map[string]any{}
	for _, key := range d.SecretData() {
		if v := kept.Data[key]; !empty(v) && !carriesSealed(v) {
			set[key] = s.Data[key]
		}
	}
	if maps.Copy(set, r.Set); len(set) > 0 {
		r.Set = set
	}
	exposed := false
	d.secrets.input.replace(kept.Input, func(_ []string, v any) any {
		exposed = exposed || !carriesSealed(v)
		return v
	})
	if exposed && r.Arguments == nil {
		r.Arguments = s.Input
	}
}

// without returns an input without the value at a path.
func without(m map[string]any, p secretPath) map[string]any {
	if len(p) == 0 {
		return nil
	}
	out := maps.Clone(m)
	inner, nested := m[p[0]].(map[string]any)
	if len(p) > 1 && nested {
		out[p[0]] = orEmpty(without(inner, p[1:]))
	} else {
		delete(out, p[0])
	}
	return out
}

// Forget makes the record of a restart or upgrade say which secrets are gone: their keys get their defaults.
func (d *Definition) Forget(r *Record, s *Snapshot, gone []string) {
	if len(gone) == 0 {
		return
	}
	set := maps.Clone(r.Set)
	if set == nil {
		set = map[string]any{}
	}
	for _, name := range gone {
		if key, ok := strings.CutPrefix(name, "data."); ok {
			set[key] = d.defaults[key]
		} else {
			r.Arguments = orEmpty(s.Input)
		}
	}
	if len(set) > 0 {
		r.Set = set
	}
	r.Reason = shortText(fmt.Sprintf("%s%s (the key that sealed them is lost or another, or the manifest does not declare them any more)",
		secretsGone, strings.Join(gone, ", ")))
}
