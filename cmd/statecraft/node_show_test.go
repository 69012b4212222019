package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// nodeFolder is a state folder of a node that has what f puts into its store.
func nodeFolder(t *testing.T, f func(*identity.Store, *identity.Key) error) (dir string, key identity.PublicKey) {
	t.Helper()
	dir = t.TempDir()
	store, err := identity.OpenStore(filepath.Join(dir, nodeIdentityDir))
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := store.EnsureKey()
	if err == nil {
		err = f(store, k)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, k.Public()
}

// assigned stages and activates an assignment with everything.
func assigned(s *identity.Store, k *identity.Key) error {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	token, err := (&identity.Signer{Key: k}).Sign(identity.Claims{
		Purpose: identity.PurposeNode, ID: "T1", Identity: "n1.example", PublicKey: k.Public().String(), Cell: "main", IssuedAt: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		return err
	}
	err = s.Stage(&identity.Assignment{
		Identity: "n1.example", Cell: "main", URLs: []string{"tls://b1:4222"}, Token: token, Roots: []string{k.Public().String()},
		Upgrade: "2.1.0", Message: "welcome", CertificateCA: "a certificate",
	})
	if err != nil {
		return err
	}
	if err := s.Activate(); err != nil {
		return err
	}
	return s.Provide()
}

func TestNodeShow(t *testing.T) {
	dir, key := nodeFolder(t, assigned)
	verb := &nodeShowVerb{stateFlags{State: dir}}
	// Other verbs take the folder of the node's machines, too.
	if within := answer(t, &nodeShowVerb{stateFlags{State: filepath.Join(dir, nodeStateDir)}}, true); within != answer(t, verb, true) {
		t.Errorf("--state DIR/state: %v", within)
	}
	files := filepath.Join(dir, "identity", "given")
	answer(t, verb, false).wants(t, exitOK, "public key  "+key.String(), "node        n1.example", "token       T1",
		"token ends  2026-05-04 13:00:00Z", "upgrade     2.1.0", "message     welcome", "files       "+files, "has not confirmed this yet")
	a := answer(t, verb, true)
	a.wants(t, exitOK)
	var got nodeShown
	a.decode(t, &got)
	ends := time.Date(2026, 5, 4, 13, 0, 0, 0, time.UTC)
	want := nodeShown{
		PublicKey: key.String(), Identity: "n1.example", Cell: "main", URLs: []string{"tls://b1:4222"}, TokenID: "T1", Expires: &ends, OnTrial: true,
		Upgrade: "2.1.0", Message: "welcome", Files: files,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestNodeShowWithoutAPlace shows nodes that have nothing to show.
func TestNodeShowWithoutAPlace(t *testing.T) {
	bare, key := nodeFolder(t, func(*identity.Store, *identity.Key) error { return nil })
	a := answer(t, &nodeShowVerb{stateFlags{State: bare}}, true)
	a.wants(t, exitOK)
	var fields map[string]any
	if err := json.Unmarshal([]byte(a.out), &fields); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"public_key": key.String(), "on_trial": false}, fields); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	answer(t, &nodeShowVerb{stateFlags{State: bare}}, false).wants(t, exitOK, "public key  "+key.String(), "belongs to no overlay yet")
	none := filepath.Join(t.TempDir(), "none")
	answer(t, &nodeShowVerb{stateFlags{State: none}}, false).wants(t, exitFailed, "statecraft node run --join FILE")
	if _, err := os.Stat(none); !os.IsNotExist(err) {
		t.Errorf("the folder of no node is there now: %v", err)
	}
	damaged, _ := nodeFolder(t, assigned)
	found, err := filepath.Glob(filepath.Join(damaged, nodeIdentityDir, "assignment-*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if err := os.Truncate(found[0], 10); err != nil {
		t.Fatal(err)
	}
	answer(t, &nodeShowVerb{stateFlags{State: damaged}}, false).wants(t, exitInvalid, "hint: a running node enrolls again by itself")
}

// TestAJoinTokenIsNotTakenFromTheCommandLine, where every user of the system can read it.
func TestAJoinTokenIsNotTakenFromTheCommandLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	if a := answer(t, &overlayInitVerb{Cell: "main", Dir: dir}, false); a.code != exitOK {
		t.Fatal(a)
	}
	token := strings.TrimSpace(read(t, filepath.Join(dir, "join.jwt")))
	a := answer(t, &nodeRunVerb{stateFlags: stateFlags{State: filepath.Join(t.TempDir(), "node")}, Join: token}, false)
	if a.wants(t, exitUsage, "not taken from the command line", "give -"); strings.Contains(a.out+a.errs, token[:40]) {
		t.Error("the token is printed")
	}
	inv := testInvocation(t.Context(), &quietBuffer{}, &quietBuffer{}, false)
	inv.stdin = strings.NewReader(token + "\n")
	if got, err := inv.readToken("-"); err != nil || got != token {
		t.Errorf("from standard input: %v", err)
	}
}
