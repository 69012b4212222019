package overlay_test

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestRotateReplacesTheKeysOfOneHost, and what all hosts share; everything else stays.
func TestRotateReplacesTheKeysOfOneHost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "o1", "o2"))
	before := contents(t, dir)
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "o1", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	var other []string
	for path, was := range before {
		if name, _ := filepath.Rel(dir, path); after[path] != was {
			other = append(other, name)
		}
	}
	slices.Sort(other)
	want := []string{
		"authority/cluster.secret", "hosts/o1/cluster.secret", "hosts/o1/host.key", "hosts/o1/issuers/enrollment.jwt", "hosts/o1/issuers/enrollment.key",
		"hosts/o1/issuers/service.jwt", "hosts/o1/issuers/service.key", "hosts/o1/tls.key", "hosts/o1/tls.pem", "hosts/o2/cluster.secret",
	}
	if !slices.Equal(other, want) {
		t.Errorf("other files are %q, want %q", other, want)
	}
	if after[filepath.Join(dir, "hosts/o1/cluster.secret")] != after[filepath.Join(dir, "hosts/o2/cluster.secret")] {
		t.Error("the hosts do not share their secret")
	}
	for i, name := range []string{"enrollment", "service"} {
		if got := after[r.Revoke[i]]; got != before[filepath.Join(dir, "hosts/o1/issuers", name+".jwt")] {
			t.Errorf("%s does not have the certificate before", r.Revoke[i])
		}
		c, err := identity.Inspect(strings.TrimSpace(after[filepath.Join(dir, "hosts/o1/issuers", name+".jwt")]))
		if err != nil || c.Cell != "main" || c.Limits == nil {
			t.Errorf("the certificate of %s: %+v, %v", name, c, err)
		}
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "hosts/o1/tls.pem"), filepath.Join(dir, "hosts/o1/tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"o1", "127.0.0.1", "localhost"} {
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	// What was replaced before is told again, until its folder is removed.
	if again, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "o1", Now: noon}); err != nil || len(again.Revoke) != 4 || !slices.Contains(again.OldKeys, r.OldKey) {
		t.Errorf("%+v, %v", again, err)
	}
	if made := initialise(t, cellOptions(dir, "o1", "o2")); len(made) > 0 {
		t.Errorf("something was missing: %v", made)
	}
	if _, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "o9", Now: noon}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a host that there is not: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "authority/root.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "o1", Now: noon}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the authority: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "authority/root.key")); err == nil {
		t.Error("another authority was made")
	}
}

// TestRotateRefusesWhatIsNoHostOfTheCell gives the verb names that lead elsewhere, and folders of another cell and of another host. Nothing is changed.
func TestRotateRefusesWhatIsNoHostOfTheCell(t *testing.T) {
	base := t.TempDir()
	dir, other := filepath.Join(base, "cell"), filepath.Join(base, "other")
	initialise(t, cellOptions(dir, "o1", "o2"))
	initialise(t, cellOptions(other, "hh", "o2"))
	for name, folder := range map[string]string{"linked": filepath.Join(other, "hosts", "hh"), "hh": filepath.Join(other, "hosts", "hh"), "o3": "o1"} {
		if err := os.Symlink(folder, filepath.Join(dir, "hosts", name)); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, base)
	for _, host := range []string{"../../other/hosts/hh", "..", ".", "o1/../o1", "hh", "linked", "o3", "O1", "/o1"} {
		if r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: host, Now: noon}); err == nil {
			t.Errorf("%q was rotated: %+v", host, r)
		}
	}
	if r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Now: noon}); err == nil {
		t.Errorf("all were rotated, with one of another cell: %+v", r)
	}
	if after := contents(t, base); !maps.Equal(before, after) {
		t.Error("something was changed")
	}
}

// TestRotateLeavesOutWhatIsNotThere: where the operator's folder was taken away none is made, as it would reach nobody and nobody asked for it; the rest is replaced.
func TestRotateLeavesOutWhatIsNotThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "o1"))
	before := contents(t, dir)
	for _, gone := range []string{"operator", "join.jwt"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	for _, gone := range []string{"operator/context.json", "operator/client.key", "join.jwt"} {
		if after[filepath.Join(dir, gone)] != "" {
			t.Errorf("%s was made", gone)
		}
	}
	for _, issuer := range []string{"authority/client.key", "authority/client.jwt", "authority/join.key", "authority/join.jwt"} {
		if path := filepath.Join(dir, issuer); after[path] == "" || after[path] == before[path] {
			t.Errorf("%s was not replaced", issuer)
		}
	}
	if len(r.Revoke) != 4 || len(r.OldKeys) != 1 {
		t.Errorf("to revoke are %q and %q", r.Revoke, r.OldKeys)
	}
	initialise(t, cellOptions(dir, "o1"))
	if c, err := overlay.OpenClient(filepath.Join(dir, "operator")); err != nil || len(c.URLs) == 0 {
		t.Errorf("the operator that init makes again: %+v, %v", c, err)
	}
}

// TestRotateNamesEachKeyThatIsReplaced: the old key of a host is that of this rotation, whatever folders of earlier ones are called, and a key that cannot be read
// ends the rotation before anything is replaced.
func TestRotateNamesEachKeyThatIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "a1", "o2"))
	all, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Made {
		if m.What == "the operator's key" && m.Path != filepath.Join(dir, "operator", "client.key") {
			t.Errorf("%s is called %s", m.Path, m.What)
		}
	}
	path := filepath.Join(dir, "hosts/a1/host.key")
	had, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "a1", Now: noon})
	if err != nil || r.OldKey != had.Public().String() || len(r.OldKeys) != 4 {
		t.Errorf("the old key is not %s: %+v, %v", had.Public(), r, err)
	}
	for what, spoil := range map[string]func() error{
		"can be read by others": func() error { return os.Chmod(path, 0o644) },
		"does not hold a seed":  func() error { return os.WriteFile(path, []byte("x\n"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "a1", Now: noon}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("a key that %s: %+v, %v", what, r, err)
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "authority/rotating.new")), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if after := contents(t, dir); !maps.Equal(before, after) {
			t.Error("something was replaced")
		}
	}
	if err := os.Remove(path); err != nil { // there is nothing to revoke
		t.Fatal(err)
	}
	if r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "a1", Now: noon}); err != nil || r.OldKey != "" {
		t.Errorf("without a key: %+v, %v", r, err)
	}
}

// TestWhatIsNoJoinTokenIsSaidWithItsReason by rotate and by init, for a text that is no token and for a token of another purpose.
func TestWhatIsNoJoinTokenIsSaidWithItsReason(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "o1"))
	issuer, err := os.ReadFile(filepath.Join(dir, "authority/join.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	for text, why := range map[string]string{"x": "token", string(issuer): "it is for the purpose issuer"} {
		if err := os.WriteFile(filepath.Join(dir, "join.jwt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, rotateErr := overlay.Rotate(overlay.RotateOptions{Dir: dir, Now: noon})
		_, initErr := overlay.Init(cellOptions(dir, "o1"))
		for verb, err := range map[string]error{"rotate": rotateErr, "init": initErr} {
			if err == nil || !strings.Contains(err.Error(), "join.jwt is no join token") || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "%!") {
				t.Errorf("%s of %.20q: %v", verb, text, err)
			}
		}
	}
}

// TestACellsFolderIsNoPattern rotates keys in a folder whose name reads as a pattern: every host has the new secret, and all that looks for hosts finds them.
func TestACellsFolderIsNoPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "b[1]")
	initialise(t, cellOptions(dir, "o1", "o2"))
	before := contents(t, dir)
	if _, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Host: "o1", Now: noon}); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	secret := after[filepath.Join(dir, "authority/cluster.secret")]
	for _, host := range []string{"o1", "o2"} {
		if has := after[filepath.Join(dir, "hosts", host, "cluster.secret")]; has != secret || has == before[filepath.Join(dir, "authority/cluster.secret")] {
			t.Errorf("%s does not have the new secret of the cluster", host)
		}
	}
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: dir, Now: noon})
	if err != nil || len(r.OldKeys) != 4 || len(r.Kept) != 2 {
		t.Errorf("all hosts: %+v, %v", r, err)
	}
	if hosts, err := overlay.StandingHosts(dir); err != nil || len(hosts) != 2 {
		t.Errorf("the hosts that are there: %v, %v", hosts, err)
	}
	if cell, err := overlay.CellOf(dir); err != nil || cell != "main" {
		t.Errorf("the cell is %q, %v", cell, err)
	}
	if _, _, err := overlay.Open(dir); !errors.Is(err, overlay.ErrSeveralHosts) {
		t.Errorf("opening a folder with several hosts: %v", err)
	}
	if _, err := overlay.Init(cellOptions(dir, "o3")); err == nil {
		t.Error("a host was added without those that are there")
	}
}
