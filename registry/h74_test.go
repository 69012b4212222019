package registry

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// of gives a document as it is signed, with changes: each pair of texts is what is replaced, and by what. They are in canonical form.
func of(t *testing.T, document any, changes ...string) string {
	t.Helper()
	_, payload, err := openEnvelope(sealed(t, document))
	if err != nil {
		t.Fatal(err)
	}
	text := string(payload)
	for pair := range slices.Chunk(changes, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("%q is not in %s", pair[0], text)
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

// names fails unless an error is a refusal as unsupported that names something.
func names(t *testing.T, err error, name string) {
	t.Helper()
	refusedFor(t, err, "unsupported")
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("it does not name %q: %v", name, err)
	}
}

// A trust root of the next release, with a role, keys and extensions that are not known here, is followed, and so is what comes after it.
func TestH74ARootWithWhatIsNotKnownIsFollowed(t *testing.T) {
	tm := newTeam(t, 1, 1)
	s := tm.store(t.TempDir())
	second := of(t, tm.root, `"version":1`, `"version":2`, `"roles":{`, `"roles":{"gate":{"keys":[{"kind":"p256"}],"threshold":1},`,
		`"threshold":1}}`, `"threshold":1,"until":7}},"timestamp":{"hours":24}`, `{"expires"`, `{"beginning":[1,"<&>"],"expires"`,
		`"issued"`, `"extensions":{"example.net/owner":"ops"},"issued"`)
	root, err := s.AcceptRoot(raw(t, rootPayload, second, tm.anchor), begun)
	if err != nil || root.Version != 2 {
		t.Fatalf("%+v, %v", root, err)
	}
	if _, _, err := s.Accept(sealed(t, tm.spec(1, "web"), tm.signers...), want(begun)); err != nil {
		t.Error(err)
	}
	again, err := payloadOf(root)
	if err != nil || string(again) != second {
		t.Errorf("it is written as\n%s\nand was\n%s\n%v", again, second, err)
	}
	wanted := []string{"beginning", "example.net/owner", "roles.gate", "roles.spec.until", "timestamp"}
	if got := root.PassedOver(); !slices.Equal(got, wanted) {
		t.Errorf("it passes over %q", got)
	}
	third, err := root.Next(RootChange{Role: RoleSpec, Add: public(newKeys(t, 1)...), Issued: begun, Expires: begun.Add(365 * day)})
	if err != nil {
		t.Fatal(err)
	}
	if root, err = s.AcceptRoot(sealed(t, third, tm.anchor), begun); err != nil || !slices.Equal(root.PassedOver(), wanted) {
		t.Errorf("the root that this release makes after it: %+v, %v", root, err)
	}
	if opened, err := OpenStore(s.dir, s.anchors); err != nil || opened.root() == nil || opened.root().Version != 3 {
		t.Errorf("the store is opened with %+v, %v", opened, err)
	}
}

// A spec of the next release that has more is followed, and kept as it was signed; what it calls critical is refused by name.
func TestH74ASpecWithWhatIsNotKnownIsFollowed(t *testing.T) {
	tm := newTeam(t, 1, 1)
	s := tm.store("")
	later := of(t, tm.spec(1, "web"), `"expires"`, `"deadline":{"hours":4},"expires"`,
		`"issued"`, `"extensions":{"example.net/change":4711},"issued"`, `"version"`, `"user":"web","version"`)
	spec, _, err := s.Accept(raw(t, specPayload, later, tm.signers...), want(begun))
	if err != nil || len(spec.Machines) != 1 {
		t.Fatalf("%+v, %v", spec, err)
	}
	if again, err := payloadOf(spec); err != nil || string(again) != later {
		t.Errorf("it is written as\n%s\nand was\n%s\n%v", again, later, err)
	}
	if got := spec.PassedOver(); !slices.Equal(got, []string{"deadline", "example.net/change", "machines.user"}) {
		t.Errorf("it passes over %q", got)
	}
	another := strings.Replace(later, `"user":"web"`, `"user":"root"`, 1)
	_, _, err = s.Accept(raw(t, specPayload, another, tm.signers...), want(begun))
	refusedFor(t, err, Mixed) // what is not known is content all the same
	understood := of(t, tm.spec(2, "web"), `"expires"`, `"critical":["machines.match","serial"],"expires"`)
	if _, _, err := s.Accept(raw(t, specPayload, understood, tm.signers...), want(begun)); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"user":               of(t, tm.spec(3, "web"), `"expires"`, `"critical":["machines.user","serial"],"expires"`, `"version"`, `"user":"web","version"`),
		"example.net/gate":   of(t, tm.spec(3, "web"), `"expires"`, `"critical":["example.net/gate"],"expires"`),
		"machines":           of(t, tm.spec(3, "web"), `"expires"`, `"critical":["machines"],"expires"`, `"issued"`, `"extensions":{"machines":1},"issued"`),
		"deadline":           of(t, tm.spec(3, "web"), `"expires"`, `"critical":["deadline"],"expires"`, `"serial":3`, `"serial":"3b"`),
		"window":             of(t, tm.spec(3, "web"), `"expires"`, `"critical":["window"],"expires"`, `"issued"`, `"version":"2.1","issued"`),
		"gate":               of(t, tm.spec(3, "web"), `"expires"`, `"critical":["gate"],"expires"`, `"issued"`, `"extensions":["gate"],"issued"`),
		"statecraft.spec.v3": of(t, tm.spec(3, "web"), `statecraft.spec.v1`, `statecraft.spec.v3`, `"expires"`, `"critical":{"gate":2},"expires"`),
		"statecraft.spec.v2": of(t, tm.spec(3, "web"), `statecraft.spec.v1`, `statecraft.spec.v2`),
	} {
		_, _, err := s.Accept(raw(t, specPayload, text, tm.signers...), want(begun))
		names(t, err, name)
		_, _, err = s.Accept(raw(t, specPayload, text, newKeys(t, 1)...), want(begun))
		refusedFor(t, err, Unsigned) // nothing is said of what nobody trusted has signed
		if _, err := Cosign(raw(t, specPayload, text, tm.signers...), newKeys(t, 1)[0]); err == nil {
			t.Errorf("%s: somebody signs what they cannot read", name)
		}
	}
	if last, err := s.Last("default"); err != nil || last.Serial != 2 {
		t.Errorf("the last good one is %+v, %v", last, err)
	}
	foreign := tm.spec(3, "web")
	foreign.Critical = []string{"gate"}
	if _, err := Sign(foreign, tm.signers[0]); err == nil || !strings.Contains(err.Error(), "gate") {
		t.Errorf("what is critical and not known is signed: %v", err)
	}
	envelope := strings.Replace(string(sealed(t, tm.spec(3, "web"), tm.signers...)), `{"payload`, `{"more":1,"payload`, 1)
	if _, _, err := s.Accept([]byte(envelope), want(begun)); err != nil {
		t.Error(err)
	}
}

// A role that requires something that is not known here is taken, so that the chain of roots goes on; what it signs is refused by name.
func TestH74WhatARoleRequiresIsRefusedByNameNotTheRoot(t *testing.T) {
	tm := newTeam(t, 1, 1)
	s := tm.store("")
	first := sealed(t, tm.spec(1, "web"), tm.signers...)
	if _, _, err := s.Accept(first, want(begun)); err != nil {
		t.Fatal(err)
	}
	roleSpec := `"spec":{"keys":["` + tm.signers[0].Public().String() + `"],`
	second := of(t, tm.root, `"version":1`, `"version":2`, roleSpec, roleSpec+`"requires":["gate"],`)
	if _, err := s.AcceptRoot(raw(t, rootPayload, second, tm.anchor), begun); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Accept(sealed(t, tm.spec(2, "web"), tm.signers...), want(begun))
	names(t, err, "gate")
	_, _, err = s.Accept(sealed(t, tm.spec(2, "web"), newKeys(t, 1)...), want(begun))
	refusedFor(t, err, Unsigned)
	if last, err := s.Last("default"); err != nil || last.Serial != 1 {
		t.Errorf("the last good one is %+v, %v", last, err)
	}
	root, _ := s.Root()
	third, err := root.Next(RootChange{Role: RoleSpec, Add: public(newKeys(t, 1)...), Issued: begun, Expires: begun.Add(365 * day)})
	if err != nil {
		t.Fatal(err)
	}
	if root, err = s.AcceptRoot(sealed(t, third, tm.anchor), begun); err != nil || len(root.Roles[RoleSpec].Requires) != 1 {
		t.Errorf("the root after it: %+v, %v", root, err)
	}
}

// Where the next root cannot be read, whom it takes rights from is not known: nothing new is taken by the one before.
func TestH74NothingNewIsTakenPastARootThatCannotBeRead(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	s := tm.store(dir)
	first := sealed(t, tm.spec(1, "web"), tm.signers...)
	if _, _, err := s.Accept(first, want(begun)); err != nil {
		t.Fatal(err)
	}
	far := of(t, tm.root, `"version":1`, `"version":5`, `"expires"`, `"critical":["quorum"],"expires"`)
	_, err := s.AcceptRoot(raw(t, rootPayload, far, tm.anchor), begun)
	names(t, err, "quorum")
	if _, _, err := s.Accept(sealed(t, tm.spec(2, "web"), tm.signers...), want(begun)); err != nil {
		t.Errorf("a root that does not follow counts: %v", err)
	}
	next := strings.Replace(far, `"version":5`, `"version":2`, 1)
	_, err = s.AcceptRoot(raw(t, rootPayload, next, newKeys(t, 1)...), begun)
	refusedFor(t, err, Unsigned)
	if _, _, err := s.Accept(sealed(t, tm.spec(3, "web"), tm.signers...), want(begun)); err != nil {
		t.Errorf("a root that nobody trusted has signed counts: %v", err)
	}
	third := sealed(t, tm.spec(3, "web"), tm.signers...)
	_, err = s.AcceptRoot(raw(t, rootPayload, next, tm.anchor), begun)
	names(t, err, "quorum")
	_, _, err = s.Accept(sealed(t, tm.spec(4, "web"), tm.signers...), want(begun))
	names(t, err, "quorum")
	if _, fresh, err := s.Accept(third, want(begun)); err != nil || fresh {
		t.Errorf("what was accepted before does not count on: %t, %v", fresh, err)
	}
	rival := *tm.root
	rival.Version, rival.Serials = 2, map[string]uint64{"default": 1}
	_, err = s.AcceptRoot(sealed(t, &rival, tm.anchor), begun)
	names(t, err, "quorum")
}

// A program that is put back to this release finds what the later one has kept: it stays, and nothing older is taken.
func TestH74WhatALaterReleaseKeptIsNotDamage(t *testing.T) {
	tm := newTeam(t, 1, 1)
	for name, change := range map[string]func(root, spec string) (string, string){
		"a critical root": func(root, spec string) (string, string) {
			return strings.Replace(root, `"expires"`, `"critical":["quorum"],"expires"`, 1), spec
		},
		"a critical spec": func(root, spec string) (string, string) {
			return root, strings.Replace(spec, `"expires"`, `"critical":["quorum"],"expires"`, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "trust")
			s := tm.store(dir)
			root, spec := change(of(t, tm.root, `"version":1`, `"version":2`), of(t, tm.spec(7, "web")))
			s.mu.Lock()
			chain := [][]byte{s.chain[0], raw(t, rootPayload, root, tm.anchor)}
			stored := struct {
				storedSpec
				More string `json:"more"`
			}{storedSpec{Serial: 7, Under: 2, Envelope: raw(t, specPayload, spec, tm.signers...)}, "of the later release"}
			if err := s.write(rootsName, chain); err != nil {
				t.Fatal(err)
			}
			if err := s.write("spec.default.json", stored); err != nil {
				t.Fatal(err)
			}
			s.mu.Unlock()
			before := read(t, dir)
			s, err := OpenStore(dir, s.anchors)
			if err != nil {
				t.Fatal(err)
			}
			for _, serial := range []uint64{6, 7, 8} {
				_, _, err := s.Accept(sealed(t, tm.spec(serial, "web"), tm.signers...), want(begun))
				switch {
				case serial < 7 && err != nil:
					refusedFor(t, err, Rollback)
				case name == "a critical root":
					names(t, err, "quorum")
				case serial == 8 && err != nil:
					t.Error(err)
				}
			}
			if name == "a critical root" && !slices.Equal(before, read(t, dir)) {
				t.Errorf("the folder holds %q in place of %q", read(t, dir), before)
			}
		})
	}
}

// read gives the names and contents of a folder's files, but for what is noted of them.
func read(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == seenName {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f.Name(), string(text))
	}
	return all
}
