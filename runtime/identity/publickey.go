package identity

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nkeys"
)

// PublicKey is an ed25519 public key. It is comparable. The zero PublicKey is nobody's.
type PublicKey [ed25519.PublicKeySize]byte

// ParsePublicKey reads 64 hexadecimal digits. Keys that no seed gives (of a small order), under which anybody could sign, are refused.
func ParsePublicKey(text string) (PublicKey, error) {
	if len(text) != 2*ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("a public key has %d hexadecimal digits, not %d characters", 2*ed25519.PublicKeySize, len(text))
	}
	var k PublicKey
	if _, err := hex.Decode(k[:], []byte(text)); err != nil {
		return PublicKey{}, errors.New("a public key has hexadecimal digits only")
	}
	return usable(k)
}

// ParseNKey reads the user form of NATS ("U...").
func ParseNKey(text string) (PublicKey, error) {
	raw, err := nkeys.Decode(nkeys.PrefixByteUser, []byte(text))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, errors.New("a user's nkey has 56 characters and begins with U")
	}
	return usable(PublicKey(raw))
}

// MarshalText writes the key as String does.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the key as ParsePublicKey does.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// String is the key as 64 lower-case hexadecimal digits.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// NKey is the key in the user form of NATS ("U...").
func (k PublicKey) NKey() string {
	text, err := nkeys.Encode(nkeys.PrefixByteUser, k[:])
	if err != nil {
		return "" // only for a prefix that does not exist
	}
	return string(text)
}

// Verify reports whether the key's holder signed the message. It is false for keys that ParsePublicKey refuses.
func (k PublicKey) Verify(message, sig []byte) bool {
	return !k.smallOrder() && ed25519.Verify(k[:], message, sig)
}

func usable(k PublicKey) (PublicKey, error) {
	if k.smallOrder() {
		return PublicKey{}, errors.New("this public key is nobody's: anybody could sign for it")
	}
	return k, nil
}

// smallOrder tells the encodings of the curve's eight points of small order, without their sign bit and including those that are not
// canonical. They follow from RFC 8032, section 5.1; the test computes them.
func (k PublicKey) smallOrder() bool {
	k[31] &= 0x7f
	return slices.Contains(smallOrderKeys[:], k)
}

var smallOrderKeys = [...]PublicKey{
	fromHex("0000000000000000000000000000000000000000000000000000000000000000"),
	fromHex("0100000000000000000000000000000000000000000000000000000000000000"),
	fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
	fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
	fromHex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	fromHex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	fromHex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}

func fromHex(text string) (k PublicKey) {
	if n, err := hex.Decode(k[:], []byte(text)); err != nil || n != len(k) {
		panic("identity: not a key: " + text)
	}
	return k
}
