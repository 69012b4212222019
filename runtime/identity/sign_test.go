package identity

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestTokensAreAsTheLibraryMakesThem: ed25519 signs the same in the same way.
func TestTokensAreAsTheLibraryMakesThem(t *testing.T) {
	s := &Signer{Key: newKey(t)}
	c := nodeClaims(t)
	got, err := s.Sign(c)
	must(t, err)
	if _, err := s.complete(&c); err != nil {
		t.Fatal(err)
	}
	read, err := Inspect(got)
	must(t, err)
	c.ID = read.ID // drawn anew where there is none
	want, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, toWire(&c)).SignedString(s.Key.private())
	must(t, err)
	if got != want {
		t.Errorf("signed as\n%s\nthe library signs\n%s", got, want)
	}
}
