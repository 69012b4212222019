package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

const (
	publisherKey = overlay.PublisherKeyFile
	publishingTo = "publishing to the channel "
)

// publishing is one publication in progress.
type publishing struct {
	inv      *invocation
	shelf    *shelf
	channel  string
	signing  signingFlags
	signers  []registry.Signer      // none where others have signed
	over     *publication.Published // what is published now, nil for nothing
	machines []registry.Entry       // what is to be published
	packed   []packedMachine
	dropped  bool // states may be dropped
	older    bool // nodes may be too old for what is published
	changes  []specChange
}

// publishResult is what publish --json and registry retract --json print.
type publishResult struct {
	Channel  string         `json:"channel"`
	Serial   uint64         `json:"serial"`             // of what is published now
	Revision uint64         `json:"revision,omitempty"` // of the bucket; 0 where nothing was published
	Expires  time.Time      `json:"expires"`
	Changes  []specChange   `json:"changes"`
	Bundles  []bundleResult `json:"bundles"`
	Older    []olderNodes   `json:"older,omitempty"`    // by machine, where nodes could not run it
	Prepared string         `json:"prepared,omitempty"` // the file that others are to sign
}

// bundleResult is a bundle that was packed.
type bundleResult struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Size    int    `json:"size"`   // bytes
	Stored  bool   `json:"stored"` // false where the cell had it, or nothing was published
}

// run makes the spec, signs it, and publishes it.
func (p *publishing) run() error {
	spec, err := p.spec()
	if err != nil {
		return err
	}
	if err := p.compare(spec); err != nil {
		return err
	}
	result := publishResult{Channel: p.channel, Serial: spec.Serial, Expires: spec.Expires, Changes: p.changes, Bundles: p.bundles()}
	if len(p.changes) == 0 && !p.signing.Renew && p.signing.Serial == 0 && (p.over == nil || p.over.Broken == nil) {
		return p.same(result)
	}
	result.Older = p.olderNodes(spec)
	if err := p.strands(result.Older); err != nil {
		return err
	}
	if p.signing.DryRun {
		return p.tell(result, "would publish")
	}
	if p.signers, err = p.signing.signers(p.inv, p.shelf.folder, p.channel); err != nil {
		return err
	}
	envelope, err := registry.Sign(spec, p.signers...)
	if err != nil {
		return fail(exitInvalid, "", "signing the spec: %w", err)
	}
	if p.signing.Prepare != "" {
		return p.prepare(result, envelope)
	}
	return p.put(result, envelope)
}

// same ends a publication that changes nothing. A bundle that the cell has lost is put back all the same.
func (p *publishing) same(result publishResult) error {
	if p.over != nil && p.over.Spec != nil {
		result.Serial, result.Expires = p.over.Spec.Serial, p.over.Spec.Expires
	}
	if !p.signing.DryRun && p.over != nil { // else there is nothing that could be missing
		if err := p.store(&result, p.over.Envelope); err != nil {
			return err
		}
		for _, b := range result.Bundles {
			if b.Stored {
				p.inv.notef("the bundle of %s %s was missing or spoiled, and is there again", b.Name, b.Version)
			}
		}
	}
	p.inv.notef("nothing changes; --renew publishes again for another while")
	return p.tell(result, "")
}

// spec is what is to be signed.
func (p *publishing) spec() (*registry.Spec, error) {
	serial, err := p.shelf.NextSerial(p.channel, p.over)
	if err != nil {
		return nil, err
	}
	if serial > math.MaxInt64 {
		return nil, fail(exitRefused, "take the key away that has driven it up, and say where to go on: statecraft keys rotate --serial "+p.channel+"=N --remove KEY",
			"channel %s has the highest serial that there is: nothing can follow it", p.channel)
	}
	switch chosen := p.signing.Serial; {
	case chosen > math.MaxInt64:
		return nil, usage("a serial is at most 9223372036854775807", "--serial %d is too high", chosen)
	case chosen > 0 && chosen < serial:
		return nil, usage("nodes would refuse it", "--serial %d: the channel %s has had higher ones, so that it is to be at least %d", chosen, p.channel, serial)
	case chosen > 0:
		serial = chosen
	}
	counts, err := lifetime(p.signing.Expires)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	spec := &registry.Spec{
		Type: registry.SpecType, Channel: p.channel, Audience: p.shelf.claims.Cell, Serial: serial,
		Issued: now, Expires: now.Add(counts), Machines: append([]registry.Entry{}, p.machines...),
	}
	if p.over != nil && p.over.Spec != nil {
		before := p.over.Spec
		spec.Extensions, spec.Critical, spec.Unknown = before.Extensions, before.Critical, before.Unknown
	}
	if kept := spec.PassedOver(); len(kept) > 0 {
		p.inv.notef("%s of a later release, which this one does not know, stays as it is", strings.Join(kept, ", "))
	}
	if err := spec.Validate(); err != nil {
		return nil, fail(exitInvalid, "", "nothing is published: %w", err)
	}
	return spec, nil
}

// compare finds what changes, and refuses versions that would lose a machine's place.
func (p *publishing) compare(spec *registry.Spec) (err error) {
	fresh := definitions{}
	for _, m := range p.packed {
		fresh[m.bundle.Name] = m.definition
	}
	old, err := p.vouched()
	if err != nil {
		return err
	}
	p.changes = p.shelf.changes(p.inv, old, spec, fresh)
	for _, c := range p.changes {
		if len(c.Dropped) > 0 && !p.dropped && len(p.packed) > 0 {
			return fail(exitInvalid, "add upgrade: {map: {"+c.Dropped[0]+": NEW_STATE}} to the manifest, or allow it with --allow-dropped-states",
				"%s no longer has %s, in which machines of the version before may be", c.Name, strings.Join(c.Dropped, ", "))
		}
	}
	return nil
}

// vouched is what is published now by keys that are trusted still. Of what others have signed nothing is taken for known: all of it
// shows as new.
func (p *publishing) vouched() (*registry.Spec, error) {
	if p.over == nil || p.over.Spec == nil {
		return nil, nil
	}
	root, err := p.shelf.Root()
	if err != nil {
		return nil, err
	}
	_, refusal := registry.ReadSpec(p.over.Envelope, root)
	if refusal == nil {
		return p.over.Spec, nil
	}
	p.inv.notef("what the channel has is not vouched for any more (%v): look at all of it", refusal)
	return nil, nil
}

func (p *publishing) bundles() []bundleResult {
	all := []bundleResult{}
	for _, m := range p.packed {
		all = append(all, bundleResult{Name: m.bundle.Name, Version: m.bundle.Version, Digest: m.bundle.Digest, Size: len(m.bundle.Data)})
	}
	return all
}

// prepare writes what others are to sign. The bundles are stored, so that only the spec is missing.
func (p *publishing) prepare(result publishResult, envelope []byte) error {
	if err := p.store(&result, envelope); err != nil {
		return err
	}
	if err := renameio.WriteFile(p.signing.Prepare, append(envelope, '\n'), 0o644); err != nil {
		return fail(exitFailed, "", "writing the signed spec: %w", err)
	}
	result.Prepared = p.signing.Prepare
	p.inv.notef("others sign it:  statecraft sign --key FILE %s", p.signing.Prepare)
	p.inv.notef("then:            statecraft publish --envelope %s", p.signing.Prepare)
	return p.tell(result, "prepared")
}

// put stores the bundles and publishes the spec, in that order, so that nodes find what they are told of.
func (p *publishing) put(result publishResult, envelope []byte) error {
	if err := p.shelf.Check(p.channel, envelope, p.over); err != nil {
		return p.refused(publishingTo+p.channel, err)
	}
	if err := p.store(&result, envelope); err != nil {
		return err
	}
	ctx, cancel := p.shelf.patience()
	defer cancel()
	published, err := p.shelf.Publish(ctx, p.channel, envelope, p.over)
	if err != nil {
		return p.refused(publishingTo+p.channel, err)
	}
	p.remember(published)
	result.Revision = published.Revision
	return p.tell(result, "published")
}

// refused says why a list, or a bundle that it names, is not taken.
func (p *publishing) refused(doing string, err error) error {
	refusal, ok := errors.AsType[*registry.Refusal](err)
	switch {
	case ok && (refusal.Reason == registry.Unsigned || refusal.Reason == registry.NoRoot):
		return fail(exitRefused, p.whoSigns(), "%s: %w", doing, err)
	case ok && (refusal.Reason == registry.Rollback || refusal.Reason == registry.Mixed):
		return fail(exitRefused, "the cell was restored from an older copy, or its host has heard of more: publish above it with --serial N", "%s: %w", doing, err)
	default:
		return p.shelf.problem(doing, err)
	}
}

// whoSigns says what is missing to a list that too few have signed of those who may.
func (p *publishing) whoSigns() string {
	root, err := p.shelf.Root()
	if err != nil || root == nil {
		root = &registry.Root{}
	}
	role := root.SpecRole(p.channel)
	may := root.Roles[role].Keys
	for _, s := range p.signers {
		if key := s.Public(); !slices.Contains(may, key) {
			if by := p.takenOutBy(role, key); by > 0 {
				return fmt.Sprintf("the key %s was taken out by root %d, and signs nothing any more: sign with --key and one that may: %s", key, by, strings.Join(names(may), ", "))
			}
			return "the key " + key.String() + " may not sign yet; whoever has the cell's root key lets it: " + letSign(key.String(), role)
		}
	}
	return "write it with --prepare FILE, let others sign it with statecraft sign, and publish it with --envelope FILE; they have the keys " + strings.Join(names(may), ", ")
}

// takenOutBy is the version of the root that took a key out of a role which the roots before it let sign, 0 where none has.
func (p *publishing) takenOutBy(role string, key identity.PublicKey) uint64 {
	roots, _ := p.shelf.Roots() // newest first; without them the hint is the usual one
	var by uint64
	for _, root := range roots {
		if slices.Contains(root.Roles[role].Keys, key) {
			return by
		}
		by = root.Version
	}
	return 0
}

// remember keeps the serial with the client. What is published is published, also where that does not work.
func (p *publishing) remember(published *publication.Published) {
	if err := p.shelf.Remember(published, p.channel); err != nil {
		p.inv.notef("%v: should the cell be restored from an older copy, the next publication needs --serial", err)
	}
}

// store sends the bundles that a signed list names.
func (p *publishing) store(result *publishResult, envelope []byte) error {
	for i, m := range p.packed {
		ctx, cancel := p.shelf.patienceFor(len(m.bundle.Data))
		stored, err := p.shelf.PutBundle(ctx, m.bundle, envelope)
		cancel()
		if err != nil {
			return p.refused("storing the bundle of "+m.bundle.Name, err)
		}
		result.Bundles[i].Stored = stored
	}
	return nil
}

// publish publishes what others have signed, which a file holds.
func (p *publishing) publish(file string, envelope []byte) error {
	root, err := p.shelf.Root()
	if err != nil {
		return err
	}
	if spec, err := registry.ReadSpec(envelope, root); err == nil { // else it is refused below
		if err := checkMatches(file, spec.Machines); err != nil {
			return err
		}
	}
	ctx, cancel := p.shelf.patience()
	defer cancel()
	published, err := p.shelf.Publish(ctx, p.channel, envelope, p.over)
	if err != nil {
		return p.refused(publishingTo+p.channel, err)
	}
	p.remember(published)
	p.machines = published.Spec.Machines
	if err := p.compare(published.Spec); err != nil {
		return err
	}
	return p.tell(publishResult{
		Channel: p.channel, Serial: published.Spec.Serial, Revision: published.Revision, Expires: published.Spec.Expires,
		Changes: p.changes, Bundles: p.bundles(),
	}, "published")
}

// replacing names the machines that a publication adds for hosts in place of built-in ones.
func replacing(channel string, changes []specChange) (names []string) {
	for _, c := range changes {
		_, err := fs.Stat(manifests.Files, path.Join("overlay", c.Name+".yaml"))
		if channel == registry.OverlayChannel && c.Kind == registry.Added && err == nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// tell prints the outcome.
func (p *publishing) tell(r publishResult, done string) error {
	if p.inv.json {
		return p.inv.printJSON(r)
	}
	p.inv.changes(r.Changes)
	for _, name := range replacing(r.Channel, r.Changes) {
		p.inv.notef("on hosts %s takes the place of the built-in machine of that name; registry retract --channel %s %s gives it back", name, r.Channel, name)
	}
	if done != "" {
		p.inv.printf("%s channel %s, serial %d, %s, until %s\n", done, r.Channel, r.Serial, counted(len(p.machines), "machine"), instant(r.Expires))
	}
	return nil
}
