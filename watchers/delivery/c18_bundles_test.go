package delivery

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/registry/archivetest"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestC18BundlesByTransport has whoever serves bundles send others than the signed ones, by every way that a bundle has to a node. What was
// deployed stays, and the true bundle is taken after it.
func TestC18BundlesByTransport(t *testing.T) {
	old, good := bundleOf(t, "1.0.0"), bundleOf(t, "2.0.0")
	// These were signed as they are, by mistake: the entry of one machine with the bundle of another.
	foreign := attacked(archivetest.TarGz(archivetest.Entry{Name: "db/machine.yaml", Body: "name: db\n"}))
	mixed := *good
	mixed.SumsDigest = old.SumsDigest
	for _, lie := range []struct {
		name    string
		entry   *registry.Bundle // what was signed
		sent    []byte
		because string
	}{
		{"arbitrary", good, archivetest.TarGz(archivetest.Entry{Name: "web/machine.yaml", Body: "name: web\n"}), "the digest is another"},
		{"rollback", good, old.Data, "the digest is another"},
		{"mixed with another version's sums", &mixed, good.Data, registry.SumsFile},
		{"another machine's", foreign, foreign.Data, "web"},
		{"a bit is flipped", good, flipped(good.Data), "the digest is another"},
		{"cut short", good, good.Data[:len(good.Data)/2], "the digest is another"},
		{"something follows", good, append(slices.Clone(good.Data), "more"...), "the digest is another"},
		{"endless", good, bytes.Repeat([]byte("x"), int(registry.DefaultLimits().Compressed)+1), "beyond the limit"},
	} {
		t.Run(lie.name+" by https", func(t *testing.T) {
			a := newArchiveTest(t)
			a.check(a.web(old, sends(old.Data)), watchers.Started, outcomeDeployed)
			a.fails(a.web(lie.entry, sends(lie.sent)), lie.because)
			a.runs(old)
			a.check(a.web(good, sends(good.Data)), watchers.Entered, outcomeDeployed)
			a.runs(good)
		})
		t.Run(lie.name+" by object", func(t *testing.T) {
			a := newArchiveTest(t)
			r := &ranges{object: old.Data}
			serve := func(data []byte) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.object = data
			}
			a.broker(r)
			a.check(a.object(old), watchers.Started, outcomeDeployed)
			serve(lie.sent)
			a.fails(a.object(lie.entry), lie.because)
			a.runs(old)
			serve(good.Data)
			a.check(a.object(good), watchers.Entered, outcomeDeployed)
			a.runs(good)
		})
	}
}

func flipped(data []byte) []byte {
	data = slices.Clone(data)
	data[len(data)/2] ^= 1
	return data
}

// TestC18BundlesAtRest has somebody put a version that was signed once, with sums that are its own, in the place of the present one on the
// node's disk, in every way. It is found, and the signed one is deployed anew.
func TestC18BundlesAtRest(t *testing.T) {
	old, good := bundleOf(t, "1.0.0"), bundleOf(t, "2.0.0")
	slot := func(a *archiveTest, b *registry.Bundle) string {
		return filepath.Join(a.slots.Target, ".slots", "web-"+b.Digest)
	}
	for name, swap := range map[string]func(a *archiveTest) error{
		"the folder": func(a *archiveTest) error {
			return errors.Join(os.RemoveAll(slot(a, good)), os.CopyFS(slot(a, good), os.DirFS(slot(a, old))))
		},
		"the files": func(a *archiveTest) error {
			var failed error
			for _, file := range []string{"machine.yaml", registry.SumsFile} {
				content, err := os.ReadFile(filepath.Join(slot(a, old), file))
				failed = errors.Join(failed, err, os.WriteFile(filepath.Join(slot(a, good), file), content, 0o600))
			}
			return failed
		},
		"the pointer": func(a *archiveTest) error {
			link := filepath.Join(a.slots.Target, "web")
			return errors.Join(os.Remove(link), os.Symlink(filepath.Join(".slots", "web-"+old.Digest), link))
		},
	} {
		for _, moment := range []watchers.Moment{watchers.Interval, watchers.Started} {
			a := newArchiveTest(t)
			a.check(a.web(old, sends(old.Data)), watchers.Started, outcomeDeployed)
			w := a.web(good, sends(good.Data))
			a.check(w, watchers.Entered, outcomeDeployed)
			if err := swap(a); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if moment == watchers.Started { // the process is another one, and mends it at once
				w = a.web(good, sends(good.Data))
			} else {
				a.check(w, moment, outcomeTampered)
			}
			a.check(w, moment, outcomeDeployed)
			a.runs(good)
		}
	}
}
