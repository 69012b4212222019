package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// Key is an ed25519 key pair. It never prints its seed: every form of it in a text is the public key. Immutable and safe for concurrent use.
type Key struct {
	private func() ed25519.PrivateKey // a function, as printing follows pointers into fields that are not exported; nil where another program has it
	public  PublicKey
	remote  func(message []byte) ([]byte, error) // signs where another program has the private half
}

// RemoteKey is a key whose private half another program has. Signatures that are not the key's are refused.
func RemoteKey(public PublicKey, sign func(message []byte) ([]byte, error)) *Key {
	return &Key{public: public, remote: sign}
}

// NewKey makes a key from the system's random numbers.
func NewKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return keyOf(private), nil
}

// KeyFromSeed makes the key of a seed of 32 bytes.
func KeyFromSeed(seed []byte) (*Key, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("a seed has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	return keyOf(ed25519.NewKeyFromSeed(seed)), nil
}

func keyOf(private ed25519.PrivateKey) *Key {
	return &Key{private: func() ed25519.PrivateKey { return private }, public: PublicKey(private[ed25519.SeedSize:])}
}

// LoadKey reads a file that holds a seed as one line of 64 hexadecimal digits. It refuses files that others than their owner may read.
// Errors are fs.ErrNotExist, ErrDamaged and those of reading.
func LoadKey(path string) (*Key, error) {
	content, err := ReadPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return ParseKey(path, content)
}

// ParseKey is the key of what LoadKey reads from the file at path, which errors name.
func ParseKey(path string, content []byte) (*Key, error) {
	k, err := parseSeed(content)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	return k, nil
}

// Save writes the seed as LoadKey reads it, mode 0600, in a folder that exists. It never replaces another key (fs.ErrExist).
func (k *Key) Save(path string) error {
	seed, err := k.Seed()
	if err != nil {
		return fmt.Errorf("saving a key: %w", err)
	}
	if err := CheckFile(path); err != nil {
		return fmt.Errorf("saving a key: %w", err)
	}
	there, err := LoadKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("saving a key: what is there is not replaced: %w", err)
	case subtle.ConstantTimeCompare(there.private().Seed(), seed) == 1:
		return nil
	default:
		return fmt.Errorf("saving a key: %s holds another key, which is not replaced; move it away first: %w", path, fs.ErrExist)
	}
	if err := CreateFile(path, k.seedLine()); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("saving a key: %s was made by somebody else at this moment, and is not replaced: %w", path, fs.ErrExist)
	} else if err != nil {
		return fmt.Errorf("saving a key: %w", err)
	}
	return nil
}

// SaveNATS writes the seed in the form that clients of NATS read (SU...), mode 0600, in a folder that exists. A file that is there is replaced.
func (k *Key) SaveNATS(path string) error {
	raw, err := k.Seed()
	if err != nil {
		return fmt.Errorf("saving a key for NATS: %w", err)
	}
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, raw)
	if err != nil {
		return fmt.Errorf("saving a key for NATS: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("saving a key for NATS: %w", err)
	}
	if err := WriteFile(path, append(seed, '\n')); err != nil {
		return fmt.Errorf("saving a key for NATS: %w", err)
	}
	return nil
}

// Public is the key that others know.
func (k *Key) Public() PublicKey { return k.public }

// Sign returns the ed25519 signature of the message, 64 bytes; nil where another program has the key and does not sign. It is for keys that
// are at hand; who may be given another one uses SignMessage.
func (k *Key) Sign(message []byte) []byte {
	signature, _ := k.SignMessage(message)
	return signature
}

// SignMessage is Sign with the reason where another program has the key and does not sign.
func (k *Key) SignMessage(message []byte) ([]byte, error) {
	if k.private != nil {
		return ed25519.Sign(k.private(), message), nil
	}
	signature, err := k.remote(message)
	if err != nil {
		return nil, err
	}
	if !k.public.Verify(message, signature) {
		return nil, fmt.Errorf("what was returned is no signature by the key %s", k.public)
	}
	return signature, nil
}

// Seed returns the 32 bytes that the key is made of: a secret. ErrNoKey where another program has them.
func (k *Key) Seed() ([]byte, error) {
	if k.private == nil {
		return nil, fmt.Errorf("the key %s is held by another program: %w", k.public, ErrNoKey)
	}
	return k.private().Seed(), nil
}

// String is the public key.
func (k Key) String() string {
	if k.private == nil && k.remote == nil {
		return "no key"
	}
	return k.Public().String()
}

// GoString is String.
func (k Key) GoString() string { return k.String() }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k *Key) seedLine() []byte {
	return append(hex.AppendEncode(nil, k.private().Seed()), '\n')
}

// opensshArmour begins a key with a passphrase.
const opensshArmour = "-----BEGIN OPENSSH PRIVATE KEY-----"

func parseSeed(content []byte) (*Key, error) {
	if text := strings.TrimSpace(string(content)); strings.HasPrefix(text, opensshArmour) || strings.HasPrefix(text, "{") {
		return nil, fmt.Errorf("it has a passphrase or a helper program, which are for keys of the authority and of publishers: hosts and nodes need a "+
			"seed of %d hexadecimal digits; statecraft keys passphrase --remove takes a passphrase away: %w", 2*ed25519.SeedSize, ErrDamaged)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(content)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("it does not hold a seed of %d hexadecimal digits: %w", 2*ed25519.SeedSize, ErrDamaged)
	}
	return KeyFromSeed(seed)
}

// ReadPrivate reads a small file that only its owner may read, and that nobody else can have put there, as CheckRead says. Errors name the file and the next step.
func ReadPrivate(path string) ([]byte, error) {
	return statefile.ReadChecked(path, func(info fs.FileInfo) error {
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 %s, and replace the key if somebody may have read it", path, mode, path)
		}
		return CheckRead(path)
	})
}
