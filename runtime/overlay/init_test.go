package overlay_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
		if err != nil || !d.Type().IsRegular() {
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
	var updated []string
	for _, f := range initialise(t, cellOptions(dir, "overlay1", "overlay2")) {
		if _, was := before[f.Path]; was != f.Updated {
			t.Errorf("%+v, and was there: %t", f, was)
		}
		if f.Updated {
			updated = append(updated, f.Path)
		}
	}
	after := contents(t, dir)
	for path, text := range before {
		if (after[path] != text) != slices.Contains(updated, path) {
			t.Errorf("%s was updated: %t", path, after[path] != text)
		}
	}
	if made := initialise(t, cellOptions(dir, "overlay1", "overlay2")); len(made) != 0 {
		t.Errorf("the fourth time it made %v", made)
	}
	if _, cfg, err := overlay.Open(filepath.Join(dir, "hosts", "overlay2")); err != nil || cfg.Replicas != 2 || len(cfg.Peers) != 1 {
		t.Errorf("the second host's configuration: %+v %v", cfg, err)
	}
	if _, _, err := overlay.Open(dir); !errors.Is(err, overlay.ErrSeveralHosts) {
		t.Errorf("two hosts and none named: %v", err)
	}
}

// TestHostsThatCome are known to all that was made before, beside what stands there by hand.
func TestHostsThatCome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	config := filepath.Join(dir, "hosts", "overlay1", "overlay.yaml")
	write(t, config, "# by hand\ncell: main\nhost: overlay1\nbrokers:\n- tls://broker.example.net\n- tls://127.0.0.1:4222\n\nhelper: /bin/place # ours\n")
	before, err := os.ReadFile(filepath.Join(dir, "join.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	initialise(t, cellOptions(dir, "overlay1", "overlay2", "overlay3"))

	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	want := "# by hand\ncell: main\nhost: overlay1\nbrokers: [\"tls://broker.example.net\", \"tls://127.0.0.1:4222\", \"tls://127.0.0.1:4232\", " +
		"\"tls://127.0.0.1:4242\"]\n\nhelper: /bin/place # ours\npeers: [\"127.0.0.1:6232\", \"127.0.0.1:6242\"]\nhosts: 3\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("overlay.yaml (-want +got):\n%s", diff)
	}
	client, err := overlay.OpenClient(filepath.Join(dir, "operator"))
	if err != nil || len(client.URLs) != 3 {
		t.Errorf("the operator's context: %+v %v", client, err)
	}
	old, now := join(t, string(before)), join(t, string(contents(t, dir)[filepath.Join(dir, "join.jwt")]))
	if now.ID != old.ID || !now.Expires.Equal(old.Expires) || len(old.Join.URLs) != 1 || len(now.Join.URLs) != 3 {
		t.Errorf("the join token was %+v and is %+v", old, now)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// join verifies a join token.
func join(t *testing.T, token string) *identity.Claims {
	t.Helper()
	claims, err := identity.Inspect(strings.TrimSpace(token))
	if err != nil || claims.Join == nil {
		t.Fatalf("%+v %v", claims, err)
	}
	return claims
}

// TestHostsThatAreNotNamed would be left out of what the others are told.
func TestHostsThatAreNotNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1", "overlay2"))
	before := contents(t, dir)
	if made, err := overlay.Init(cellOptions(dir, "overlay1")); err == nil || !strings.Contains(err.Error(), "overlay2") || len(made) > 0 {
		t.Errorf("%v %v", made, err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// TestAConfigurationThatCannotBeUpdated stays as it is, and what is to stand in it is said.
func TestAConfigurationThatCannotBeUpdated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	initialise(t, cellOptions(dir, "overlay1"))
	config := filepath.Join(dir, "hosts", "overlay1", "overlay.yaml")
	text := "{cell: main, host: overlay1, brokers: ['tls://127.0.0.1:4222']}\n"
	write(t, config, text)
	_, err := overlay.Init(cellOptions(dir, "overlay1", "overlay2"))
	if err == nil || !strings.Contains(err.Error(), `peers: ["127.0.0.1:6232"]`) || contents(t, dir)[config] != text {
		t.Errorf("%v\n%s", err, contents(t, dir)[config])
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

// TestH67AHostThatComesIsToldWhoWasThere, and given what of the others' configuration is the cell's.
func TestH67AHostThatComesIsToldWhoWasThere(t *testing.T) {
	dir := t.TempDir()
	o := cellOptions(dir, "o1")
	o.Helper, o.HelperWorkers = "/usr/bin/place", 7
	initialise(t, o)
	file := filepath.Join(dir, "hosts", "o1", "overlay.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(text)+"configuration: {region: north, sizes: [1, 2]}\nstream_bytes: 123456789\n")
	initialise(t, cellOptions(dir, "o1", "o2", "o3"))
	initialise(t, cellOptions(dir, "o1", "o2", "o3")) // it can be repeated
	for host, founders := range map[string][]string{"o1": nil, "o2": {"o1"}, "o3": {"o1"}} {
		c, err := overlay.ReadConfig(filepath.Join(dir, "hosts", host, "overlay.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"region": "north", "sizes": []any{1, 2}}
		if !slices.Equal(c.Founders, founders) || c.Helper != o.Helper || c.HelperWorkers != 7 || c.StreamBytes != 123456789 || fmt.Sprint(c.Configuration) != fmt.Sprint(want) {
			t.Errorf("%s: founders %q, helper %q, %d workers, %d bytes of streams, configuration %v", host, c.Founders, c.Helper, c.HelperWorkers,
				c.StreamBytes, c.Configuration)
		}
	}
	o = cellOptions(dir, "o1", "o2", "o3", "o4")
	o.Helper = "/usr/bin/another"
	if _, err := overlay.Init(o); err == nil || !strings.Contains(err.Error(), "it is the cell's") {
		t.Errorf("another helper: %v", err)
	}
	write(t, file, string(text))
	if _, err := overlay.Init(cellOptions(dir, "o1", "o2", "o3", "o4")); err == nil || !strings.Contains(err.Error(), "make them agree") {
		t.Errorf("hosts that disagree: %v", err)
	}
}

// TestACellsNameIsOneWord, as it is a word of subjects and the name of a folder on nodes.
func TestACellsNameIsOneWord(t *testing.T) {
	for _, name := range []string{"../main", "..", "a/b", "a b", "a.b", "a>", "-a", "", strings.Repeat("a", 65)} {
		dir := filepath.Join(t.TempDir(), "cell")
		o := cellOptions(dir, "o1")
		o.Cell = name
		if _, err := overlay.Init(o); err == nil || len(contents(t, filepath.Dir(dir))) > 0 {
			t.Errorf("a cell called %q was made: %v", name, err)
		}
	}
}
