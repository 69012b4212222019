package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerify(t *testing.T) {
	o := newOverlay(t)
	c := nodeClaims(t)
	for name, by := range map[string]*Signer{"root": o.root, "region": o.region, "cell": o.cell} {
		got, err := o.verifier.Verify(sign(t, by, c), expectNode())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := c
		want.Issuer, want.Chain, want.ID, want.NotBefore = by.Key.Public().String(), by.Chain, got.ID, c.IssuedAt
		if diff := cmp.Diff(&want, got); diff != "" || got.ID == "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// attempt is a change to what verifies otherwise.
type attempt struct {
	name   string
	claims func(c *Claims)
	expect func(e *Expect)
	want   error
}

func (a attempt) run(t *testing.T, o *overlay, by *Signer) {
	t.Helper()
	c, e := nodeClaims(t), expectNode()
	if _, err := o.verifier.Verify(forge(t, by.Key, mapping(t, by, c)), e); err != nil {
		t.Fatalf("the token does not verify before it is changed: %v", err)
	}
	if a.claims != nil {
		a.claims(&c)
	}
	if a.expect != nil {
		a.expect(&e)
	}
	got, err := o.verifier.Verify(forge(t, by.Key, mapping(t, by, c)), e)
	if !errors.Is(err, a.want) || (got != nil) != errors.Is(a.want, ErrExpired) {
		t.Errorf("%s: %v, %v; want %v", a.name, got, err, a.want)
	}
}

func TestD24TokensThatAreRefused(t *testing.T) {
	o := newOverlay(t)
	for _, a := range []attempt{
		{"expired", nil, func(e *Expect) { e.Now = noon.Add(12 * time.Hour) }, ErrExpired},
		{"expired beyond leeway", nil, func(e *Expect) { e.Now, e.Leeway = noon.Add(12*time.Hour+time.Minute), time.Minute }, ErrExpired},
		{"not yet valid", func(c *Claims) { c.NotBefore = noon.Add(2 * time.Hour) }, nil, ErrNotYetValid},
		{"not yet issued", nil, func(e *Expect) { e.Now, e.Leeway = noon.Add(-61*time.Second), time.Minute }, ErrNotYetValid},
		{"other audience", func(c *Claims) { c.Audience = "a" }, func(e *Expect) { e.Audience = "b" }, ErrAudience},
		{"no audience", nil, func(e *Expect) { e.Audience = "b" }, ErrAudience},
		{"other cell", nil, func(e *Expect) { e.Cell = "c2" }, ErrAudience},
		{"other purpose", nil, func(e *Expect) { e.Purposes = []Purpose{PurposeClient, PurposeService} }, ErrPurpose},
		{"no purpose asked for", nil, func(e *Expect) { e.Purposes = nil }, ErrPurpose},
		{"signed by another key", nil, func(e *Expect) { e.SignedBy = o.root.Key.Public() }, ErrIssuer},
		{"without an end", func(c *Claims) { c.Expires = time.Time{} }, nil, ErrMalformed},
		{"without a beginning", func(c *Claims) { c.IssuedAt = time.Time{} }, nil, ErrMalformed},
		{"ends before it begins", func(c *Claims) { c.Expires = c.IssuedAt }, nil, ErrMalformed},
		{"without a key", func(c *Claims) { c.PublicKey = "" }, nil, ErrMalformed},
		{"a key in capitals", func(c *Claims) { c.PublicKey = "AB" + c.PublicKey[2:] }, nil, ErrMalformed},
		{"nobody's key", func(c *Claims) { c.PublicKey = strings.Repeat("0", 64) }, nil, ErrMalformed},
		{"without an identity", func(c *Claims) { c.Identity = "" }, nil, ErrMalformed},
		{"a wildcard as identity", func(c *Claims) { c.Identity = "*" }, nil, ErrMalformed},
		{"a wildcard as collective", func(c *Claims) { c.Collectives = []string{"*"} }, nil, ErrMalformed},
		{"two tokens as collective", func(c *Claims) { c.Collectives = []string{"a.>"} }, nil, ErrMalformed},
		{"a document about another", func(c *Claims) { c.Document = json.RawMessage(`{"identity":"db1"}`) }, nil, ErrMalformed},
		{"a document of another cell", func(c *Claims) { c.Document = json.RawMessage(`{"cell":"c2"}`) }, nil, ErrMalformed},
		{"a document of two readings", func(c *Claims) { c.Document = json.RawMessage(`{"Cell":"c2","cell":"c1"}`) }, nil, ErrMalformed},
		{"a document in other letters", func(c *Claims) { c.Document = json.RawMessage(`{"CELL":"c1"}`) }, nil, ErrMalformed},
		{"a document whose identity is no text", func(c *Claims) { c.Document = json.RawMessage(`{"identity":["web1.example"]}`) }, nil, ErrMalformed},
		{"a document that is a list", func(c *Claims) { c.Document = json.RawMessage(`[]`) }, nil, ErrMalformed},
		{"a document that is null", func(c *Claims) { c.Document = json.RawMessage(`null`) }, nil, ErrMalformed},
		{"a node with an issuer's limits", func(c *Claims) { c.Limits = &IssuerLimits{} }, nil, ErrMalformed},
	} {
		a.run(t, o, o.region)
	}
}

func TestLeeway(t *testing.T) {
	o := newOverlay(t)
	token := sign(t, o.cell, nodeClaims(t))
	for _, now := range []time.Time{noon.Add(-time.Minute), noon.Add(12*time.Hour + 59*time.Second)} {
		e := expectNode()
		e.Now = now
		if _, err := o.verifier.Verify(token, e); err == nil {
			t.Errorf("at %s it verifies without leeway", now)
		}
		e.Leeway = time.Minute
		if _, err := o.verifier.Verify(token, e); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
	}
}

// TestD24BytesThatAreRefused changes the token itself.
func TestD24BytesThatAreRefused(t *testing.T) {
	o := newOverlay(t)
	token := sign(t, o.cell, nodeClaims(t))
	parts := strings.Split(token, ".")
	other := strings.Split(sign(t, o.cell, nodeClaims(t)), ".")
	flipped := []byte(parts[2])
	flipped[5] = 'A' + (flipped[5]-'A'+1)%26
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"nothing":               {"", ErrMalformed},
		"one part":              {parts[0], ErrMalformed},
		"four parts":            {token + ".x", ErrMalformed},
		"no signature":          {parts[0] + "." + parts[1] + ".", ErrSignature},
		"another's signature":   {parts[0] + "." + parts[1] + "." + other[2], ErrSignature},
		"another's claims":      {parts[0] + "." + other[1] + "." + parts[2], ErrSignature},
		"a changed signature":   {parts[0] + "." + parts[1] + "." + string(flipped), ErrSignature},
		"a line break":          {token[:len(token)-4] + "\n" + token[len(token)-4:], ErrMalformed},
		"padding":               {token + "==", ErrMalformed},
		"too large":             {token + strings.Repeat("A", maxToken), ErrMalformed},
		"claims are no JSON":    {parts[0] + ".AAAA." + parts[2], ErrMalformed},
		"claims are not base64": {parts[0] + ".A." + parts[2], ErrMalformed},
	} {
		if c, err := o.verifier.Verify(tt.token, expectNode()); c != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v; want %v", name, c, err, tt.want)
		}
	}
}

func TestSignedByItself(t *testing.T) {
	o, node := newOverlay(t), newKey(t)
	proof := sign(t, &Signer{Key: node}, Claims{
		Purpose: "proof", Audience: "c1", IssuedAt: noon, Expires: noon.Add(time.Minute), Document: json.RawMessage(`{"nonce":"n"}`),
	})
	e := Expect{Purposes: []Purpose{"proof"}, Audience: "c1", SignedBy: node.Public(), Now: noon}
	if _, err := o.verifier.Verify(proof, e); err != nil {
		t.Error(err)
	}
	e.SignedBy = newKey(t).Public()
	if _, err := o.verifier.Verify(proof, e); !errors.Is(err, ErrIssuer) {
		t.Errorf("as another's proof: %v", err)
	}
	e.SignedBy = PublicKey{}
	if _, err := o.verifier.Verify(proof, e); !errors.Is(err, ErrIssuer) {
		t.Errorf("as an issuer's document: %v", err)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	s := &Signer{Key: newKey(t)}
	for name, change := range map[string]func(c *Claims){
		"no end":                         func(c *Claims) { c.Expires = time.Time{} },
		"no beginning":                   func(c *Claims) { c.IssuedAt = time.Time{} },
		"no purpose":                     func(c *Claims) { c.Purpose = "" },
		"an id that is no part of a key": func(c *Claims) { c.ID = "a.>" },
		"a document that is none":        func(c *Claims) { c.Document = json.RawMessage(`{`) },
		"too large":                      func(c *Claims) { c.Document = json.RawMessage(`{"x":"` + strings.Repeat("x", maxToken) + `"}`) },
	} {
		c := nodeClaims(t)
		change(&c)
		if token, err := s.Sign(c); err == nil {
			t.Errorf("%s: signed as %.40s", name, token)
		}
	}
	for _, s := range []*Signer{nil, {}} {
		if _, err := s.Sign(nodeClaims(t)); !errors.Is(err, ErrNoKey) {
			t.Errorf("without a key: %v", err)
		}
	}
}
