package overlay_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func cellOptions(dir string, hosts ...string) overlay.InitOptions {
	o := overlay.InitOptions{Dir: dir, Cell: "main", Now: noon}
	for i, name := range hosts {
		o.Hosts = append(o.Hosts, overlay.HostOptions{
			Name: name, Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222 + 10*i, Enrollment: 4223 + 10*i, Cluster: 6222 + 10*i,
		})
	}
	return o
}

func initialise(t *testing.T, o overlay.InitOptions) []overlay.Made {
	t.Helper()
	made, err := overlay.Init(o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// contents reads every file below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInitLetsNobodyElseRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInitCanBeRepeatedAndExtended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	before := contents(t, dir)
	if made := initialise(t, cellOptions(dir, "overlay1")); len(made) != 0 {
		t.Errorf("the second time it made %v", made)
	}
	initialise(t, cellOptions(dir, "overlay1", "overlay2"))
	after := contents(t, dir)
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s has changed", path)
		}
	}
	if _, cfg, err := overlay.Open(filepath.Join(dir, "hosts", "overlay2")); err != nil || cfg.Replicas != 2 || len(cfg.Peers) != 1 {
		t.Errorf("the second host's configuration: %+v %v", cfg, err)
	}
	if _, _, err := overlay.Open(dir); !errors.Is(err, overlay.ErrSeveralHosts) {
		t.Errorf("two hosts and none named: %v", err)
	}
}

// TestInitInterrupted makes a cell with every file missing once, as after an interruption.
func TestInitInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	for path := range contents(t, dir) {
		if filepath.Dir(path) == filepath.Join(dir, "authority") && !strings.HasSuffix(path, ".jwt") {
			continue // what has been signed with a key that is lost would not fit a new one
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		initialise(t, cellOptions(dir, "overlay1"))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("was not made again: %v", err)
		}
	}
}

func TestTokensOfInitVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	root, err := identity.LoadKey(filepath.Join(dir, "authority", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	verifier := identity.NewVerifier(root.Public())
	token, err := os.ReadFile(filepath.Join(dir, "join.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	join, err := verifier.Verify(strings.TrimSpace(string(token)), identity.Expect{Purposes: []identity.Purpose{identity.PurposeJoin}, Cell: "main", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"tls://127.0.0.1:4223"}, join.Join.URLs); diff != "" {
		t.Error(diff)
	}
	client, err := overlay.OpenClient(filepath.Join(dir, "operator"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(client.Token, identity.Expect{Purposes: []identity.Purpose{identity.PurposeClient}, Cell: "main", Now: noon}); err != nil {
		t.Error(err)
	}
	if c, err := client.Credentials(); err != nil || !strings.HasPrefix(c.InboxPrefix, "_INBOX.U") || c.TLS == nil {
		t.Errorf("the operator's credentials: %+v %v", c, err)
	}
}
