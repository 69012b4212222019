package publication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers/delivery"
)

// The names that manifests/overlay/streams.yaml gives them.
const (
	SpecsBucket   = "SPECS"
	BundlesBucket = "BUNDLES"

	specPrefix = "spec."
	rootPrefix = "root."
)

// MaxEnvelope is the longest envelope that is published, in bytes: it must fit into the event by which a node's machine takes it, with
// what else that event carries.
const MaxEnvelope = delivery.MaxPublished

// The causes of what cannot be published.
var (
	ErrTooLarge = errors.New("the signed document is too large; spread its machines over several channels")
	// ErrOvertaken is returned where somebody else has published to the channel since it was read.
	ErrOvertaken = errors.New("somebody else has published meanwhile; read the channel again")
	// ErrNoChannel is returned where nothing was ever published to a channel.
	ErrNoChannel = errors.New("nothing was published to the channel")
)

// Shelf is a cell's specs and bundles, as a client reads and writes them by the services of its hosts. Safe for concurrent use.
type Shelf struct {
	cell    string
	now     func() time.Time
	trust   *registry.Store
	subject func(service string) string
	request func(ctx context.Context, m *nats.Msg) (*nats.Msg, error)
}

// Published is a spec as it was published.
type Published struct {
	Spec     *registry.Spec // nil where it cannot be vouched for
	Before   *registry.Spec // of History only: what an earlier root vouches for, where the present one does not
	Under    uint64         // version of the newest root that vouches for it
	Envelope []byte
	Revision uint64
	At       time.Time
	Broken   error // of Base only: what is wrong with what the channel has now
}

// Open finds the shelf of the cell that a connection leads to; subject is where its client asks a service of the cell. trust is the caller's own, which takes the
// roots that it does not know yet; now is the wall clock. Errors are ErrSilent, ErrNobody, those of NATS, and registry.Refusal for a root that
// is not to be trusted.
func Open(ctx context.Context, nc *nats.Conn, subject func(service string) string, cell string, trust *registry.Store, now func() time.Time) (*Shelf, error) {
	s := &Shelf{cell: cell, trust: trust, now: now, subject: subject, request: nc.RequestMsgWithContext}
	return s, s.learnRoots(ctx)
}

// learnRoots follows the chain of roots from the one that is trusted.
func (s *Shelf) learnRoots(ctx context.Context) error {
	version := uint64(0)
	root, err := s.trust.Root()
	if err != nil {
		return fmt.Errorf("reading the trust root: %w", err)
	}
	if root != nil {
		version = root.Version
	}
	for {
		version++
		e, found, err := s.get(ctx, rootKey(version))
		switch {
		case err != nil:
			return fmt.Errorf("reading the root %d: %w", version, err)
		case !found || e.Deleted:
			return nil
		}
		if _, err := s.trust.AcceptRoot(e.Value, s.now()); err != nil {
			return fmt.Errorf("the cell's root %d: %w", version, err)
		}
	}
}

func rootKey(version uint64) string { return rootPrefix + strconv.FormatUint(version, 10) }
func specKey(channel string) string { return specPrefix + channel }

// Root is the newest trust root of the cell, nil where there is none.
func (s *Shelf) Root() (*registry.Root, error) { return s.trust.Root() }

// Roots are all roots that there have been, as far as this client has seen them, the newest first.
func (s *Shelf) Roots() ([]*registry.Root, error) { return s.trust.Roots() }

// PutBackRoots puts roots that are trusted back where the cell has lost them, or has something in their place that is no
// root of that version. It returns their versions, but for that of a first root which a new cell does not have yet. Where the
// cell has another good root it is an error.
func (s *Shelf) PutBackRoots(ctx context.Context) (versions []uint64, err error) {
	for i, envelope := range s.trust.Chain() {
		version := uint64(i) + 1
		e, found, err := s.get(ctx, rootKey(version))
		lost := !found || e.Deleted
		if err == nil && !lost && slices.Equal(e.Value, envelope) {
			continue
		}
		if err == nil {
			_, err = s.put(ctx, rootKey(version), envelope, e.Revision)
		}
		if err != nil {
			return versions, fmt.Errorf("putting the root %d back: %w", version, err)
		}
		if !lost || version > 1 {
			versions = append(versions, version)
		}
	}
	return versions, nil
}

// PublishRoot puts a root beside those before it. The trust verifies it first: what nobody could verify is not published. It takes it when the
// cell has it.
func (s *Shelf) PublishRoot(ctx context.Context, envelope []byte) (*registry.Root, error) {
	if len(envelope) > MaxEnvelope {
		return nil, ErrTooLarge
	}
	at := slices.IndexFunc(s.trust.Chain(), func(known []byte) bool { return bytes.Equal(known, envelope) })
	version := uint64(at) + 1 //nolint:gosec // of one that is known; else it is set below
	if at < 0 {
		root, err := s.trust.CheckRoot(envelope, s.now())
		if err != nil {
			return nil, fmt.Errorf("publishing a root: %w", err)
		}
		version = root.Version
	}
	if _, err := s.put(ctx, rootKey(version), envelope, 0); err != nil {
		return nil, fmt.Errorf("publishing the root %d: %w", version, err)
	}
	root, err := s.trust.AcceptRoot(envelope, s.now())
	if err != nil {
		return nil, fmt.Errorf("the root %d is published, and is not kept: %w", version, err)
	}
	return root, nil
}

// Channels are the names of the channels that something was published to.
func (s *Shelf) Channels(ctx context.Context) (names []string, err error) {
	q := delivery.RevisionsQuery{Prefix: specPrefix}
	for {
		a, err := s.page(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("listing the channels: %w", err)
		}
		for _, key := range a.Keys {
			names = append(names, strings.TrimPrefix(key, specPrefix))
		}
		if !a.More || len(a.Keys) == 0 {
			return names, nil
		}
		q.After = a.Keys[len(a.Keys)-1]
	}
}

// Current is what was last published to a channel. ErrNoChannel where nothing was. Its signatures are good, by the present root or, where
// keys were rotated since, by an earlier one, which Under says; it may have expired.
func (s *Shelf) Current(ctx context.Context, channel string) (*Published, error) {
	e, found, err := s.get(ctx, specKey(channel))
	if err != nil {
		return nil, err
	}
	if !found || e.Deleted {
		return nil, ErrNoChannel
	}
	p, err := s.vouched(e)
	if err != nil {
		return nil, fmt.Errorf("the channel %s: %w", channel, err)
	}
	return p, nil
}

// vouched reads an entry by the present root or, where keys were rotated since, by an earlier one. The refusal is the present root's.
func (s *Shelf) vouched(e delivery.Revision) (*Published, error) {
	roots, err := s.trust.Roots()
	if err != nil {
		return nil, fmt.Errorf("reading the trust roots: %w", err)
	}
	_, refusal := readSpec(e, nil)
	for i, root := range roots {
		p, err := readSpec(e, root)
		if err == nil || registry.IsUnsupported(err) {
			return p, err
		}
		if i == 0 {
			refusal = err
		}
	}
	return nil, refusal
}

// History is all that is kept of a channel, the oldest first. Of what is not good by the present root (its key may have been
// rotated out since) the spec is nil, and Before what an earlier root vouches for.
func (s *Shelf) History(ctx context.Context, channel string) ([]Published, error) {
	entries, err := s.history(ctx, specKey(channel))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, ErrNoChannel
	}
	root, err := s.trust.Root()
	if err != nil {
		return nil, fmt.Errorf("reading the trust root: %w", err)
	}
	var all []Published
	for _, e := range entries {
		if e.Deleted {
			continue
		}
		p, err := readSpec(e, root)
		if err != nil {
			p = &Published{Envelope: e.Value, Revision: e.Revision, At: e.At}
			if earlier, err := s.vouched(e); err == nil {
				p.Before = earlier.Spec
			}
		}
		all = append(all, *p)
	}
	return all, nil
}

func readSpec(e delivery.Revision, root *registry.Root) (*Published, error) {
	spec, err := registry.ReadSpec(e.Value, root)
	if err != nil {
		return nil, err
	}
	return &Published{Spec: spec, Under: root.Version, Envelope: e.Value, Revision: e.Revision, At: e.At}, nil
}

// NextSerial is the serial that a publication over another one must have at least: above that of the other one, and above what is
// known here to have been published.
func (s *Shelf) NextSerial(channel string, over *Published) (uint64, error) {
	known, err := s.trust.Floor(channel)
	if err != nil {
		return 0, fmt.Errorf("reading what was published last: %w", err)
	}
	var under uint64
	if over != nil {
		under = over.Under
	}
	root, err := s.trust.RootSince(under)
	if err != nil || root == nil {
		return known + 1, err
	}
	floor, reset := root.Serials[channel]
	if over != nil && over.Spec != nil && (!reset || under >= root.Version) {
		floor = over.Spec.Serial
	}
	return max(floor, known) + 1, nil
}

// Publish puts a signed spec in place of the one of a revision (0: none). It refuses what nodes would refuse. Errors are ErrTooLarge,
// ErrOvertaken, ErrFull, ErrSilent, ErrNobody, a registry.Refusal and those of NATS.
func (s *Shelf) Publish(ctx context.Context, channel string, envelope []byte, over *Published) (*Published, error) {
	if len(envelope) > MaxEnvelope {
		return nil, ErrTooLarge
	}
	spec, err := s.acceptable(channel, envelope, over)
	if err != nil {
		return nil, err
	}
	here := uint64(0)
	if over != nil {
		here = over.Revision
	}
	revision, err := s.put(ctx, specKey(channel), envelope, here)
	if err != nil {
		return nil, err
	}
	root, err := s.trust.Root()
	if err != nil {
		return nil, err
	}
	return &Published{Spec: spec, Under: root.Version, Envelope: envelope, Revision: revision, At: s.now()}, nil
}

// Check says whether nodes would take a signed spec in place of what a channel has. Errors are ErrTooLarge and a registry.Refusal.
func (s *Shelf) Check(channel string, envelope []byte, over *Published) error {
	if len(envelope) > MaxEnvelope {
		return ErrTooLarge
	}
	_, err := s.acceptable(channel, envelope, over)
	return err
}

// acceptable asks what a node would ask that has the spec before.
func (s *Shelf) acceptable(channel string, envelope []byte, over *Published) (*registry.Spec, error) {
	var last *registry.Spec
	var under uint64
	if over != nil {
		last, under = over.Spec, over.Under
	}
	root, err := s.trust.RootSince(under)
	if err != nil {
		return nil, fmt.Errorf("reading the trust root: %w", err)
	}
	want := s.want(channel)
	spec, err := registry.VerifySpec(envelope, root, want, last, under)
	if err == nil {
		_, err = s.trust.Check(envelope, want)
	}
	if err != nil {
		return nil, fmt.Errorf("what was to be published would be refused: %w", err)
	}
	return spec, nil
}
