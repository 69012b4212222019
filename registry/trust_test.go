package registry

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

var begun = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func newKeys(t testing.TB, n int) []*identity.Key {
	t.Helper()
	var keys []*identity.Key
	for range n {
		k, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

func public(keys ...*identity.Key) []identity.PublicKey {
	var all []identity.PublicKey
	for _, k := range keys {
		all = append(all, k.Public())
	}
	return all
}

// team is a cell's keys: an anchor, which is the only root key at first, and those who sign specs.
type team struct {
	t       testing.TB
	anchor  *identity.Key
	signers []*identity.Key
	root    *Root
}

func newTeam(t testing.TB, signers, threshold int) *team {
	t.Helper()
	tm := &team{t: t, anchor: newKeys(t, 1)[0], signers: newKeys(t, signers)}
	tm.root = &Root{
		Type: RootType, Version: 1, Issued: begun, Expires: begun.Add(365 * day),
		Roles: map[string]Role{
			RoleRoot: {Keys: public(tm.anchor), Threshold: 1},
			RoleSpec: {Keys: public(tm.signers...), Threshold: threshold},
		},
	}
	return tm
}

func sealed(t testing.TB, document any, keys ...*identity.Key) []byte {
	t.Helper()
	var signers []Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	envelope, err := Sign(document, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// spec is a spec of a serial that can be signed.
func (tm *team) spec(serial uint64, names ...string) *Spec {
	s := &Spec{
		Type: SpecType, Channel: "default", Audience: "main", Serial: serial,
		Issued: begun, Expires: begun.Add(90 * day), Machines: []Entry{},
	}
	for _, name := range names {
		s.Machines = append(s.Machines, Entry{
			Name: name, Version: "1.0.0", Source: "object://BUNDLES/" + strings.Repeat("ab", 32), Checksum: strings.Repeat("ab", 32),
		})
	}
	return s
}

// store opens a store that trusts the team's anchor and has its first root.
func (tm *team) store(dir string) *Store {
	tm.t.Helper()
	s, err := OpenStore(dir, func() ([]identity.PublicKey, error) { return public(tm.anchor), nil })
	if err != nil {
		tm.t.Fatal(err)
	}
	if _, err := s.AcceptRoot(sealed(tm.t, tm.root, tm.anchor), begun); err != nil {
		tm.t.Fatal(err)
	}
	return s
}

func want(at time.Time) Want { return Want{Channel: "default", Cell: "main", Now: at} }

// refusedFor fails unless an error is a refusal for a reason.
func refusedFor(t testing.TB, err error, reason Reason) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != reason {
		t.Errorf("refused for %q is expected: %v", reason, err)
	}
}

// resealed changes what an envelope holds, and leaves its signatures.
func resealed(t testing.TB, envelope []byte, change func(e *dsse.Envelope)) []byte {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	change(&e)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// raw signs any bytes as a payload of a type.
func raw(t testing.TB, payloadType, payload string, keys ...*identity.Key) []byte {
	t.Helper()
	e := dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload))}
	for _, k := range keys {
		e.Signatures = append(e.Signatures, dsse.Signature{
			KeyID: k.Public().String(), Sig: base64.StdEncoding.EncodeToString(k.Sign(dsse.PAE(payloadType, []byte(payload)))),
		})
	}
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStoreKeepsWhatItAccepts(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	s := tm.store(dir)
	envelope := sealed(t, tm.spec(1, "web"), tm.signers...)
	spec, fresh, err := s.Accept(envelope, want(begun))
	if err != nil || !fresh || spec.Machines[0].Name != "web" {
		t.Fatalf("accepting gives %+v, fresh %t, %v", spec, fresh, err)
	}
	if _, fresh, err := s.Accept(envelope, want(begun)); err != nil || fresh {
		t.Errorf("accepting it again: fresh %t, %v", fresh, err)
	}
	again := tm.store(dir)
	last, err := again.Last("default")
	if diff := cmp.Diff(spec, last); err != nil || diff != "" {
		t.Errorf("after opening again: %v\n%s", err, diff)
	}
	for _, name := range []string{"", "roots.json", "spec.default.json"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
}

// TestC18Spec tries everything that somebody can do who writes what a node reads, but has no key.
func TestC18Spec(t *testing.T) {
	tm := newTeam(t, 2, 1)
	thief := newKeys(t, 1)[0]
	good := sealed(t, tm.spec(7, "web"), tm.signers[0])
	other := tm.spec(7, "db")
	foreign := tm.spec(8, "web")
	foreign.Audience = "elsewhere"
	channel := tm.spec(8, "web")
	channel.Channel = "other"
	early := tm.spec(8, "web")
	early.Issued, early.Expires = begun.Add(day), begun.Add(2*day)
	payload := func(e []byte) string {
		_, p, err := openEnvelope(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	for name, test := range map[string]struct {
		envelope []byte
		at       time.Time
		reason   Reason
	}{
		"arbitrary":            {sealed(t, tm.spec(8, "evil"), thief), begun, Unsigned},
		"nobody has signed it": {sealed(t, tm.spec(8, "evil")), begun, Unsigned},
		"another payload": {resealed(t, good, func(e *dsse.Envelope) {
			e.Payload = base64.StdEncoding.EncodeToString([]byte(payload(sealed(t, other))))
		}), begun, Unsigned},
		"another's signature":       {resealed(t, good, func(e *dsse.Envelope) { e.Signatures[0].KeyID = tm.signers[1].Public().String() }), begun, Unsigned},
		"rollback":                  {sealed(t, tm.spec(6, "web"), tm.signers[0]), begun, Rollback},
		"mix":                       {sealed(t, other, tm.signers[0]), begun, Mixed},
		"freeze":                    {sealed(t, tm.spec(8, "web"), tm.signers[0]), begun.Add(90 * day), Expired},
		"freeze of the root":        {sealed(t, tm.spec(8, "web"), tm.signers[0]), begun.Add(366 * day), Expired},
		"another cell":              {sealed(t, foreign, tm.signers[0]), begun, WrongPlace},
		"another channel":           {sealed(t, channel, tm.signers[0]), begun, WrongPlace},
		"to come":                   {sealed(t, early, tm.signers[0]), begun, NotYet},
		"endless":                   {slices.Repeat([]byte("x"), MaxEnvelope+1), begun, TooLarge},
		"a root for a spec":         {sealed(t, tm.root, tm.signers[0]), begun, WrongType},
		"a root's bytes as a spec":  {raw(t, specPayload, payload(sealed(t, tm.root)), tm.signers[0]), begun, Malformed},
		"the type swapped":          {resealed(t, sealed(t, tm.root, tm.signers[0]), func(e *dsse.Envelope) { e.PayloadType = specPayload }), begun, Unsigned},
		"the root key is no signer": {sealed(t, tm.spec(8, "web"), tm.anchor), begun, Unsigned},
		"nothing":                   {nil, begun, Malformed},
		"null":                      {[]byte("null"), begun, WrongType},
		"something after":           {append(slices.Clone(good), " {}"...), begun, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			s := tm.store("")
			if _, _, err := s.Accept(good, want(begun)); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.Accept(test.envelope, want(test.at))
			refusedFor(t, err, test.reason)
			if last, err := s.Last("default"); err != nil || last.Serial != 7 || last.Machines[0].Name != "web" {
				t.Errorf("the last good one is %+v, %v", last, err)
			}
		})
	}
}

// TestC18Threshold counts each key once, and only those that have the role.
func TestC18Threshold(t *testing.T) {
	tm := newTeam(t, 3, 2)
	thief := newKeys(t, 1)[0]
	s := tm.store("")
	one := sealed(t, tm.spec(1, "web"), tm.signers[0])
	_, _, err := s.Accept(one, want(begun))
	refusedFor(t, err, Unsigned)
	twice := resealed(t, one, func(e *dsse.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) })
	_, _, err = s.Accept(twice, want(begun))
	refusedFor(t, err, Unsigned)
	upper := resealed(t, one, func(e *dsse.Envelope) {
		again := e.Signatures[0]
		again.KeyID = strings.ToUpper(again.KeyID)
		e.Signatures = append(e.Signatures, again)
	})
	_, _, err = s.Accept(upper, want(begun))
	refusedFor(t, err, Unsigned)
	_, _, err = s.Accept(sealed(t, tm.spec(1, "web"), tm.signers[0], thief), want(begun))
	refusedFor(t, err, Unsigned)
	both, err := Cosign(one, tm.signers[2])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Accept(both, want(begun)); err != nil {
		t.Error(err)
	}
}

// TestC18Cosign has nobody sign something else than a spec or a root, whoever asks for it.
func TestC18Cosign(t *testing.T) {
	tm := newTeam(t, 2, 2)
	good := sealed(t, tm.spec(1, "web"), tm.signers[0])
	for name, test := range map[string]struct {
		envelope []byte
		reason   Reason
	}{
		"a token":              {raw(t, "JWT", `{"sub":"alice"}`), WrongType},
		"no type":              {raw(t, "", "none"), WrongType},
		"no spec":              {raw(t, specPayload, `{"serial":1}`), Malformed},
		"a spec as a root":     {resealed(t, good, func(e *dsse.Envelope) { e.PayloadType = rootPayload }), Malformed},
		"no envelope":          {[]byte(`[]`), Malformed},
		"too many signatures":  {resealed(t, good, func(e *dsse.Envelope) { e.Signatures = slices.Repeat(e.Signatures, maxSignatures+1) }), Malformed},
		"larger than is taken": {slices.Repeat([]byte(" "), MaxEnvelope+1), TooLarge},
	} {
		if out, err := Cosign(test.envelope, tm.signers[1]); out != nil {
			t.Errorf("%s is signed", name)
		} else {
			refusedFor(t, err, test.reason)
		}
	}
	root := sealed(t, tm.root, tm.anchor)
	for name, envelope := range map[string][]byte{"a spec": good, "a root": root} {
		out, err := Cosign(envelope, tm.signers[1])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if by, err := Signers(out); err != nil || len(by) != 2 {
			t.Errorf("%s is signed by %v, %v", name, by, err)
		}
	}
}

// TestC18FirstRoot takes no first root but one that the cell's own key has signed.
func TestC18FirstRoot(t *testing.T) {
	tm, other := newTeam(t, 1, 1), newTeam(t, 1, 1)
	s, err := OpenStore("", func() ([]identity.PublicKey, error) { return public(tm.anchor), nil })
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Accept(sealed(t, tm.spec(1, "web"), tm.signers...), want(begun))
	refusedFor(t, err, NoRoot)
	_, err = s.AcceptRoot(sealed(t, other.root, other.anchor), begun)
	refusedFor(t, err, Unsigned)
	second := *tm.root
	second.Version = 2
	_, err = s.AcceptRoot(sealed(t, &second, tm.anchor), begun)
	refusedFor(t, err, Rollback)
	if _, err := s.AcceptRoot(sealed(t, tm.root, tm.anchor), begun); err != nil {
		t.Fatal(err)
	}
	forged := *tm.root
	forged.Roles = other.root.Roles
	_, err = s.AcceptRoot(sealed(t, &forged, tm.anchor, other.anchor), begun)
	refusedFor(t, err, Rollback)
}

// next makes and accepts the root after the present one.
func (tm *team) next(s *Store, c RootChange, keys ...*identity.Key) error {
	tm.t.Helper()
	c.Issued, c.Expires = begun, begun.Add(2*365*day)
	root, err := tm.root.Next(c)
	if err != nil {
		tm.t.Fatal(err)
	}
	if _, err := s.AcceptRoot(sealed(tm.t, root, keys...), begun); err != nil {
		return err
	}
	tm.root = root
	return nil
}

// TestC18FastForward takes a thief's key away that has driven the serial up, and lets the channel go on from where it was.
func TestC18FastForward(t *testing.T) {
	tm := newTeam(t, 2, 1)
	s := tm.store(filepath.Join(t.TempDir(), "trust"))
	last := tm.spec(5, "web")
	if _, _, err := s.Accept(sealed(t, last, tm.signers[0]), want(begun)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Accept(sealed(t, tm.spec(1<<60, "evil"), tm.signers[1]), want(begun)); err != nil {
		t.Fatal(err) // the key is good, which is the trouble
	}
	_, _, err := s.Accept(sealed(t, tm.spec(6, "web"), tm.signers[0]), want(begun))
	refusedFor(t, err, Rollback)
	change := RootChange{Role: RoleSpec, Remove: public(tm.signers[1]), Serials: map[string]uint64{"default": 5}}
	if err := tm.next(s, change, tm.anchor); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Accept(sealed(t, tm.spec(4, "old"), tm.signers[0]), want(begun))
	refusedFor(t, err, Rollback)
	_, _, err = s.Accept(sealed(t, tm.spec(1<<61, "evil"), tm.signers[1]), want(begun))
	refusedFor(t, err, Unsigned)
	if _, fresh, err := s.Accept(sealed(t, tm.spec(6, "web"), tm.signers[0]), want(begun)); err != nil || !fresh {
		t.Errorf("fresh %t, %v", fresh, err)
	}
	_, _, err = s.Accept(sealed(t, tm.spec(5, "web"), tm.signers[0]), want(begun))
	refusedFor(t, err, Rollback)
}

// TestC18FastForwardMissed has a node hear of the root that takes a thief's serial back only when another root came after it, at once and
// after it was started again. The way back from one reset is not open for ever.
func TestC18FastForwardMissed(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		tm := newTeam(t, 2, 1)
		dir := filepath.Join(t.TempDir(), "trust")
		s := tm.store(dir)
		if _, _, err := s.Accept(sealed(t, tm.spec(1<<60, "evil"), tm.signers[1]), want(begun)); err != nil {
			t.Fatal(err)
		}
		change := RootChange{Role: RoleSpec, Remove: public(tm.signers[1]), Serials: map[string]uint64{"default": 5, "other": 9}}
		if err := tm.next(s, change, tm.anchor); err != nil {
			t.Fatal(err)
		}
		if err := tm.next(s, RootChange{Role: RoleSpec, Serials: map[string]uint64{"other": 10}}, tm.anchor); err != nil {
			t.Fatal(err)
		}
		if restarted {
			s = tm.reopen(dir)
		}
		_, _, err := s.Accept(sealed(t, tm.spec(4, "old"), tm.signers[0]), want(begun))
		refusedFor(t, err, Rollback)
		if _, fresh, err := s.Accept(sealed(t, tm.spec(8, "web"), tm.signers[0]), want(begun)); err != nil || !fresh {
			t.Errorf("fresh %t, %v", fresh, err)
		}
		if err := tm.next(s, RootChange{Role: RoleSpec}, tm.anchor); err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Accept(sealed(t, tm.spec(7, "old"), tm.signers[0]), want(begun))
		refusedFor(t, err, Rollback)
	}
}

// TestC22Rotation follows a chain of roots in which everything changes, and never skips one.
func TestC22Rotation(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	s := tm.store(dir)
	old := tm.signers[0]
	if _, _, err := s.Accept(sealed(t, tm.spec(1, "web"), old), want(begun)); err != nil {
		t.Fatal(err)
	}
	roots, signer := newKeys(t, 2), newKeys(t, 1)[0]
	add := RootChange{Role: RoleRoot, Add: public(roots...), Remove: public(tm.anchor), Threshold: 2}
	if err := tm.next(s, add, tm.anchor); err == nil {
		t.Error("a root was taken that its own root role has not signed")
	} else {
		refusedFor(t, err, Unsigned)
	}
	if err := tm.next(s, add, tm.anchor, roots[0], roots[1]); err != nil {
		t.Fatal(err)
	}
	swap := RootChange{Role: RoleSpec, Add: public(signer), Remove: public(old)}
	refusedFor(t, tm.next(s, swap, tm.anchor), Unsigned)
	refusedFor(t, tm.next(s, swap, roots[0]), Unsigned)
	first := *tm.root
	if err := tm.next(s, swap, roots...); err != nil {
		t.Fatal(err)
	}
	skipping := *tm.root
	skipping.Version += 2
	_, err := s.AcceptRoot(sealed(t, &skipping, roots...), begun)
	refusedFor(t, err, Rollback)
	first.Expires = first.Expires.Add(day)
	_, err = s.AcceptRoot(sealed(t, &first, roots[0], roots[1], tm.anchor), begun)
	refusedFor(t, err, Rollback)

	again := tm.reopen(dir)
	if root, err := again.Root(); err != nil || root.Version != 3 {
		t.Errorf("after opening again the root is %+v, %v", root, err)
	}
	if last, err := again.Last("default"); err != nil || last == nil || last.Serial != 1 {
		t.Errorf("what a key has signed before it was rotated out is %+v, %v", last, err)
	}
	_, _, err = again.Accept(sealed(t, tm.spec(2, "web"), old), want(begun))
	refusedFor(t, err, Unsigned)
	if _, _, err := again.Accept(sealed(t, tm.spec(2, "web"), signer), want(begun)); err != nil {
		t.Error(err)
	}
}

func (tm *team) reopen(dir string) *Store {
	tm.t.Helper()
	s, err := OpenStore(dir, func() ([]identity.PublicKey, error) { return public(tm.anchor), nil })
	if err != nil {
		tm.t.Fatal(err)
	}
	return s
}

// TestC22Isolated is a node that was cut off for longer than its spec and its root count.
func TestC22Isolated(t *testing.T) {
	tm := newTeam(t, 1, 1)
	s := tm.store(filepath.Join(t.TempDir(), "trust"))
	held := sealed(t, tm.spec(1, "web"), tm.signers...)
	if _, _, err := s.Accept(held, want(begun)); err != nil {
		t.Fatal(err)
	}
	later := begun.Add(400 * day)
	_, _, err := s.Accept(held, want(later))
	refusedFor(t, err, Expired)
	if last, err := s.Last("default"); err != nil || last.Serial != 1 {
		t.Fatalf("the last good one is %+v, %v", last, err)
	}
	change := RootChange{Role: RoleSpec}
	change.Issued, change.Expires = later, later.Add(365*day)
	root, err := tm.root.Next(change)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptRoot(sealed(t, root, tm.anchor), later); err != nil {
		t.Fatal(err)
	}
	fresh := tm.spec(2, "web")
	fresh.Issued, fresh.Expires = later, later.Add(90*day)
	if _, _, err := s.Accept(sealed(t, fresh, tm.signers...), want(later)); err != nil {
		t.Error(err)
	}
}
