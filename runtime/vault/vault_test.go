package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
)

func field(path ...string) machine.SecretField {
	return machine.SecretField{Machine: "enrollment", Instance: "i", Path: path}
}

func keyFile(dir string) string { return filepath.Join(dir, KeyName) }

func TestNoKeyIsMadeBeforeItIsNeeded(t *testing.T) {
	dir := t.TempDir()
	v := Open(dir)
	if _, err := v.Open(field("data", "token"), "1.00000000.xx"); !errors.Is(err, ErrNoKey) {
		t.Errorf("opening without a key: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || v.Problem() != nil {
		t.Errorf("a vault that sealed nothing left %v, %v, %v", entries, err, v.Problem())
	}
	text := v.Seal(field("data", "token"), []byte("value"))
	info, err := os.Stat(keyFile(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key: %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("beside the key there is %v", entries)
	}
	again, err := Read(keyFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*Vault{"the same vault": v, "one opened later": Open(dir), "one of the file": again} {
		if got, err := other.Open(field("data", "token"), text); err != nil || string(got) != "value" {
			t.Errorf("%s opens %q, %v", name, got, err)
		}
	}
}

func TestSealedValuesAreBound(t *testing.T) {
	v := Open(t.TempDir())
	at := field("data", "token")
	text := v.Seal(at, []byte("value"))
	if strings.Contains(text, "value") || text == v.Seal(at, []byte("value")) {
		t.Errorf("sealed as %s, and as the same again", text)
	}
	for name, f := range map[string]machine.SecretField{
		"another machine":  {Machine: "other", Instance: "i", Path: at.Path},
		"another instance": {Machine: "enrollment", Instance: "j", Path: at.Path},
		"another field":    field("data", "tokem"),
		"a longer path":    field("data", "token", ""),
		"parts shifted":    {Machine: "enrollmenti", Path: at.Path},
		"a joined path":    field("datatoken"),
	} {
		if _, err := v.Open(f, text); !errors.Is(err, ErrNotOpen) {
			t.Errorf("opened for %s: %v", name, err)
		}
	}
	for i := range len(text) {
		flipped := []byte(text)
		if flipped[i]++; text[i] == 'z' || text[i] == 'Z' || text[i] == '9' {
			flipped[i] = 'A'
		}
		if got, err := v.Open(at, string(flipped)); err == nil {
			t.Fatalf("with character %d changed it opens as %q", i, got)
		}
	}
	other := Open(t.TempDir())
	other.Seal(at, nil)
	if _, err := other.Open(at, text); !errors.Is(err, ErrOtherKey) {
		t.Errorf("opened with another key: %v", err)
	}
}

func TestDamagedKeyIsSetAside(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "cut": "statecraft-secrets-1:AAAA", "text": strings.Repeat("x", 5000), "flipped": ""} {
		dir := t.TempDir()
		first := Open(dir)
		text := first.Seal(field("data", "token"), []byte("value"))
		if name == "flipped" {
			whole, err := os.ReadFile(keyFile(dir))
			if err != nil {
				t.Fatal(err)
			}
			whole[len(keyPrefix)+7] ^= 1
			content = string(whole)
		}
		if err := os.WriteFile(keyFile(dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		v := Open(dir)
		if err := v.Problem(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), keyFile(dir)) {
			t.Errorf("%s: the problem is %v", name, err)
		}
		if _, err := v.Open(field("data", "token"), text); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: opened: %v", name, err)
		}
		if kept, err := os.ReadFile(keyFile(dir)); err != nil || string(kept) != content {
			t.Errorf("%s: looking has changed the file: %v", name, err)
		}
		renewed := v.Seal(field("data", "token"), []byte("new"))
		if got, err := Open(dir).Open(field("data", "token"), renewed); err != nil || string(got) != "new" {
			t.Errorf("%s: what is sealed from now on opens as %q, %v", name, got, err)
		}
		aside, err := filepath.Glob(keyFile(dir) + ".damaged-*")
		if err != nil || len(aside) != 1 || !errors.Is(v.Problem(), ErrDamaged) {
			t.Errorf("%s: set aside is %v, the problem %v", name, aside, v.Problem())
		}
	}
}

func TestKeyThatCannotBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	v := Open(dir)
	if text := v.Seal(field("data", "token"), []byte("value")); text != "" || v.Problem() == nil {
		t.Errorf("without a folder it is sealed as %q, the problem is %v", text, v.Problem())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if text := v.Seal(field("data", "token"), []byte("value")); text == "" || v.Problem() != nil {
		t.Errorf("with one it is sealed as %q, the problem is %v", text, v.Problem())
	}
}

func TestKeyOfEverybody(t *testing.T) {
	dir := t.TempDir()
	Open(dir).Seal(field("data", "token"), nil)
	if err := os.Chmod(keyFile(dir), 0o644); err != nil {
		t.Fatal(err)
	}
	v := Open(dir)
	info, err := os.Stat(keyFile(dir))
	if err != nil || info.Mode().Perm() != 0o600 || v.Problem() == nil || !strings.Contains(v.Problem().Error(), "0644") {
		t.Errorf("mode %v, problem %v, %v", info.Mode(), v.Problem(), err)
	}
	v.Seal(field("data", "token"), nil)
	if v.Problem() == nil {
		t.Error("the problem is forgotten")
	}
}

func TestKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	texts := make([]string, 8)
	var all sync.WaitGroup
	for i := range texts {
		all.Go(func() { texts[i] = Open(dir).Seal(field("data", "token"), []byte("value")) })
	}
	all.Wait()
	v := Open(dir)
	for i, text := range texts {
		if _, err := v.Open(field("data", "token"), text); err != nil {
			t.Errorf("vault %d sealed with a key of its own: %v", i, err)
		}
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := Read(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("no key: %v", err)
	}
}

// FuzzOpen gives anything to the opening: nothing but what was sealed for the field opens.
func FuzzOpen(f *testing.F) {
	k := keyOf([keySize]byte{1})
	good := k.seal(field("data", "token"), []byte("value"))
	f.Add(good)
	f.Add("")
	f.Add("1." + k.id + ".")
	f.Add("1." + k.id + ".AAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("2" + good[1:])
	f.Fuzz(func(t *testing.T, text string) {
		value, err := k.open(field("data", "token"), text)
		if (err == nil) != bytes.Equal(value, []byte("value")) {
			t.Errorf("%q opens as %q, %v", text, value, err)
		}
		if err == nil && !strings.HasPrefix(text, "1."+k.id+".") {
			t.Errorf("%q opens", text)
		}
	})
}

// FuzzDecodeKey gives anything to the reading of a key's file.
func FuzzDecodeKey(f *testing.F) {
	f.Add(keyOf([keySize]byte{1}).encode())
	f.Add([]byte(keyPrefix))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := decodeKey(text)
		if err == nil && !bytes.Equal(bytes.TrimSpace(k.encode()), bytes.TrimSpace(text)) {
			t.Errorf("%q is read as %q", text, k.encode())
		}
	})
}
