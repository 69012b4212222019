package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// Store keeps what one identity has verified: its trust root and the last good spec of each channel. Safe for concurrent use.
type Store struct {
	dir       string // "" is in memory
	anchors   func() ([]identity.PublicKey, error)
	envelopes *Envelopes
	disk      statefile.Disk

	mu    sync.Mutex
	chain [][]byte             // the envelopes of all roots, as the next version is verified by the one before
	roots []*Root              // what they hold: version n is the nth
	last  map[string]*accepted // by channel
	// later is why the root that follows the present one is not read, where whoever signs roots has signed it and it asks for what only a
	// later release knows. Who may sign is then not known any more: nothing new is taken until the program is upgraded.
	later error
	seen  remembered // what is kept apart of what was accepted

	faults         faults
	forgotten      []string // channels that had a list of which not even the serial is known
	rootsForgotten bool     // there was a chain of roots of which not even the length is known
}

// accepted is the last good spec of a channel.
type accepted struct {
	spec     *Spec // nil where its file was damaged: the serial still counts
	envelope []byte
	serial   uint64
	under    uint64 // version of the root
}

// storedSpec is a channel's file. Serial and Under stand beside the envelope, so that they survive its damage.
type storedSpec struct {
	Serial   uint64 `json:"serial"`
	Under    uint64 `json:"under"`
	Envelope []byte `json:"envelope"`
}

const (
	rootsName   = "roots.json"
	specName    = "spec.%s.json"
	damagedName = ".damaged"
)

// OpenStore opens a folder (mode 0700, files 0600), or memory for "". anchors are the keys, of which one must have signed the first
// root: the cell's roots as the node's assignment names them. What the folder holds is verified again; a file that does not hold what
// was verified once is put aside with the suffix .damaged, and counts as not there. What is older than what it held is refused nevertheless;
// Faults says so. What a later release has left there and this one cannot read stays, and nothing new is accepted.
func OpenStore(dir string, anchors func() ([]identity.PublicKey, error)) (*Store, error) {
	return (*Envelopes)(nil).OpenStore(dir, anchors)
}

// OpenStore opens a store that shares what envelopes hold with others.
func (v *Envelopes) OpenStore(dir string, anchors func() ([]identity.PublicKey, error)) (*Store, error) {
	s := &Store{dir: dir, anchors: anchors, envelopes: v, last: map[string]*accepted{}}
	if dir == "" {
		return s, nil
	}
	err := s.disk.Do("make "+dir, func() error { return identity.MakeFolder(dir) })
	for _, read := range []func() error{s.readSeen, s.readRoots, s.survey} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening what is trusted: %w", err)
	}
	return s, nil
}

func (s *Store) readRoots() error {
	text, err := s.disk.Read(filepath.Join(s.dir, rootsName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, statefile.ErrNotRegular):
		return s.putAside(rootsName, err)
	case err != nil:
		return err
	}
	anchors, err := s.anchors()
	if err != nil {
		return err
	}
	var chain [][]byte
	err = json.Unmarshal(text, &chain)
	var roots []*Root
	var root *Root
	for _, envelope := range chain {
		if err == nil {
			root, err = readRoot(envelope, root, anchors)
		}
		if err == nil {
			roots = append(roots, root)
		}
	}
	if IsUnsupported(err) { // a later release has kept it: it stays for the next one that can read it
		s.later = err
	} else if err != nil {
		return s.putAside(rootsName, err)
	}
	s.chain, s.roots = chain[:len(roots)], roots
	return nil
}

// beyond refuses what follows a root that cannot be read.
func (s *Store) beyond() error {
	return refuse(Unsupported, "who may sign it is said by the trust root %d, which this release cannot read: %v", len(s.roots)+1, s.later)
}

// root is the present one, nil where there is none.
func (s *Store) root() *Root {
	if len(s.roots) == 0 {
		return nil
	}
	return s.roots[len(s.roots)-1]
}

// since is the present root with the serials of all roots after a version: who hears of several at once misses none of them.
func (s *Store) since(version uint64) *Root {
	root := s.root()
	if root == nil || version >= root.Version-1 {
		return root
	}
	all := *root
	all.Serials = map[string]uint64{}
	for _, r := range s.roots[version:] {
		maps.Copy(all.Serials, r.Serials)
	}
	return &all
}

// write replaces a file as a whole, for good.
func (s *Store) write(name string, v any) error {
	if s.dir == "" {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.replace(name, text)
}

func (s *Store) replace(name string, text []byte) error {
	path := filepath.Join(s.dir, name)
	return s.disk.Do("write "+path, func() error {
		if err := renameio.WriteFile(path, text, 0o600, renameio.WithTempDir(s.dir)); err != nil {
			return err
		}
		return statefile.SyncDir(s.dir)
	})
}

// AcceptRoot takes the next root, or the first. A root that is known already changes nothing. Errors are *Refusal and those of storage.
func (s *Store) AcceptRoot(envelope []byte, now time.Time) (*Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.knows(envelope) {
		return s.root(), nil
	}
	root, o, err := s.nextRoot(envelope, now)
	if IsUnsupported(err) && o.head().Version == uint64(len(s.roots))+1 {
		s.later = err
	}
	if err == nil && s.later != nil {
		err = s.beyond()
	}
	if err != nil {
		return nil, err
	}
	chain := append(slices.Clip(s.chain), o.envelope)
	err = s.noteSeen(root.Version, "", seenSerial{})
	if err == nil {
		err = s.write(rootsName, chain)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping a root: %w", err)
	}
	s.chain, s.roots = chain, append(slices.Clip(s.roots), root)
	s.judgeRoots()
	return root, nil
}

// CheckRoot verifies the next root, or the first, as AcceptRoot does, and keeps nothing: which of several becomes the next one is for
// the place to decide where it is published.
func (s *Store) CheckRoot(envelope []byte, now time.Time) (*Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, _, err := s.nextRoot(envelope, now)
	return root, err
}

func (s *Store) knows(envelope []byte) bool {
	return slices.ContainsFunc(s.chain, func(known []byte) bool { return slices.Equal(known, envelope) })
}

func (s *Store) nextRoot(envelope []byte, now time.Time) (*Root, *opened, error) {
	if s.rootsForgotten {
		return nil, nil, s.checkRoots()
	}
	anchors, err := s.anchors()
	if err != nil {
		return nil, nil, fmt.Errorf("accepting a root: %w", err)
	}
	o, err := s.envelopes.open(envelope)
	if err != nil {
		return nil, nil, err
	}
	root, err := o.verifyRoot(s.root(), anchors, now)
	return root, o, err
}

// Root is the present root, nil where there is none. It must not be changed.
func (s *Store) Root() (*Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root(), nil
}

// RootSince is the present root, nil where there is none, with the serials of all roots after a version: by it VerifySpec holds a spec against
// one that was accepted under that version. It must not be changed.
func (s *Store) RootSince(version uint64) (*Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since(version), nil
}

// Roots are all roots that there have been, the newest first. They must not be changed.
func (s *Store) Roots() ([]*Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.roots)
	slices.Reverse(all)
	return all, nil
}

// Chain are the envelopes of all roots that there have been, the first one first. They must not be changed.
func (s *Store) Chain() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.chain)
}

// Follows reports whether an envelope holds a root that the roots of a chain, verified before, vouch for; of an empty chain
// the anchors do.
func (s *Store) Follows(chain [][]byte, envelope []byte, now time.Time) bool {
	other := &Store{anchors: s.anchors, envelopes: s.envelopes, last: map[string]*accepted{}}
	for _, known := range append(slices.Clone(chain), envelope) {
		if _, err := other.AcceptRoot(known, now); err != nil {
			return IsUnsupported(err) // it is one, of a later release
		}
	}
	return true
}

// Accept verifies a spec and keeps it as the channel's last good one; fresh says whether it is new. Errors are *Refusal and those of
// storage: the last good one stays.
func (s *Store) Accept(envelope []byte, w Want) (spec *Spec, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, last, err := s.check(envelope, w)
	if err != nil {
		return nil, false, err
	}
	if last.spec != nil && last.spec.Serial == next.serial && slices.Equal(last.envelope, envelope) {
		return last.spec, false, nil
	}
	name := fmt.Sprintf(specName, w.Channel)
	err = s.noteSeen(next.under, w.Channel, seenSerial{Serial: next.serial, Under: next.under})
	if err == nil {
		err = s.write(name, storedSpec{Serial: next.serial, Under: next.under, Envelope: next.envelope})
	}
	if err != nil {
		return nil, false, fmt.Errorf("keeping a spec: %w", err)
	}
	s.last[w.Channel] = next
	s.faults.clear(name)
	return next.spec, last.spec == nil || last.spec.Serial != next.serial, nil
}

// Check verifies a spec as Accept does, and keeps nothing.
func (s *Store) Check(envelope []byte, w Want) (*Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, _, err := s.check(envelope, w)
	if err != nil {
		return nil, err
	}
	return next.spec, nil
}

// check verifies a spec against the last good one of its channel.
func (s *Store) check(envelope []byte, w Want) (next, last *accepted, err error) {
	if last, err = s.lastOf(w.Channel); err != nil {
		return nil, nil, err
	}
	before, under, err := s.known(w.Channel, last)
	if err == nil {
		err = s.checkRoots()
	}
	if err != nil {
		return nil, nil, err
	}
	o, err := s.envelopes.open(envelope)
	if err != nil {
		return nil, nil, err
	}
	spec, err := o.verify(s.since(under), w, before, under)
	if err != nil {
		return nil, nil, err
	}
	if s.later != nil && (last.spec == nil || spec.Serial != last.serial) {
		return nil, nil, s.beyond()
	}
	return &accepted{spec: spec, envelope: o.envelope, serial: spec.Serial, under: s.root().Version}, last, nil
}

// Floor is the serial that the next publication to a channel has to exceed, as far as is known here: that of the last good spec or,
// where a root since then lets the channel go on from another one, the root's. 0 where nothing is known.
func (s *Store) Floor(channel string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.lastOf(channel)
	if err != nil {
		return 0, err
	}
	serial, under := last.serial, last.under
	if noted := s.seen.Channels[channel]; noted.Serial > serial {
		serial, under = noted.Serial, noted.Under
	}
	root := s.since(under)
	if root == nil {
		return serial, nil
	}
	floor, reset := root.Serials[channel]
	if serial > 0 && (!reset || under >= root.Version) {
		floor = serial
	}
	return floor, nil
}

// Last is the channel's last good spec, nil where there is none. It is what was accepted, however old it is by now. It must not be changed.
func (s *Store) Last(channel string) (*Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.lastOf(channel)
	if err != nil {
		return nil, err
	}
	return last.spec, nil
}

// Named finds the channel's last good spec with the keys that have signed it, where it names a machine whose bundle has a digest; nil where it does not.
func (s *Store) Named(channel, name, digest string) (*Spec, []identity.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.lastOf(channel)
	if err != nil || last.spec == nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(last.spec.Machines, func(e Entry) bool { return e.Name == name && e.Checksum == digest }) {
		return nil, nil, nil
	}
	signers, err := Signers(last.envelope)
	return last.spec, signers, err
}

// lastOf reads a channel's file, once.
func (s *Store) lastOf(channel string) (*accepted, error) {
	if known := s.last[channel]; known != nil {
		return known, nil
	}
	if err := CheckChannel(channel); err != nil {
		return nil, err
	}
	a := &accepted{}
	if s.dir != "" {
		if err := s.readSpec(channel, a); err != nil {
			return nil, fmt.Errorf("reading the last spec of the channel %s: %w", channel, err)
		}
	}
	if a.spec != nil || a.envelope == nil { // else its root is not there, and may come
		s.last[channel] = a
	}
	return a, nil
}

func (s *Store) readSpec(channel string, a *accepted) error {
	name := fmt.Sprintf(specName, channel)
	text, err := s.disk.Read(filepath.Join(s.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, statefile.ErrNotRegular):
		return s.putAside(name, err)
	case err != nil:
		return err
	}
	var stored storedSpec
	if err := json.Unmarshal(text, &stored); err != nil {
		return s.putAside(name, err)
	}
	a.serial, a.under, a.envelope = stored.Serial, stored.Under, stored.Envelope
	root := s.rootAt(stored.Under)
	if root == nil && uint64(len(s.roots)) < max(s.seen.Root, stored.Under) { // roots were damaged: what they vouched for is not; or a later release has kept it
		return nil
	}
	spec, err := ReadSpec(stored.Envelope, root)
	if IsUnsupported(err) { // the same
		return nil
	}
	if err == nil && (spec.Serial != stored.Serial || spec.Channel != channel) {
		err = errors.New("it is another list than it says")
	}
	if err != nil {
		a.envelope = nil
		return s.putAside(name, err)
	}
	a.spec = spec
	return nil
}

// rootAt is the root of a version, nil where it is not known: a spec may have been signed by a key that was rotated out since.
func (s *Store) rootAt(version uint64) *Root {
	if version == 0 || version > uint64(len(s.roots)) {
		return nil
	}
	return s.roots[version-1]
}
