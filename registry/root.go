package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// The types of documents.
const (
	RootType = "statecraft.root.v1"
	SpecType = "statecraft.spec.v1"
)

// The roles of a trust root.
const (
	RoleRoot = "root" // signs the next root
	RoleSpec = "spec" // signs specs
)

// OverlayChannel is the channel whose machines the hosts of a cell run. Only a role of its own signs for it: who signs what nodes run is not
// thereby trusted with the hosts, which have the keys of the cell.
const OverlayChannel = "overlay"

// ChannelRole is the role of who signs the specs of one channel, where a root has it. For OverlayChannel there is no other.
func ChannelRole(channel string) string { return RoleSpec + "." + channel }

// SpecRole is the role whose keys sign the specs of a channel: the channel's own where the root has one, and otherwise RoleSpec, which never signs for
// OverlayChannel. A root may have nobody who has the role.
func (r *Root) SpecRole(channel string) string {
	own := ChannelRole(channel)
	if _, ok := r.Roles[own]; ok || channel == OverlayChannel {
		return own
	}
	return RoleSpec
}

// specRoles are the roles of a root that sign specs.
func (r *Root) specRoles() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.Roles)), func(name string) bool { return name == RoleRoot })
}

// maxKeys bounds a role.
const maxKeys = 32

// Root names keys, roles and thresholds. A new root is signed by the old one's root role and by its own.
type Root struct {
	Type    string          `json:"type"`
	Version uint64          `json:"version"` // 1, 2, ...
	Issued  time.Time       `json:"issued"`
	Expires time.Time       `json:"expires"`
	Roles   map[string]Role `json:"roles"`
	// Serials are what channels go on from where a root newer than the one that a spec was accepted under says so: the way back
	// from a serial that a thief has driven up.
	Serials map[string]uint64 `json:"serials,omitempty"`
	// Extensions are of whoever signs roots, by name. Critical names what a reader must know to follow this root: extensions, keys, and keys of
	// roles such as roles.threshold. Who does not know one of them refuses the root.
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
	Critical   []string                   `json:"critical,omitempty"`

	Unknown      map[string]any `json:"-"` // keys of a later release, which are kept and used for nothing
	UnknownRoles map[string]any `json:"-"` // its roles, as well
}

// Role is who may sign something, and how many of them must.
type Role struct {
	Keys      []identity.PublicKey `json:"keys"`
	Threshold int                  `json:"threshold"`
	// Requires names what else must be so of whatever the role signs. This release knows none: it follows a root that has them, and refuses
	// what such a role has signed.
	Requires []string       `json:"requires,omitempty"`
	Unknown  map[string]any `json:"-"` // keys of a later release, which are kept and used for nothing
}

// Validate says everything that is wrong with a root by itself.
func (r *Root) Validate() error {
	var errs []error
	if r.Type != RootType {
		errs = append(errs, fmt.Errorf("type is %q, not %q", shorten(r.Type), RootType))
	}
	if r.Version == 0 {
		errs = append(errs, errors.New("version: the first root is 1"))
	}
	errs = append(errs, validity(r.Issued, r.Expires))
	for _, name := range []string{RoleRoot, RoleSpec} {
		if _, ok := r.Roles[name]; !ok {
			errs = append(errs, fmt.Errorf("role %s is missing", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Roles)) {
		errs = append(errs, r.Roles[name].validate(name))
	}
	for channel := range r.Serials {
		errs = append(errs, CheckChannel(channel))
	}
	errs = append(errs, checkCritical(r.Critical, r.Extensions, r.known()))
	return errors.Join(errs...)
}

// known are the names that this release knows of roots.
func (r *Root) known() []string { return knownNames(*r, Role{}, laterRoles) }

// checkCritical refuses what nobody of this release can have meant.
func checkCritical(critical []string, extensions map[string]json.RawMessage, known []string) error {
	if names := unknownCritical(critical, extensions, known); len(names) > 0 {
		return fmt.Errorf("critical: this release does not know %s", strings.Join(names, ", "))
	}
	return nil
}

func (r Role) validate(name string) error {
	if err := CheckRole(name); err != nil {
		return err
	}
	var errs []error
	if r.Threshold < 1 || r.Threshold > len(r.Keys) {
		errs = append(errs, fmt.Errorf("role %s: a threshold of %d with %d keys", name, r.Threshold, len(r.Keys)))
	}
	if len(r.Keys) > maxKeys {
		errs = append(errs, fmt.Errorf("role %s: %d keys; %d are the most", name, len(r.Keys), maxKeys))
	}
	for i, key := range r.Keys {
		if slices.Contains(r.Keys[:i], key) {
			errs = append(errs, fmt.Errorf("role %s: the key %s is there twice", name, key))
		}
	}
	return errors.Join(errs...)
}

// CheckRole says what is wrong with the name of a role.
func CheckRole(name string) error {
	channel, own := strings.CutPrefix(name, ChannelRole(""))
	if name == RoleRoot || name == RoleSpec || own && CheckChannel(channel) == nil {
		return nil
	}
	return fmt.Errorf("role %q is unknown; there are %s, %s, and %s for one channel", shorten(name), RoleRoot, RoleSpec, ChannelRole("CHANNEL"))
}

// validity checks a span of time. Instants are written in UTC and whole seconds, so that each has one form.
func validity(issued, expires time.Time) error {
	var errs []error
	for _, t := range []time.Time{issued, expires} {
		if t.Location() != time.UTC || t.Nanosecond() != 0 {
			errs = append(errs, fmt.Errorf("%s is not in UTC and whole seconds", t.Format(time.RFC3339Nano)))
		}
	}
	if !expires.After(issued) {
		errs = append(errs, errors.New("it expires before it is issued"))
	}
	return errors.Join(errs...)
}

// RootChange says how the next version of a root differs.
type RootChange struct {
	Role        string // RoleRoot, RoleSpec, or a ChannelRole; one that has no keys left is gone
	Add, Remove []identity.PublicKey
	Threshold   int               // 0 leaves it
	Serials     map[string]uint64 // see Root.Serials; they replace those of the root before
	Issued      time.Time
	Expires     time.Time
}

// Next makes the root that follows r, with all that r has of a later release. It is to be signed by r's root role and its own.
func (r *Root) Next(c RootChange) (*Root, error) {
	next := &Root{
		Type: RootType, Version: r.Version + 1, Roles: maps.Clone(r.Roles), Serials: c.Serials,
		Issued: c.Issued.UTC().Truncate(time.Second), Expires: c.Expires.UTC().Truncate(time.Second),
		Extensions: r.Extensions, Critical: r.Critical, Unknown: r.Unknown, UnknownRoles: r.UnknownRoles,
	}
	if err := CheckRole(c.Role); err != nil {
		return nil, err
	}
	role, ok := next.Roles[c.Role]
	if !ok {
		role.Threshold = 1
	}
	role.Keys = slices.Clone(role.Keys)
	for _, key := range c.Remove {
		i := slices.Index(role.Keys, key)
		if i < 0 {
			return nil, fmt.Errorf("the key %s has no role %s", key, c.Role)
		}
		role.Keys = slices.Delete(role.Keys, i, i+1)
	}
	for _, key := range c.Add {
		if slices.Contains(role.Keys, key) {
			return nil, fmt.Errorf("the key %s has the role %s already", key, c.Role)
		}
		role.Keys = append(role.Keys, key)
	}
	if c.Threshold > 0 {
		role.Threshold = c.Threshold
	}
	next.Roles[c.Role] = role
	if len(role.Keys) == 0 && c.Role != RoleRoot && c.Role != RoleSpec {
		delete(next.Roles, c.Role)
	}
	return next, next.Validate()
}
