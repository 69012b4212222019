package overlay

import (
	"cmp"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/keyfile"
)

// twoHosts makes the folder of a cell of two hosts.
func twoHosts(t *testing.T, cell string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), cell)
	_, err := Init(InitOptions{Dir: dir, Cell: cell, Now: time.Now(), Hosts: []HostOptions{
		{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222, Enrollment: 4223, Cluster: 6222},
		{Name: "o2", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4232, Enrollment: 4233, Cluster: 6232},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// files are the contents of a folder, by path below it.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// errKilled is what a step ends with.
var errKilled = errors.New("killed")

// killed runs a rotation until it has taken n steps, and reports whether it was ended there.
func killed(t *testing.T, o RotateOptions, n int) (ended bool) {
	t.Helper()
	defer func() {
		switch r := recover(); r {
		case nil:
		case errKilled:
			ended = true
		default:
			panic(r)
		}
	}()
	o.step = func(string) {
		if n--; n < 0 {
			panic(errKilled)
		}
	}
	if _, err := Rotate(o); err != nil {
		t.Fatal(err)
	}
	return false
}

// TestH69RotationIsKilledAtEachStep ends a rotation after each change of a file, and repeats it. No file is missing at any time, what was replaced is known at the end, and all
// that is there belongs together.
func TestH69RotationIsKilledAtEachStep(t *testing.T) {
	before := files(t, twoHosts(t, "c1"))
	for what, host := range map[string]string{"of one host": "o1", "of all": ""} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				dir := filepath.Join(t.TempDir(), "c1")
				for name, text := range before {
					path := filepath.Join(dir, name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
						t.Fatal(err)
					}
				}
				o := RotateOptions{Dir: dir, Host: host, Now: time.Now()}
				if !killed(t, o, n) {
					if n < 10 {
						t.Errorf("it has %d steps", n)
					}
					return
				}
				between := files(t, dir)
				for name := range before {
					if _, there := between[name]; !there {
						t.Errorf("killed after %d steps: %s is gone", n, name)
					}
				}
				r, err := Rotate(o)
				if err != nil {
					t.Fatalf("killed after %d steps and repeated: %v", n, err)
				}
				replaced(t, dir, before, r)
			}
		})
	}
}

// replaced holds what a rotation has left against what was there before.
func replaced(t *testing.T, dir string, before map[string]string, r *Rotated) {
	t.Helper()
	after := files(t, dir)
	hosts := []string{"o1"}
	if r.Host == "" {
		hosts = append(hosts, "o2")
	}
	var want []string
	for _, host := range hosts {
		key, err := identity.LoadKey(filepath.Join(dir, "hosts", host, keyFile))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(r.OldKeys, key.Public().String()) {
			t.Errorf("the key of %s is to be revoked that it has now", host)
		}
		for _, name := range issuerNames() {
			at := filepath.Join("hosts", host, issuersDir, name)
			want = append(want, before[at+".jwt"])
			signer, err := loadIssuer(filepath.Join(dir, "hosts", host, issuersDir), name, identity.LoadKey)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := identity.Inspect(signer.Chain[0]); err != nil || c.PublicKey != signer.Key.Public().String() || after[at+".jwt"] == before[at+".jwt"] {
				t.Errorf("the issuer %s and its certificate do not belong together: %v", at, err)
			}
		}
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "hosts", host, certFile), filepath.Join(dir, "hosts", host, certKeyFile)); err != nil {
			t.Error(err)
		}
	}
	for name, text := range before {
		if base := filepath.Base(name); base == secretFile && after[name] != after["authority/"+secretFile] || base == caFile && after[name] != after["authority/"+caFile] {
			t.Errorf("%s is not that of the others", name)
		}
		if filepath.Base(name) == keyFile && slices.Contains(hosts, filepath.Base(filepath.Dir(name))) && after[name] == text {
			t.Errorf("%s was not replaced", name)
		}
	}
	if r.Host == "" {
		want = append(want, before["authority/client.jwt"], before["authority/join.jwt"])
	}
	var got []string
	for _, path := range r.Revoke {
		name, _ := filepath.Rel(dir, path)
		if text := after[name]; !slices.Contains(got, text) { // a rotation that had come to its end is followed by another one
			got = append(got, text)
		}
	}
	for _, text := range want {
		if !slices.Contains(got, text) {
			t.Errorf("a certificate that was replaced is not among those to be revoked")
		}
	}
	seed, err := hex.DecodeString(strings.TrimSpace(before["hosts/o1/host.key"]))
	if err != nil {
		t.Fatal(err)
	}
	oldKey, err := identity.KeyFromSeed(seed)
	if err != nil || !slices.Contains(r.OldKeys, oldKey.Public().String()) {
		t.Errorf("the key that was replaced is not among those to be revoked: %v", err)
	}
	for name := range after {
		if strings.Contains(name, rotatingDir) || strings.Contains(name, "/"+newDir+"/") {
			t.Errorf("%s is left over", name)
		}
	}
}

// TestOneAtATimeWritesInACellsFolder: while a rotation or an init has it, both are refused and say which process it is; afterwards they go on.
func TestOneAtATimeWritesInACellsFolder(t *testing.T) {
	dir := twoHosts(t, "c1")
	options := InitOptions{Dir: dir, Cell: "c1", Now: time.Now(), Hosts: []HostOptions{
		{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222, Enrollment: 4223, Cluster: 6222},
		{Name: "o2", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4232, Enrollment: 4233, Cluster: 6232},
	}}
	tried := 0
	refused := func(by string) {
		tried++
		_, rotateErr := Rotate(RotateOptions{Dir: dir, Host: "o2", Now: time.Now()})
		_, initErr := Init(options)
		for verb, err := range map[string]error{"rotate": rotateErr, "init": initErr} {
			if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d;", os.Getpid())) {
				t.Errorf("%s during %s: %v", verb, by, err)
			}
		}
	}
	if _, err := Rotate(RotateOptions{Dir: dir, Now: time.Now(), step: func(string) {
		if tried == 0 {
			refused("rotate")
		}
	}}); err != nil {
		t.Error(err)
	}
	during := options
	during.Open = func(path string) (*identity.Key, error) {
		if tried == 1 {
			refused("init")
		}
		return identity.LoadKey(path)
	}
	if _, err := Init(during); err != nil || tried != 2 {
		t.Errorf("init: %v, with %d tried", err, tried)
	}
	if _, err := Init(options); err != nil {
		t.Error(err)
	}
}

// TestARotationEndsWithoutTheFolderOfItsHost: where that was taken away after an interruption the same command ends the rotation without making it again, what it had is known,
// and other rotations go on.
func TestARotationEndsWithoutTheFolderOfItsHost(t *testing.T) {
	for host, other := range map[string]string{"o1": "", "": "o2"} {
		dir := twoHosts(t, "c1")
		o := RotateOptions{Dir: dir, Host: host, Now: time.Now()}
		if !killed(t, o, 1) {
			t.Fatal("it was not interrupted")
		}
		if err := os.RemoveAll(filepath.Join(dir, "hosts/o1")); err != nil {
			t.Fatal(err)
		}
		if _, err := Rotate(RotateOptions{Dir: dir, Host: other, Now: time.Now()}); err == nil || !strings.Contains(err.Error(), "statecraft overlay rotate "+cmp.Or(host, "--all")+" --dir "+dir) {
			t.Errorf("another rotation meanwhile: %v", err)
		}
		o.step = nil
		r, err := Rotate(o)
		if err != nil || !r.Resumed || r.Cell != "c1" || len(r.OldKeys) == 0 || len(r.Revoke) == 0 {
			t.Fatalf("rotating %q: %+v, %v", host, r, err)
		}
		after := files(t, dir)
		for name := range after {
			if strings.HasPrefix(name, "hosts/o1/") {
				t.Errorf("%s was made again", name)
			}
		}
		if after["authority/cluster.secret"] != after["hosts/o2/cluster.secret"] {
			t.Error("the host that is there does not have the secret of the cluster")
		}
	}
}

// TestRotationNamesTheHostWhoseFolderIsMissing, which others have among their peers, before anything is made; taken out of those it is not missed.
func TestRotationNamesTheHostWhoseFolderIsMissing(t *testing.T) {
	dir := twoHosts(t, "c1")
	if err := os.RemoveAll(filepath.Join(dir, "hosts/o2")); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	for _, host := range []string{"", "o1"} {
		if _, err := Rotate(RotateOptions{Dir: dir, Host: host, Now: time.Now()}); err == nil || !strings.Contains(err.Error(), "the host at 127.0.0.1:6232") {
			t.Errorf("rotating %q: %v", host, err)
		}
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Error("something was made")
	}
	path := filepath.Join(dir, "hosts/o1", configFile)
	if err := os.WriteFile(path, []byte(setKey(before["hosts/o1/"+configFile], "peers", "[]")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(RotateOptions{Dir: dir, Now: time.Now()}); err != nil {
		t.Error(err)
	}
}

// TestRotationKeepsPassphrases: the key that takes the place of one with a passphrase has the same, a plain one stays plain, and one that a helper program has is refused
// before anything is made.
func TestRotationKeepsPassphrases(t *testing.T) {
	dir := twoHosts(t, "c1")
	path := filepath.Join(dir, "authority/client.key")
	had, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := keyfile.Protect(had, []byte("open"))
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	phrase := "wrong"
	keys := keyfile.Opener{Passphrase: func(string) ([]byte, error) { return []byte(phrase), nil }}
	o := RotateOptions{Dir: dir, Now: time.Now(), Open: keys.Open, Renew: keys.Renew}
	if _, err := Rotate(o); !errors.Is(err, keyfile.ErrPassphrase) {
		t.Errorf("with another passphrase: %v", err)
	}
	phrase = "open"
	if _, err := Rotate(o); err != nil {
		t.Fatal(err)
	}
	if _, err := (keyfile.Opener{}).Open(path); !errors.Is(err, keyfile.ErrPassphrase) {
		t.Errorf("the new key has no passphrase: %v", err)
	}
	if k, err := keys.Open(path); err != nil || k.Public() == had.Public() {
		t.Errorf("the new key: %v, %v", k, err)
	}
	if _, err := identity.LoadKey(filepath.Join(dir, "authority/join.key")); err != nil {
		t.Errorf("the plain key: %v", err)
	}
	content, err = keyfile.Helper{Command: []string{"/bin/false"}, PublicKey: had.Public().String()}.Encode()
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(o); !errors.Is(err, keyfile.ErrHelper) || !strings.Contains(err.Error(), path) {
		t.Errorf("with a helper: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
		t.Errorf("the helper's file was replaced: %s, %v", now, err)
	}
}
