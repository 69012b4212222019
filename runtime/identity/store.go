package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// The files of a store. Each begins with the digest of the rest.
const (
	keyFile   = "key"
	asideFile = "key.aside"
	joinFile  = "join"
	nameFile  = "name"
)

// Store is a node's identity: its key, its name, its join token and assignments in slots, of which one is active. Below a folder of mode 0700,
// every file 0600; dir "" keeps everything in memory. Safe for concurrent use by one process.
type Store struct {
	mu    sync.Mutex
	files folder
	// The key of the key file whose content has the digest madeOf: making it of its seed takes as long as a signature. Zero where none was made.
	made   *Key
	madeOf digest
	// The same for the assignment that was read last.
	parsed   Assignment
	parsedOf digest
}

// digest is a file's SHA-256, without the line that holds it.
type digest [sha256.Size]byte

// OpenStore opens the store of a folder, which is made where there is none. Nothing is read yet.
func OpenStore(dir string) (*Store, error) {
	if dir == "" {
		return &Store{files: &memory{}}, nil
	}
	d := disk{dir: dir, io: &statefile.Disk{}}
	if err := d.io.Do("open "+dir, d.prepare); err != nil {
		return nil, fmt.Errorf("opening the identity in %s: %w", dir, err)
	}
	return &Store{files: d}, nil
}

// ViewStore is the store of a folder in which another process may be at work, for reading only: nothing is made, mended or removed. What
// is replaced while it is read may look damaged.
func ViewStore(dir string) *Store { return &Store{files: disk{dir: dir, io: &statefile.Disk{}}} }

// EnsureKey returns the node's key, made where there is none. A damaged key file is ErrDamaged: it is never replaced in silence.
func (s *Store) EnsureKey() (k *Key, made bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err = s.key()
	if !errors.Is(err, ErrNoKey) {
		return k, false, err
	}
	k, err = s.newKey()
	return k, err == nil, err
}

// Key returns the node's key. Errors are ErrNoKey, ErrDamaged and those of reading.
func (s *Store) Key() (*Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key()
}

// ReplaceKey makes a new key and sets the one before aside, as the file key.aside: for a damaged or compromised one. Only the last one is
// kept. The active assignment, whose token is for the key before, stays until it is forgotten.
func (s *Store) ReplaceKey() (*Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := s.files.read(keyFile)
	if err == nil {
		err = s.files.write(asideFile, before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("setting the node's key aside: %w", err)
	}
	return s.newKey()
}

func (s *Store) key() (*Key, error) {
	content, sum, err := s.open(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the node's key: %w", ErrNoKey)
	case err != nil:
		return nil, fmt.Errorf("reading the node's key: %w", err)
	case s.made != nil && s.madeOf == sum:
		return s.made, nil
	}
	k, err := parseSeed(content)
	if err != nil {
		return nil, fmt.Errorf("reading the node's key: %w", err)
	}
	s.made, s.madeOf = k, sum
	return k, nil
}

func (s *Store) newKey() (*Key, error) {
	k, err := NewKey()
	if err != nil {
		return nil, err
	}
	if err := s.put(keyFile, k.seedLine()); err != nil {
		return nil, fmt.Errorf("keeping the node's key: %w", err)
	}
	return k, nil
}

// SetJoinToken keeps a join token in place of the one before. The one that is kept already is not written again, so that a node
// whose disk is read-only starts with it; nor is one whose place the kept one has taken: it was assigned since, and the other is as old as the
// file that a node is started with each time.
func (s *Store) SetJoinToken(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setJoin(token)
}

func (s *Store) setJoin(token string) error {
	content := []byte(strings.TrimSpace(token))
	if kept, err := s.get(joinFile); err == nil && (bytes.Equal(kept, content) || succeeds(string(kept), string(content))) {
		return nil
	}
	if err := s.put(joinFile, content); err != nil {
		return fmt.Errorf("keeping the join token: %w", err)
	}
	return nil
}

// succeeds reports whether a join token takes the place of another, as far as both can be read.
func succeeds(token, before string) bool {
	next, err := Inspect(token)
	if err != nil {
		return false
	}
	had, err := Inspect(before)
	return err == nil && next.Succeeds(had)
}

// JoinToken returns the join token. Errors are ErrNothing, ErrDamaged and those of reading.
func (s *Store) JoinToken() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.get(joinFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reading the join token: %w", ErrNothing)
	case err != nil:
		return "", fmt.Errorf("reading the join token: %w", err)
	}
	return string(content), nil
}

// SetName keeps what the node is called, in place of the name before. As with the join token, one that is kept already is not written again.
func (s *Store) SetName(name Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, err := s.get(nameFile); err == nil && string(kept) == string(name) {
		return nil
	}
	if err := s.put(nameFile, []byte(name)); err != nil {
		return fmt.Errorf("keeping the node's name: %w", err)
	}
	return nil
}

// Owner is who the store is of. An assignment says so whatever else is said; before there is one it is the name that was kept. Of a damaged
// assignment it is the name, too. Errors are ErrNothing, ErrDamaged and those of reading.
func (s *Store) Owner() (id Identity, assigned bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, content, _, err := s.inUse()
	if err == nil {
		var a *Assignment
		if a, err = readAssignment(at.Active, content); err == nil {
			return a.Identity, true, nil
		}
	}
	assigned = !errors.Is(err, ErrNothing)
	kept, nameErr := s.get(nameFile)
	if nameErr == nil {
		if id, nameErr = Parse(string(kept)); nameErr == nil {
			return id, assigned, nil
		}
		nameErr = fmt.Errorf("the file %s: %w", nameFile, ErrDamaged)
	}
	if errors.Is(nameErr, fs.ErrNotExist) {
		nameErr = err
	}
	return "", assigned, fmt.Errorf("reading who the node is: %w", nameErr)
}

// put writes a file behind its digest.
func (s *Store) put(name string, content []byte) error {
	return s.seal(name, content, sha256.Sum256(content))
}

// seal is put of a content whose digest is known.
func (s *Store) seal(name string, content []byte, sum digest) error {
	sealed := make([]byte, 0, 2*len(sum)+1+len(content))
	sealed = append(hex.AppendEncode(sealed, sum[:]), '\n')
	return s.files.write(name, append(sealed, content...))
}

// get reads what put wrote: ErrDamaged where it is anything else, fs.ErrNotExist where there is none.
func (s *Store) get(name string) ([]byte, error) {
	content, _, err := s.open(name)
	return content, err
}

// open is get with the digest, which tells a content from every other.
func (s *Store) open(name string) (content []byte, sum digest, err error) {
	sealed, err := s.files.read(name)
	if err != nil {
		return nil, digest{}, err
	}
	written, content, ok := bytes.Cut(sealed, []byte("\n"))
	sum = sha256.Sum256(content)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	if !ok || !bytes.Equal(written, text[:]) {
		return nil, digest{}, fmt.Errorf("the file %s does not match its digest: %w", name, ErrDamaged)
	}
	return content, sum, nil
}
