package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A sealed value is "1.<id>.<base64url of salt, nonce, ciphertext and tag>": AES-256-GCM, the field as associated data. Every value has a key of
// its own, derived (HKDF-SHA256) from the host's and a random salt, so that no number of values wears the host's key out. The id names
// the host's key.
const (
	version  = "1"
	saltSize = 16
	keySize  = 32
	idSize   = 4
)

// The key's file is keyPrefix, then base64url of the key and the first bytes of its SHA-256, and a line end.
const (
	keyPrefix = "statecraft-secrets-1:"
	checkSize = 4
	maxFile   = 1 << 10
)

type key struct {
	secret [keySize]byte
	id     string
}

func newKey() *key {
	var secret [keySize]byte
	rand.Read(secret[:]) // does not return where there is no randomness
	return keyOf(secret)
}

func keyOf(secret [keySize]byte) *key {
	id := sum(append([]byte("statecraft key id\x00"), secret[:]...))
	return &key{secret: secret, id: hex.EncodeToString(id[:idSize])}
}

// checksum tells contents apart.
func checksum(b []byte) []byte {
	whole := sum(b)
	return whole[:checkSize]
}

func sum(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

func (k *key) seal(f machine.SecretField, value []byte) string {
	out := make([]byte, saltSize, saltSize+len(value)+64)
	rand.Read(out)
	aead, err := k.cipher(out)
	if err != nil {
		return "" // the sizes are constants: only a build without AES comes here
	}
	out = append(out, aead.Seal(nil, nil, value, associated(f))...)
	return version + "." + k.id + "." + base64.RawURLEncoding.EncodeToString(out)
}

func (k *key) open(f machine.SecretField, text string) ([]byte, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != version {
		return nil, ErrNotOpen
	}
	if parts[1] != k.id {
		return nil, ErrOtherKey
	}
	sealed, err := decode(parts[2])
	if err != nil || len(sealed) < saltSize {
		return nil, ErrNotOpen
	}
	aead, err := k.cipher(sealed[:saltSize])
	if err != nil {
		return nil, err
	}
	value, err := aead.Open(nil, nil, sealed[saltSize:], associated(f))
	if err != nil {
		return nil, ErrNotOpen
	}
	return value, nil
}

func (k *key) cipher(salt []byte) (cipher.AEAD, error) {
	own, err := hkdf.Key(sha256.New, k.secret[:], salt, "statecraft secret", keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// associated binds a value to its field; no two fields give the same bytes.
func associated(f machine.SecretField) []byte {
	var out []byte
	for _, part := range append([]string{f.Machine, f.Instance}, f.Path...) {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}

func (k *key) encode() []byte {
	check := sum(k.secret[:])
	whole := append(k.secret[:len(k.secret):len(k.secret)], check[:checkSize]...)
	return []byte(keyPrefix + base64.RawURLEncoding.EncodeToString(whole) + "\n")
}

// readKey reads a key's file. The errors are ErrDamaged and those of the file system.
func readKey(path string) (*key, error) {
	file, err := statefile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, err
	}
	return decodeKey(text)
}

// decode takes the one form that encoding gives: the library passes over line ends.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ErrNotOpen
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func decodeKey(text []byte) (*key, error) {
	encoded, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte(keyPrefix))
	whole, err := decode(string(encoded))
	if !ok || err != nil || len(whole) != keySize+checkSize {
		return nil, ErrDamaged
	}
	k := keyOf([keySize]byte(whole))
	if check := sum(k.secret[:]); !bytes.Equal(check[:checkSize], whole[keySize:]) {
		return nil, ErrDamaged
	}
	return k, nil
}

// writeKey makes a key's file, mode 0600, whole and synced or not at all. The error is fs.ErrExist where there is one.
func writeKey(path string, k *key) error {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".new-"+KeyName)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(k.encode())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	return statefile.SyncDir(dir)
}
