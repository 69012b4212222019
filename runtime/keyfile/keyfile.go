// Package keyfile reads key files of people: of a cell's authority and of publishers. Beside plain ones there are those with a passphrase, in
// OpenSSH's format, and those that name a helper program which has the key, such as one in front of a hardware token. Hosts and nodes, which start without
// anybody at hand, have plain ones and do not need this package.
package keyfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/crypto/ssh"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// ErrPassphrase is the cause where a passphrase is wrong, or there is nobody to ask for it.
var ErrPassphrase = errors.New("passphrase")

// armour begins a file in OpenSSH's format (PROTOCOL.key of OpenSSH, openssh-key-v1).
const armour = "-----BEGIN OPENSSH PRIVATE KEY-----"

// Opener opens key files.
type Opener struct {
	// Context ends helper programs that sign, and all that they have started in their process group. nil is none.
	Context context.Context
	// Passphrase is asked for the passphrase of a file. nil where there is nobody to ask.
	Passphrase func(path string) ([]byte, error)
}

// Open reads a key file. Errors are fs.ErrNotExist, identity.ErrDamaged, ErrPassphrase and those of reading.
func (o Opener) Open(path string) (*identity.Key, error) {
	content, err := identity.ReadPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return o.parse(path, content)
}

// parse reads the content of the key file at path.
func (o Opener) parse(path string, content []byte) (*identity.Key, error) {
	switch text := bytes.TrimSpace(content); {
	case bytes.HasPrefix(text, []byte(armour)):
		return o.protected(path, text)
	case bytes.HasPrefix(text, []byte("{")):
		h, err := parseHelper(path, text)
		if err != nil {
			return nil, err
		}
		ctx := o.Context
		if ctx == nil {
			ctx = context.Background()
		}
		return identity.RemoteKey(h.public, func(message []byte) ([]byte, error) { return h.sign(ctx, message) }), nil
	default:
		return identity.ParseKey(path, content)
	}
}

// ErrHelper is the cause where a program has a key that is to be made anew.
var ErrHelper = errors.New("a helper program has it")

// Renew makes a key to take the place of that in a file, and the content of its file: with the passphrase of the key before where that has one, which must be right,
// and else, or where there is no file, a plain one. Nothing is written. Errors are ErrHelper, ErrPassphrase and those of reading.
func (o Opener) Renew(path string) (*identity.Key, []byte, error) {
	content, err := statefile.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("reading the key before: %w", err)
	}
	k, err := identity.NewKey()
	if err != nil {
		return nil, nil, err
	}
	text := bytes.TrimSpace(content)
	if bytes.HasPrefix(text, []byte("{")) {
		return nil, nil, fmt.Errorf("the key %s cannot be made anew here: %w", path, ErrHelper)
	}
	var missing *ssh.PassphraseMissingError
	if _, err := ssh.ParseRawPrivateKey(text); bytes.HasPrefix(text, []byte(armour)) && errors.As(err, &missing) {
		var phrase []byte
		once := Opener{}
		if o.Passphrase != nil {
			once.Passphrase = func(path string) (_ []byte, err error) {
				phrase, err = o.Passphrase(path)
				return phrase, err
			}
		}
		if _, err := once.protected(path, text); err != nil {
			return nil, nil, err
		}
		content, err := Protect(k, phrase)
		return k, content, err
	}
	seed, err := k.Seed()
	return k, fmt.Appendf(nil, "%x\n", seed), err
}

// Public is the public key of a file, for which no passphrase is needed.
func Public(path string) (identity.PublicKey, error) {
	content, err := identity.ReadPrivate(path)
	if err != nil {
		return identity.PublicKey{}, fmt.Errorf("reading a key: %w", err)
	}
	none := Opener{Passphrase: func(string) ([]byte, error) { return nil, ErrPassphrase }}
	k, err := none.parse(path, content)
	if err == nil {
		return k.Public(), nil
	}
	var missing *ssh.PassphraseMissingError
	if _, parseErr := ssh.ParseRawPrivateKey(content); errors.As(parseErr, &missing) && missing.PublicKey != nil {
		if key, ok := missing.PublicKey.(ssh.CryptoPublicKey); ok {
			if public, ok := key.CryptoPublicKey().(ed25519.PublicKey); ok {
				return identity.PublicKey(public), nil
			}
		}
	}
	return identity.PublicKey{}, err
}

// protected reads a file in OpenSSH's format.
func (o Opener) protected(path string, content []byte) (*identity.Key, error) {
	raw, err := ssh.ParseRawPrivateKey(content)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		if o.Passphrase == nil {
			return nil, fmt.Errorf("reading the key %s: it has a %w, and there is nobody to ask", path, ErrPassphrase)
		}
		phrase, askErr := o.Passphrase(path)
		if askErr != nil {
			return nil, fmt.Errorf("reading the key %s: %w", path, askErr)
		}
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(content, phrase)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, fmt.Errorf("reading the key %s: the %w is wrong", path, ErrPassphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w: %w", path, identity.ErrDamaged, err)
	}
	private, ok := raw.(*ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading the key %s: it is a %T, not an ed25519 key: %w", path, raw, identity.ErrDamaged)
	}
	return identity.KeyFromSeed(private.Seed())
}

// Protect is the content of a key's file with a passphrase: OpenSSH's format, encrypted with AES-256 under a key that bcrypt makes of the
// passphrase. ssh-keygen reads it, and can change the passphrase.
func Protect(k *identity.Key, passphrase []byte) ([]byte, error) {
	seed, err := k.Seed()
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(seed), "statecraft", passphrase)
	if err != nil {
		return nil, fmt.Errorf("protecting a key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}
