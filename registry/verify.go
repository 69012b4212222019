package registry

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// clockSkew is how far in the future a document may have been issued.
const clockSkew = 5 * time.Minute

// Want says which spec is expected.
type Want struct {
	Channel string
	Cell    string
	Now     time.Time
}

// ReadSpec verifies who has signed a spec, and reads it. Whether it is the one that is wanted, and is current, is not asked: it is for what
// was accepted before, and for people who look.
func ReadSpec(envelope []byte, root *Root) (*Spec, error) {
	o, err := open(envelope)
	if err != nil {
		return nil, err
	}
	return o.spec(root)
}

// spec is the spec that a root vouches for.
func (o *opened) spec(root *Root) (*Spec, error) {
	if root == nil {
		return nil, refuse(NoRoot, "there is no trust root yet by which it could be verified")
	}
	var refusal error
	for _, role := range root.specRoles() {
		if err := o.signedBy(specPayload, root.Roles[role]); err != nil {
			if refusal == nil || o.someOf(root.Roles[role]) {
				refusal = err
			}
			continue
		}
		document, err := o.read()
		if err != nil {
			return nil, err
		}
		spec := document.(*Spec)
		if root.SpecRole(spec.Channel) == role {
			return spec, nil
		}
		refusal = o.otherRole(root, spec.Channel, role)
	}
	return nil, refusal
}

// someOf reports whether a key of a role has signed.
func (o *opened) someOf(role Role) bool {
	return slices.ContainsFunc(o.signers, func(key identity.PublicKey) bool { return slices.Contains(role.Keys, key) })
}

// otherRole refuses what keys have signed that may sign for other channels only.
func (o *opened) otherRole(root *Root, channel, role string) error {
	want := root.SpecRole(channel)
	if len(root.Roles[want].Keys) == 0 {
		return refuse(Unsigned, "it is for the channel %s, for which nobody may sign: the trust root has no role %s, and who has the role %s does not sign for it",
			channel, want, role)
	}
	return cmp.Or(o.signedBy(specPayload, root.Roles[want]), refuse(Unsigned, "it is for the channel %s; only keys of the role %s sign for that", channel, want))
}

// ReadProposed reads a spec that at least one of the keys has signed that may sign specs: one that is proposed, which others may still have to
// sign. It says who wants something, and not that anybody should run it.
func ReadProposed(envelope []byte, root *Root) (*Spec, error) {
	if root == nil {
		return ReadSpec(envelope, root)
	}
	one := *root
	one.Roles = maps.Clone(root.Roles)
	for _, role := range one.specRoles() {
		one.Roles[role] = Role{Keys: root.Roles[role].Keys, Threshold: 1}
	}
	return ReadSpec(envelope, &one)
}

// VerifySpec is the one verification of a spec, whatever way it came. last is what was accepted before, nil for nothing, or its serial alone
// where no more is known, and acceptedUnder the version of the root then; root is that of Store.RootSince. The spec that was accepted last
// passes again. Errors are *Refusal.
func VerifySpec(envelope []byte, root *Root, w Want, last *Spec, acceptedUnder uint64) (*Spec, error) {
	o, err := open(envelope)
	if err != nil {
		return nil, err
	}
	return o.verify(root, w, last, acceptedUnder)
}

func (o *opened) verify(root *Root, w Want, last *Spec, acceptedUnder uint64) (*Spec, error) {
	s, err := o.spec(root)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Channel != w.Channel:
		return nil, refuse(WrongPlace, "it is for the channel %s, not %s", s.Channel, w.Channel)
	case s.Audience != "" && s.Audience != w.Cell:
		return nil, refuse(WrongPlace, "it is for the cell %s, not %s", shorten(s.Audience), w.Cell)
	case s.Issued.After(w.Now.Add(clockSkew)):
		return nil, refuse(NotYet, "it was issued at %s, which is to come", s.Issued.Format(time.RFC3339))
	case !w.Now.Before(root.Expires):
		return nil, refuse(Expired, "the trust root expired at %s", root.Expires.Format(time.RFC3339))
	case !w.Now.Before(s.Expires):
		return nil, refuse(Expired, "it expired at %s", s.Expires.Format(time.RFC3339))
	}
	floor := root.Serials[s.Channel]
	if _, reset := root.Serials[s.Channel]; last != nil && (!reset || root.Version <= acceptedUnder) {
		floor = last.Serial
		if s.Serial == floor && last.Type != "" && !reflect.DeepEqual(s, last) {
			return nil, refuse(Mixed, "serial %d was accepted with another content", s.Serial)
		}
	}
	if s.Serial < floor {
		return nil, refuse(Rollback, "its serial is %d; %d was accepted already", s.Serial, floor)
	}
	return s, nil
}

// verifyRoot verifies a root that follows another, or the first.
func (o *opened) verifyRoot(before *Root, anchors []identity.PublicKey, now time.Time) (*Root, error) {
	r, err := o.root(before, anchors)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Issued.After(now.Add(clockSkew)):
		return nil, refuse(NotYet, "it was issued at %s, which is to come", r.Issued.Format(time.RFC3339))
	case before == nil && r.Version != 1:
		return nil, refuse(Rollback, "version %d comes after others; the first is 1", r.Version)
	case before != nil && r.Version != before.Version+1:
		return nil, refuse(Rollback, "it is version %d; after %d comes %d", r.Version, before.Version, before.Version+1)
	}
	return r, nil
}

// root is the root, which its own root role must have signed and that of the one before or, for the first, one of the anchors.
func (o *opened) root(before *Root, anchors []identity.PublicKey) (*Root, error) {
	above := Role{Keys: anchors, Threshold: 1}
	if before != nil {
		above = before.Roles[RoleRoot]
	}
	if err := o.signedBy(rootPayload, above); err != nil {
		return nil, err
	}
	document, err := o.read()
	if err != nil {
		return nil, err
	}
	r := document.(*Root)
	return r, o.signedBy(rootPayload, r.Roles[RoleRoot])
}

func readRoot(envelope []byte, before *Root, anchors []identity.PublicKey) (*Root, error) {
	o, err := open(envelope)
	if err != nil {
		return nil, err
	}
	return o.root(before, anchors)
}
