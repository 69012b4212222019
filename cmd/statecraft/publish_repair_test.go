package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// specs is the bucket of signed lists, as somebody who repairs or spoils a cell gets at it.
func (r *registryCell) specs() jetstream.KeyValue {
	r.t.Helper()
	bucket, err := r.streams().KeyValue(r.t.Context(), "SPECS")
	if err != nil {
		r.t.Fatal(err)
	}
	return bucket
}

// bundles is the object store of the bundles.
func (r *registryCell) bundles() jetstream.ObjectStore {
	r.t.Helper()
	bundles, err := r.streams().ObjectStore(r.t.Context(), "BUNDLES")
	if err != nil {
		r.t.Fatal(err)
	}
	return bundles
}

// retract takes machines back.
func (r *registryCell) retract(machines ...string) *registryRetractVerb {
	return &registryRetractVerb{shelfFlags: r.flags(), signingFlags: signing(), Machines: machines}
}

// TestH75AMachineWhoseBundleIsLostOrSpoiledIsReplacedAndTakenBack needs nothing that is broken: the version before is compared where it
// can be read, and no more than that.
func TestH75AMachineWhoseBundleIsLostOrSpoiledIsReplacedAndTakenBack(t *testing.T) {
	for name, spoil := range map[string]func(r *registryCell, digest string) error{
		"lost": func(r *registryCell, digest string) error { return r.bundles().Delete(t.Context(), digest) },
		"spoiled": func(r *registryCell, digest string) error {
			_, err := r.bundles().PutBytes(t.Context(), digest, []byte("no bundle"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistryCell(t)
			web := r.machine("web", "1.0.0", "busy")
			answer(t, r.publish(web, r.machine("db", "1.0.0", "busy")), false).wants(t, exitOK, "")
			for _, e := range r.present().Machines {
				if err := spoil(r, e.Checksum); err != nil {
					t.Fatal(err)
				}
			}
			a := answer(t, r.publish(web), false)
			a.wants(t, exitOK, "nothing changes")
			a = answer(t, r.publish(r.machine("db", "1.1.0", "working")), false)
			a.wants(t, exitOK, "cannot be read")
			if spec := r.present(); spec.Serial != 2 || spec.Machines[0].Version != "1.1.0" {
				t.Errorf("published %+v", spec)
			}
			for _, e := range r.present().Machines {
				if _, err := r.bundles().GetBytes(t.Context(), e.Checksum); err != nil {
					t.Errorf("the bundle of %s was not put back: %v", e.Name, err)
				}
				if err := spoil(r, e.Checksum); err != nil {
					t.Fatal(err)
				}
			}
			answer(t, r.retract("db"), false).wants(t, exitOK, "")
			if spec := r.present(); spec.Serial != 3 || len(spec.Machines) != 1 {
				t.Errorf("after db was taken back there is %+v", spec)
			}
			back := r.retract()
			back.To = 2
			answer(t, back, false).wants(t, exitOK, "")
		})
	}
}

// TestH75ADeletedOrSpoiledListIsPublishedOver goes on from the newest list that is kept and can be read, with a serial above its own.
func TestH75ADeletedOrSpoiledListIsPublishedOver(t *testing.T) {
	for name, spoil := range map[string]func(r *registryCell) error{
		"deleted": func(r *registryCell) error { return r.specs().Delete(t.Context(), "spec.default") },
		"spoiled": func(r *registryCell) error {
			_, err := r.specs().Put(t.Context(), "spec.default", []byte("no list"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistryCell(t)
			answer(t, r.publish(r.machine("web", "1.0.0", "busy"), r.machine("db", "1.0.0", "busy")), false).wants(t, exitOK, "")
			for serial := uint64(2); serial < 4; serial++ {
				if err := spoil(r); err != nil {
					t.Fatal(err)
				}
				var v interface{ Run(*invocation) error } = r.publish(r.machine("web", "1.1.0", "busy"))
				if serial == 3 {
					v = r.retract("db")
				}
				answer(t, v, false).wants(t, exitOK, "goes on from serial")
				if spec := r.present(); spec.Serial != serial || len(spec.Machines) != int(4-serial) {
					t.Errorf("published %+v", spec)
				}
			}
		})
	}
}

// TestH65AFullStreamIsSaidToBeFullAtOnce, with its figures and with what makes room: it has a leader, and time does not help.
func TestH65AFullStreamIsSaidToBeFullAtOnce(t *testing.T) {
	for full, bounds := range map[string][2]int64{"BUNDLES": {64 << 10, 0}, "SPECS": {0, 4 << 10}} {
		t.Run(full, func(t *testing.T) {
			r := newRegistryCell(t)
			for i, stream := range []string{"OBJ_BUNDLES", "KV_SPECS"} {
				s, err := r.streams().Stream(t.Context(), stream)
				if err != nil {
					t.Fatal(err)
				}
				if cfg := s.CachedInfo().Config; bounds[i] > 0 {
					cfg.MaxBytes, cfg.Discard = bounds[i], jetstream.DiscardNew
					if _, err := r.streams().UpdateStream(t.Context(), cfg); err != nil {
						t.Fatal(err)
					}
				}
			}
			dir := r.machine("fat", "1.0.0", "busy")
			if full == "BUNDLES" {
				blob := make([]byte, 256<<10)
				_, _ = rand.Read(blob)
				if err := os.WriteFile(filepath.Join(dir, "blob"), blob, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			dirs := []string{dir}
			for i := 0; full == "SPECS" && i < 20; i++ {
				dirs = append(dirs, r.machine(fmt.Sprintf("more%d", i), "1.0.0", "busy"))
			}
			a := answer(t, r.publish(dirs...), false)
			a.wants(t, exitFailed, full+" is full: it holds ", "stream_bytes", "maximum bytes exceeded")
			if strings.Contains(a.errs, "do not answer") || strings.Contains(a.errs, "fat: storing") || strings.Contains(a.errs, "default: publishing") {
				t.Error(a.errs)
			}
		})
	}
}

// TestH75APurgedListIsPublishedAnew has nothing in the cell to go on from; the client remembers its last serial.
func TestH75APurgedListIsPublishedAnew(t *testing.T) {
	r := newRegistryCell(t)
	web := r.machine("web", "1.0.0", "busy")
	answer(t, r.publish(web), false).wants(t, exitOK, "")
	if err := r.specs().Purge(t.Context(), "spec.default"); err != nil {
		t.Fatal(err)
	}
	answer(t, r.publish(web), false).wants(t, exitOK, "")
	if spec := r.present(); spec.Serial != 2 || len(spec.Machines) != 1 {
		t.Errorf("published %+v", spec)
	}
}

// TestH75AfterAnOlderListWasRestoredPublicationsGoOnAboveWhatNodesHave has the list of serial 1 come back after 3. Whoever published
// before remembers it; somebody else says it.
func TestH75AfterAnOlderListWasRestoredPublicationsGoOnAboveWhatNodesHave(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	older, err := r.specs().Get(t.Context(), "spec.default")
	if err != nil {
		t.Fatal(err)
	}
	answer(t, r.publish(r.machine("web", "1.1.0", "busy")), false).wants(t, exitOK, "")
	answer(t, r.publish(r.machine("web", "1.2.0", "busy")), false).wants(t, exitOK, "")
	restore := func() {
		t.Helper()
		if _, err := r.specs().Put(t.Context(), "spec.default", older.Value()); err != nil {
			t.Fatal(err)
		}
	}
	restore()
	a := answer(t, r.publish(r.machine("web", "1.3.0", "busy")), false)
	a.wants(t, exitOK, "serial 3")
	if s := r.present().Serial; s != 4 {
		t.Errorf("after 3 the publisher published serial %d", s)
	}
	restore()
	stranger := r.publish(r.machine("web", "1.4.0", "busy"))
	if err := os.RemoveAll(filepath.Join(r.as, "trust")); err != nil {
		t.Fatal(err)
	}
	stranger.Serial = 1
	answer(t, stranger, false).wants(t, exitUsage, "at least 2")
	stranger.Serial = 5
	answer(t, stranger, false).wants(t, exitOK, "")
	if s := r.present().Serial; s != 5 {
		t.Errorf("--serial 5 published serial %d", s)
	}
	restore()
	back := r.retract("web")
	back.Serial = 9
	a = answer(t, back, true)
	a.wants(t, exitOK, "")
	if !strings.Contains(a.out, `"serial": 9`) && !strings.Contains(a.out, `"serial":9`) {
		t.Errorf("retract --serial 9 prints %s", a.out)
	}
}

// TestH75ATrustRootThatIsLostOrSpoiledIsPutBack has nodes that are new trust somebody again: the publisher has the root, also where its
// folder has forgotten all that it has verified.
func TestH75ATrustRootThatIsLostOrSpoiledIsPutBack(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	root, err := r.specs().Get(t.Context(), "root.1")
	if err != nil {
		t.Fatal(err)
	}
	spoil := func() {
		t.Helper()
		if _, err := r.specs().Put(t.Context(), "root.1", []byte(`{"junk":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	for i, lose := range []func(){spoil, func() {
		if err := r.specs().Delete(t.Context(), "root.1"); err != nil {
			t.Fatal(err)
		}
	}, func() {
		spoil()
		if err := os.RemoveAll(filepath.Join(r.as, "trust")); err != nil {
			t.Fatal(err)
		}
	}} {
		lose()
		said := "trust root 1 was missing or spoiled"
		if i == 1 {
			said = "" // as in a cell that is new
		}
		answer(t, r.publish(r.machine("web", fmt.Sprintf("1.%d.0", i+1), "busy")), false).wants(t, exitOK, said)
		if now, err := r.specs().Get(t.Context(), "root.1"); err != nil || string(now.Value()) != string(root.Value()) {
			t.Errorf("loss %d: the cell has not the root that there was: %v", i, err)
		}
	}
}

// TestAClientThatCannotOpenTheRegistryIsToldWhy: a folder without the cell's root keys, and a cell without the bucket.
func TestAClientThatCannotOpenTheRegistryIsToldWhy(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	bob := shelfFlags{contextFlags: contextFlags{As: r.client("bob", "registry_publish")}, Channel: "default"}
	if err := os.Remove(filepath.Join(bob.As, "roots")); err != nil {
		t.Fatal(err)
	}
	answer(t, &registryShowVerb{shelfFlags: bob}, false).wants(t, exitFailed, filepath.Join(bob.As, "roots"), "copy operator/roots")

	if err := r.streams().DeleteKeyValue(t.Context(), "SPECS"); err != nil {
		t.Fatal(err)
	}
	answer(t, &registryShowVerb{shelfFlags: r.flags()}, false).wants(t, exitFailed, "opening the bucket SPECS", "the hosts of a cell make it")
}
