// Package vault keeps the key with which a host seals the secrets of its machines before they are written, and opens them again. The
// key is a file in the host's state folder, made when the first secret is sealed; a host without secrets has none.
//
// It does not know what is secret, keeps no secret, and never writes one.
package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// KeyName is the name of the key's file in a state folder.
const KeyName = "secrets.key"

// Causes that callers branch on.
var (
	ErrDamaged  = errors.New("the key is damaged")
	ErrOtherKey = errors.New("it was sealed with another key")
	ErrNoKey    = errors.New("there is no key")
	ErrNotOpen  = errors.New("it is damaged, or belongs elsewhere")
)

// Vault seals and opens values. It implements machine.Vault.
type Vault struct {
	path string // "" makes no key

	mu      sync.Mutex
	key     *key  // nil while there is none
	problem error // the last one with the file, nil where there was none
	kept    bool  // the problem stays as long as the host runs, although there is a key
}

// Open returns the vault of a state folder, with the key where there is one. What is wrong with it is a Problem, not an error: a host
// goes on without the secrets that it cannot open.
func Open(stateDir string) *Vault {
	v := &Vault{path: filepath.Join(stateDir, KeyName)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.problem = err
	}
	return v
}

// Read returns a vault with the key of a file, that never makes one.
func Read(path string) (*Vault, error) {
	k, err := readKey(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	return &Vault{key: k}, nil
}

// Problem returns what is wrong with the key, nil where nothing is.
func (v *Vault) Problem() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.problem
}

// Seal implements machine.Vault. It returns "" where there is no key and none can be made; Problem says why.
func (v *Vault) Seal(f machine.SecretField, value []byte) string {
	k, err := v.present()
	if err != nil {
		return ""
	}
	return k.seal(f, value)
}

// Open implements machine.Vault. The errors wrap ErrNoKey, ErrOtherKey and ErrNotOpen.
func (v *Vault) Open(f machine.SecretField, text string) ([]byte, error) {
	v.mu.Lock()
	k := v.key
	v.mu.Unlock()
	if k == nil {
		return nil, fmt.Errorf("opening %s: %w", f, ErrNoKey)
	}
	value, err := k.open(f, text)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f, err)
	}
	return value, nil
}

// present returns the key, which it makes where there is none.
func (v *Vault) present() (*key, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != nil {
		return v.key, nil
	}
	err := v.load()
	if errors.Is(err, ErrDamaged) {
		err = v.setAside(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = v.make()
	}
	if err != nil {
		v.problem = err
		return nil, err
	}
	if !v.kept {
		v.problem = nil
	}
	return v.key, nil
}

// load reads the key's file. A key that others could read is one no longer.
func (v *Vault) load() error {
	if v.path == "" {
		return ErrNoKey
	}
	k, err := readKey(v.path)
	if err != nil {
		return fmt.Errorf("the key of secrets %s cannot be used: %w; put back a copy of it, or secrets that it sealed are gone", v.path, err)
	}
	v.key = k
	return v.tighten()
}

// tighten takes the key's file from everybody but its owner, and says that it had to.
func (v *Vault) tighten() error {
	info, err := os.Stat(v.path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	v.kept = true
	v.problem = fmt.Errorf("the key of secrets %s could be read by others (mode %#o): renew the secrets that they may have seen", v.path, info.Mode().Perm())
	if err := os.Chmod(v.path, 0o600); err != nil {
		v.problem = fmt.Errorf("%w; %w", v.problem, err)
	}
	return nil
}

// setAside makes room for a new key beside the damaged one, which is kept.
func (v *Vault) setAside(damage error) error {
	content, err := statefile.Read(v.path)
	if err != nil {
		return err
	}
	aside := fmt.Sprintf("%s.damaged-%x", v.path, checksum(content))
	if err := os.Rename(v.path, aside); err != nil {
		return fmt.Errorf("%w; it cannot be set aside: %w", damage, err)
	}
	v.problem, v.kept = fmt.Errorf("%w; it was set aside as %s, and a new one is in use", damage, filepath.Base(aside)), true
	return fs.ErrNotExist
}

// make draws a key and writes it. A key that another process has made meanwhile is taken instead.
func (v *Vault) make() error {
	k := newKey()
	err := writeKey(v.path, k)
	if errors.Is(err, fs.ErrExist) {
		return v.load()
	}
	if err != nil {
		return fmt.Errorf("the key of secrets %s cannot be made, so that secrets do not survive a restart: %w", v.path, err)
	}
	v.key = k
	return nil
}
