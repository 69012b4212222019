package identity

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

func TestPublicKeyForms(t *testing.T) {
	k := newKey(t)
	for _, read := range []func() (PublicKey, error){
		func() (PublicKey, error) { return ParsePublicKey(k.Public().String()) },
		func() (PublicKey, error) { return ParsePublicKey(strings.ToUpper(k.Public().String())) },
		func() (PublicKey, error) { return ParseNKey(k.Public().NKey()) },
	} {
		if got, err := read(); err != nil || got != k.Public() {
			t.Errorf("%s comes back as %s, %v", k.Public(), got, err)
		}
	}
	pair, err := nkeys.FromPublicKey(k.Public().NKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Verify([]byte("nonce"), k.Sign([]byte("nonce"))); err != nil {
		t.Errorf("NATS does not verify our signature: %v", err)
	}
}

func TestPublicKeysThatAreNone(t *testing.T) {
	seed, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	account, err := seed.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "00", strings.Repeat("g", 64), strings.Repeat("0", 64), strings.Repeat("a", 66), account, "U", "UAAA"} {
		if k, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q is the key %s", text, k)
		}
		if k, err := ParseNKey(text); err == nil {
			t.Errorf("%q is the nkey %s", text, k)
		}
	}
}

// TestD24SmallOrderKeys signs for a key of small order without having one, and computes which these are.
func TestD24SmallOrderKeys(t *testing.T) {
	zeroSignature := make([]byte, 64)
	zeroSignature[0] = 1 // R is the neutral element, S is 0
	neutral := PublicKey{1}
	if neutral.Verify([]byte("anything"), zeroSignature) {
		t.Error("a signature that nobody made verifies")
	}
	for _, k := range smallOrderKeys {
		for _, sign := range []byte{0, 0x80} {
			k[31] |= sign
			if _, err := ParsePublicKey(k.String()); err == nil {
				t.Errorf("%s is a key", k)
			}
		}
	}
	if want := smallOrderEncodings(); !slices.Equal(want, smallOrderKeys[:]) {
		t.Errorf("the keys of small order are %s, not %s", want, smallOrderKeys)
	}
}

// smallOrderEncodings computes the y of the points whose order divides 8, in every encoding below 2^255, sorted by their text.
func smallOrderEncodings() (keys []PublicKey) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	d := mod(new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p)))
	// y = 0, 1 and -1 have order 4, 1 and 2. A point of order 8 doubles to y = 0, where x^2 = -y^2 and so d*y^4 + 2*y^2 - 1 = 0.
	ys := []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(p, big.NewInt(1))}
	root := new(big.Int).ModSqrt(mod(new(big.Int).Add(d, big.NewInt(1))), p)
	for _, r := range []*big.Int{root, new(big.Int).Sub(p, root)} {
		square := mod(new(big.Int).Mul(new(big.Int).Sub(r, big.NewInt(1)), new(big.Int).ModInverse(d, p)))
		if y := new(big.Int).ModSqrt(square, p); y != nil {
			ys = append(ys, y, new(big.Int).Sub(p, y))
		}
	}
	for _, y := range ys {
		for ; y.BitLen() <= 255; y = new(big.Int).Add(y, p) {
			var k PublicKey
			y.FillBytes(k[:])
			slices.Reverse(k[:])
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b PublicKey) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}

func TestKeyNeverPrintsItsSeed(t *testing.T) {
	k := newKey(t)
	seed := k.private().Seed()
	holder := struct {
		Key    *Key
		hidden *Key
		Value  Key
		inner  Key
		Signer Signer
	}{k, k, *k, *k, Signer{Key: k}}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "key", k, "value", *k, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "value", *k, "holder", holder)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", k, *k, holder)
	}
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	forms := []string{hex.EncodeToString(seed), strings.ToUpper(hex.EncodeToString(seed)), string(seed),
		strings.Trim(fmt.Sprintf("%d", seed), "[]"), fmt.Sprintf("%#v", seed)[8:]}
	for _, form := range forms {
		if strings.Contains(out.String(), form) {
			t.Errorf("the seed is printed as %s", form)
		}
	}
	if !strings.Contains(out.String(), k.Public().String()) {
		t.Error("the public key is not printed")
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file gives %v", err)
	}
	k := newKey(t)
	for range 2 {
		if err := k.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	back, err := LoadKey(path)
	if err != nil || back.Public() != k.Public() {
		t.Fatalf("comes back as %s, %v", back, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %s, %v", info.Mode(), err)
	}
	if err := newKey(t).Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replacing another key gives %v", err)
	}
	if back, err := LoadKey(path); err != nil || back.Public() != k.Public() {
		t.Errorf("the key is now %s, %v", back, err)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	seed := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, content string
		mode          fs.FileMode
		damaged       bool
	}{
		{"empty", "", 0o600, true}, {"torn", seed[:40], 0o600, true}, {"no hex", strings.Repeat("z", 64), 0o600, true},
		{"too long", seed + "00", 0o600, true}, {"world-readable", seed, 0o604, false}, {"group-readable", seed, 0o640, false},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		k, err := LoadKey(path)
		if err == nil || errors.Is(err, ErrDamaged) != tt.damaged {
			t.Errorf("%s: %v, %v", tt.name, k, err)
		}
		if tt.content != "" && err != nil && strings.Contains(err.Error(), tt.content) {
			t.Errorf("%s: the content is in the message %v", tt.name, err)
		}
		if err := newKey(t).Save(path); err == nil {
			t.Errorf("%s: replaced by another key", tt.name)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != tt.content {
			t.Errorf("%s: the file is now %q, %v", tt.name, content, err)
		}
	}
}

func TestSeedLength(t *testing.T) {
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := KeyFromSeed(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a seed", n)
		}
	}
}
