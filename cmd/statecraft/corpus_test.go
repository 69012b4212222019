package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// The corpus has, below the name of each release, documents of every kind as that release wrote them, signed with the key of corpusKey: every later
// release must read them all. later/ has what a release to come might write: this one passes it over or refuses it by name, as wanted.json says. A release
// that has no folder yet gets one by `go test ./cmd/statecraft -run Corpus -update`; a folder that is there is never written again.
const corpus = "../../testdata/corpus"

// corpusTime is when all documents of the corpus are good.
var corpusTime = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// corpusKey is one of the keys that signed the corpus: 0 is the root's.
func corpusKey(t *testing.T, n byte) *identity.Key {
	t.Helper()
	key, err := identity.KeyFromSeed(bytes.Repeat([]byte{'c', n}, 16))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// corpusFile is a file of a release, without the newline at its end.
func corpusFile(t *testing.T, name ...string) []byte {
	t.Helper()
	return bytes.TrimSuffix([]byte(read(t, filepath.Join(append([]string{corpus}, name...)...))), []byte("\n"))
}

// corpusStore is a trust store that begins with the corpus' root key; "" is in memory.
func corpusStore(t *testing.T, dir string) *registry.Store {
	t.Helper()
	store, err := registry.OpenStore(dir, func() ([]identity.PublicKey, error) { return []identity.PublicKey{corpusKey(t, 0).Public()}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return store
}

var corpusWant = registry.Want{Channel: "default", Cell: "lon1", Now: corpusTime}

// TestH74CorpusOfEveryReleaseIsRead walks what each release has left.
func TestH74CorpusOfEveryReleaseIsRead(t *testing.T) {
	current := filepath.Join(corpus, machine.Release)
	if _, err := os.Stat(current); errors.Is(err, os.ErrNotExist) && *update {
		writeCorpus(t, current)
	}
	folders, err := filepath.Glob(filepath.Join(corpus, "[0-9]*"))
	if err != nil || !slices.Contains(folders, current) {
		t.Fatalf("the release %s has no folder in testdata/corpus (%v): go test ./cmd/statecraft -run Corpus -update makes it", machine.Release, err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			release := filepath.Base(folder)
			t.Run("published", func(t *testing.T) { corpusPublished(t, release) })
			t.Run("kept", func(t *testing.T) { corpusKept(t, release) })
			t.Run("tokens", func(t *testing.T) { corpusTokens(t, release) })
		})
	}
}

// corpusPublished follows the roots, takes the list, and unpacks and runs the check of the bundle that it names.
func corpusPublished(t *testing.T, release string) {
	store := corpusStore(t, "")
	for _, name := range []string{"root.1.json", "root.2.json"} {
		if _, err := store.AcceptRoot(corpusFile(t, release, name), corpusTime); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	spec, fresh, err := store.Accept(corpusFile(t, release, "spec.json"), corpusWant)
	if err != nil || !fresh || spec.Serial != 7 || len(spec.Machines) != 1 {
		t.Fatalf("the list: %+v, %v", spec, err)
	}
	e, bundle := spec.Machines[0], read(t, filepath.Join(corpus, release, "web.tgz"))
	into := filepath.Join(t.TempDir(), "into")
	if err := registry.Unpack(strings.NewReader(bundle), int64(len(bundle)), e.Checksum, into, registry.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if err := registry.Verify(filepath.Join(into, "web"), e.Verify, e.VerifyChecksum); err != nil {
		t.Error(err)
	}
	d, list, err := loadManifest(filepath.Join(into, "web", "machine.yaml"))
	if err != nil || list.HasErrors() || d.Manifest.Version != e.Version {
		t.Errorf("the machine: %v, %v", list, err)
	}
	if entries, err := registry.VerifyChoria(corpusFile(t, release, "choria.json"), corpusKey(t, 1).Public()); err != nil || len(entries) != 1 {
		t.Errorf("Choria's signed list: %+v, %v", entries, err)
	}
}

// corpusKept opens what a node, a host and a client of the release have kept.
func corpusKept(t *testing.T, release string) {
	dir := t.TempDir()
	for _, name := range []string{"trust/roots.json", "trust/spec.default.json", "trust/seen", "client/context.json", "node/key", "node/join", "node/name", "node/slots"} {
		copyCorpus(t, filepath.Join(corpus, release, name), filepath.Join(dir, name))
	}
	assignments, err := filepath.Glob(filepath.Join(corpus, release, "node", "assignment-*"))
	if err != nil || len(assignments) != 1 {
		t.Fatalf("%d assignments, %v", len(assignments), err)
	}
	copyCorpus(t, assignments[0], filepath.Join(dir, "node", filepath.Base(assignments[0])))
	store := corpusStore(t, filepath.Join(dir, "trust"))
	root, err := store.Root()
	if err != nil || root == nil || root.Version != 2 {
		t.Fatalf("the kept root: %+v, %v", root, err)
	}
	if last, err := store.Last("default"); err != nil || last == nil || last.Serial != 7 {
		t.Errorf("the kept list: %+v, %v", last, err)
	}
	if damaged, _ := filepath.Glob(filepath.Join(dir, "trust", "*.damaged")); len(damaged) > 0 {
		t.Errorf("put aside: %v", damaged)
	}
	if err := corpusKey(t, 3).Save(filepath.Join(dir, "client", "client.key")); err != nil {
		t.Fatal(err)
	}
	if c, err := overlay.OpenClient(filepath.Join(dir, "client")); err != nil || c.Cell != "lon1" || len(c.URLs) != 1 {
		t.Errorf("the client: %+v, %v", c, err)
	}
	node, err := identity.OpenStore(filepath.Join(dir, "node"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := node.Active()
	if err != nil || a.Cell != "lon1" {
		t.Fatalf("the assignment: %+v, %v", a, err)
	}
	if key, err := node.Key(); err != nil {
		t.Error(err)
	} else if err := a.Coherent(key.Public(), identity.Expect{Now: corpusTime}); err != nil {
		t.Error(err)
	}
	if token, err := node.JoinToken(); err != nil || token == "" {
		t.Error(err)
	}
}

// corpusTokens verifies a token of each purpose.
func corpusTokens(t *testing.T, release string) {
	files, err := filepath.Glob(filepath.Join(corpus, release, "tokens", "*.jwt"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%d tokens, %v", len(files), err)
	}
	verifier := identity.NewVerifier(corpusKey(t, 0).Public())
	for _, file := range files {
		purpose := identity.Purpose(strings.TrimSuffix(filepath.Base(file), ".jwt"))
		c, err := verifier.Verify(strings.TrimSpace(read(t, file)), identity.Expect{Purposes: []identity.Purpose{purpose}, Now: corpusTime})
		if err != nil || c.Cell != "lon1" && purpose != identity.PurposeIssuer {
			t.Errorf("%s: %+v, %v", file, c, err)
		}
	}
}

func copyCorpus(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(read(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wanted is what comes of a document of a later release.
type wanted struct {
	Refused string   `json:"refused,omitempty"` // what the error says: the reason and the name
	Passed  []string `json:"passed,omitempty"`  // what is passed over, of roots and lists
}

// TestH74CorpusOfLaterReleasesIsPassedOverOrRefusedByName holds every file of later/ against what is wanted of it.
func TestH74CorpusOfLaterReleasesIsPassedOverOrRefusedByName(t *testing.T) {
	if *update {
		writeLater(t, filepath.Join(corpus, "later"))
	}
	var all map[string]wanted
	if err := json.Unmarshal(corpusFile(t, "later", "wanted.json"), &all); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "later", "*"))
	if err != nil || len(files) != len(all)+1 || len(all) == 0 {
		t.Errorf("%d files, and %d are wanted (%v)", len(files)-1, len(all), err)
	}
	for name, w := range all {
		passed, err := readLater(t, name)
		if w.Refused == "" && (err != nil || !slices.Equal(passed, w.Passed)) {
			t.Errorf("%s: it passes over %q (%v), not %q", name, passed, err, w.Passed)
		}
		for _, text := range strings.Fields(w.Refused) {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is not said: %v", name, text, err)
			}
		}
	}
}

// readLater reads a document of a later release as this one does; its name says what it is.
func readLater(t *testing.T, name string) (passed []string, err error) {
	t.Helper()
	data := corpusFile(t, "later", name)
	kind, _, _ := strings.Cut(name, "-")
	store := corpusStore(t, "")
	if _, err := store.AcceptRoot(corpusFile(t, machine.Release, "root.1.json"), corpusTime); err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "root":
		root, err := store.AcceptRoot(data, corpusTime)
		if err != nil {
			return nil, err
		}
		_, _, err = store.Accept(corpusFile(t, machine.Release, "spec.json"), corpusWant)
		return root.PassedOver(), err
	case "spec":
		spec, _, err := store.Accept(data, corpusWant)
		if err != nil {
			return nil, err
		}
		return spec.PassedOver(), nil
	case "token":
		_, err := identity.NewVerifier(corpusKey(t, 0).Public()).Verify(string(data), identity.Expect{
			Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeAssignment}, Cell: "lon1", Now: corpusTime,
		})
		return nil, err
	case "machine":
		_, list := machine.Load(name, data, catalogue())
		if list.HasErrors() {
			return nil, list
		}
		return nil, nil
	}
	t.Fatalf("%s: nobody reads what it is", name)
	return nil, nil
}
