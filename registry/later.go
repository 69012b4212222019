package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// A document of a later release may hold more than this one knows. What is unknown is passed over: it is kept as it was signed, and used for
// nothing. What its writer calls critical, and what a role requires, is refused by name where it is unknown (ADR 34).

// laterRoles is where the roles of a root stand, and laterEntries the machines of a spec.
const (
	laterRoles   = "roles"
	laterEntries = "machines"
)

// knownNames are the names that `critical` may hold: the keys of a document, those of its roles or entries behind their own key and a dot, and
// no extension, as this release has none.
func knownNames(document, inner any, at string) []string {
	names := keysOf(document)
	for _, key := range keysOf(inner) {
		names = append(names, at+"."+key)
	}
	return names
}

// keysOf are the keys that a structure has as JSON.
func keysOf(structure any) (keys []string) {
	t := reflect.TypeOf(structure)
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); key != "" && key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// unknownCritical is the names of a `critical` that this release does not know. An extension may have the name of a key; it is another thing.
func unknownCritical(critical []string, extensions map[string]json.RawMessage, known []string) (names []string) {
	for _, name := range critical {
		if _, extension := extensions[name]; extension || !slices.Contains(known, name) {
			names = append(names, fmt.Sprintf("%q", shorten(name)))
		}
	}
	return names
}

// head is what is read of a document before the rest: whether it can be understood at all.
type head struct {
	Type       string
	Version    uint64 // of a root
	Critical   []string
	Extensions map[string]json.RawMessage
}

var documentType = regexp.MustCompile(`^statecraft\.(root|spec)\.v[1-9][0-9]*$`)

// unsupported refuses what a document asks for and this release does not have. What is malformed is left to who reads all of it.
func (h *head) unsupported(known []string) error {
	if documentType.MatchString(h.Type) && h.Type != RootType && h.Type != SpecType {
		return refuse(Unsupported, "it is a %s, which this release cannot read; upgrade it", h.Type)
	}
	if names := unknownCritical(h.Critical, h.Extensions, known); len(names) > 0 {
		return refuse(Unsupported, "it asks for %s, which this release does not know; upgrade it", strings.Join(names, ", "))
	}
	return nil
}

// object is a JSON object with numbers as they were written.
type object = map[string]any

func readTree(text []byte) (tree object, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&tree)
	return tree, err
}

// takeUnknown takes the keys out of an object that are unknown. One that differs from a known one in case only is refused, as readers of
// JSON disagree about it.
func takeUnknown(from object, known []string) (unknown object, err error) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		i := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(name, key) })
		switch {
		case i < 0:
			unknown = with(unknown, key, from[key])
			delete(from, key)
		case known[i] != key:
			return nil, fmt.Errorf("the key %q differs from %q in case only", shorten(key), known[i])
		}
	}
	return unknown, nil
}

func with(all object, key string, value any) object {
	if all == nil {
		all = object{}
	}
	all[key] = value
	return all
}

// readKnown reads what is known of an object into a structure, which has no other keys.
func readKnown(tree object, into any) error {
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return strictJSON(text, into)
}

// treeOf is a structure as a JSON object.
func treeOf(structure any) (object, error) {
	text, err := json.Marshal(structure)
	if err != nil {
		return nil, err
	}
	return readTree(text)
}

// read reads a root from its JSON.
func (r *Root) read(text []byte) error {
	tree, err := readTree(text)
	if err != nil {
		return err
	}
	unknown, err := takeUnknown(tree, keysOf(Root{}))
	if err != nil {
		return err
	}
	roles, _ := tree[laterRoles].(object)
	ofRoles := map[string]object{}
	var unknownRoles object
	for name, value := range roles {
		if CheckRole(name) != nil {
			unknownRoles = with(unknownRoles, name, value)
			delete(roles, name)
			continue
		}
		if role, ok := value.(object); ok {
			if ofRoles[name], err = takeUnknown(role, keysOf(Role{})); err != nil {
				return err
			}
		}
	}
	if err := readKnown(tree, r); err != nil {
		return err
	}
	r.Unknown, r.UnknownRoles = unknown, unknownRoles
	for name, more := range ofRoles {
		role := r.Roles[name]
		role.Unknown = more
		r.Roles[name] = role
	}
	return nil
}

// tree is the root as a JSON object, with all that is kept of a later release.
func (r *Root) tree() (object, error) {
	tree, err := treeOf(r)
	if err != nil {
		return nil, err
	}
	maps.Copy(tree, r.Unknown)
	if roles, ok := tree[laterRoles].(object); ok {
		for name, role := range r.Roles {
			if of, ok := roles[name].(object); ok {
				maps.Copy(of, role.Unknown)
			}
		}
		maps.Copy(roles, r.UnknownRoles)
	}
	return tree, nil
}

// PassedOver names what a root has of a later release: keys, extensions, and roles, each of which is used for nothing.
func (r *Root) PassedOver() []string {
	names := slices.Concat(slices.Collect(maps.Keys(r.Unknown)), slices.Collect(maps.Keys(r.Extensions)))
	for name := range r.UnknownRoles {
		names = append(names, laterRoles+"."+name)
	}
	for name, role := range r.Roles {
		for key := range role.Unknown {
			names = append(names, laterRoles+"."+name+"."+key)
		}
	}
	return sorted(names)
}

// read reads a spec from its JSON.
func (s *Spec) read(text []byte) error {
	tree, err := readTree(text)
	if err != nil {
		return err
	}
	unknown, err := takeUnknown(tree, keysOf(Spec{}))
	if err != nil {
		return err
	}
	entries, _ := tree[laterEntries].([]any)
	ofEntries := make([]object, len(entries))
	for i := range entries {
		if entry, ok := entries[i].(object); ok {
			if ofEntries[i], err = takeUnknown(entry, keysOf(Entry{})); err != nil {
				return err
			}
		}
	}
	if err := readKnown(tree, s); err != nil {
		return err
	}
	s.Unknown = unknown
	for i := range s.Machines {
		s.Machines[i].Unknown = ofEntries[i]
	}
	return nil
}

// tree is the spec as a JSON object, with all that is kept of a later release.
func (s *Spec) tree() (object, error) {
	tree, err := treeOf(s)
	if err != nil {
		return nil, err
	}
	maps.Copy(tree, s.Unknown)
	entries, _ := tree[laterEntries].([]any)
	for i := range entries {
		if entry, ok := entries[i].(object); ok {
			maps.Copy(entry, s.Machines[i].Unknown)
		}
	}
	return tree, nil
}

// PassedOver names what a spec has of a later release: keys, those of its machines among them, and extensions. Nothing is done about them.
func (s *Spec) PassedOver() []string {
	names := slices.Concat(slices.Collect(maps.Keys(s.Unknown)), slices.Collect(maps.Keys(s.Extensions)))
	for i := range s.Machines {
		for key := range s.Machines[i].Unknown {
			names = append(names, laterEntries+"."+key)
		}
	}
	return sorted(names)
}

// PassedOver names what an envelope holds of a later release, for people: nobody's signature is asked about. Errors are *Refusal.
func PassedOver(envelope []byte) ([]string, error) {
	o, err := open(envelope)
	if err != nil {
		return nil, err
	}
	document, err := o.read()
	if err != nil {
		return nil, err
	}
	return document.PassedOver(), nil
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
