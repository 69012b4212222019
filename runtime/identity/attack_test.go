package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// algorithms signs claims in every way that is not ours.
func algorithms(t *testing.T, k *Key, claims jwt.MapClaims) map[string]string {
	t.Helper()
	public := k.Public()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	site, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for name, by := range map[string]struct {
		method jwt.SigningMethod
		key    any
	}{
		"none":                      {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType},
		"HS256 with the key":        {jwt.SigningMethodHS256, public[:]},
		"HS256 with the key in hex": {jwt.SigningMethodHS256, []byte(public.String())},
		"HS512 with the key":        {jwt.SigningMethodHS512, public[:]},
		"ES256":                     {jwt.SigningMethodES256, curve},
		"RS256 of a site not known": {jwt.SigningMethodRS256, site},
		"PS256":                     {jwt.SigningMethodPS256, site},
	} {
		token, err := jwt.NewWithClaims(by.method, claims).SignedString(by.key)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = token
	}
	return tokens
}

func TestD24Algorithms(t *testing.T) {
	o := newOverlay(t)
	claims := mapping(t, o.root, nodeClaims(t))
	if _, err := o.verifier.Verify(forge(t, o.root.Key, claims), expectNode()); err != nil {
		t.Fatalf("the same claims, rightly signed: %v", err)
	}
	for name, token := range algorithms(t, o.root.Key, claims) {
		if c, err := o.verifier.Verify(token, expectNode()); c != nil || !errors.Is(err, ErrSignature) && !errors.Is(err, ErrIssuer) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// TestD24Headers writes the header by hand, as libraries disagree about them.
func TestD24Headers(t *testing.T) {
	o := newOverlay(t)
	claims, err := json.Marshal(mapping(t, o.root, nodeClaims(t)))
	if err != nil {
		t.Fatal(err)
	}
	public := o.root.Key.Public()
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, public[:])
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	own := func(text string) []byte { return o.root.Key.Sign([]byte(text)) }
	for _, tt := range []struct {
		header string
		sign   func(string) []byte
		good   bool
	}{
		{`{"alg":"EdDSA"}`, own, true},
		{`{"alg":"EdDSA","kid":"x","typ":"JWT"}`, own, true},
		{`{"alg":"eddsa"}`, own, false},
		{`{"ALG":"EdDSA"}`, own, false},
		{`{"alg":"none"}`, func(string) []byte { return nil }, false},
		{`{"alg":"None"}`, func(string) []byte { return nil }, false},
		{`{"alg":"EdDSA","alg":"none"}`, func(string) []byte { return nil }, false},
		{`{"alg":"EdDSA","alg":"HS256"}`, mac, false},
		{`{"alg":"HS256"}`, mac, false},
		{`{"alg":["EdDSA"]}`, own, false},
		{`{"alg":"EdDSA","crit":["exp"]}`, own, false},
		{`{"alg":"EdDSA","b64":false}`, own, false},
		{`{}`, own, false},
		{`[]`, own, false},
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(tt.header)) + "." + base64.RawURLEncoding.EncodeToString(claims)
		token := text + "." + base64.RawURLEncoding.EncodeToString(tt.sign(text))
		if _, err := o.verifier.Verify(token, expectNode()); (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.header, err)
		}
	}
}

// TestD26StolenIssuer signs, with the key and chain of the cell's issuer, what its certificate or the one above does not allow.
func TestD26StolenIssuer(t *testing.T) {
	o := newOverlay(t)
	anything := func(e *Expect) {
		e.Purposes = []Purpose{PurposeNode, PurposeClient, PurposeService, PurposeJoin, PurposeIssuer, PurposeAssignment, "hello"}
		e.Cell = ""
	}
	for _, a := range []attempt{
		{"a client", func(c *Claims) { c.Purpose, c.Subject = PurposeClient, "web1" }, anything, ErrIssuer},
		{"an overlay's service", func(c *Claims) { c.Purpose = PurposeService }, anything, ErrIssuer},
		{"a message of another kind", func(c *Claims) { c.Purpose = "hello" }, anything, ErrIssuer},
		{"another cell's node", func(c *Claims) { c.Cell = "c2" }, anything, ErrIssuer},
		{"a node of no cell", func(c *Claims) { c.Cell = "" }, anything, ErrIssuer},
		{"a node of another name", func(c *Claims) { c.Identity = "db1" }, anything, ErrIssuer},
		{"a longer life", func(c *Claims) { c.Expires = noon.Add(24*time.Hour + time.Second) }, anything, ErrIssuer},
		{"a longer life from before", func(c *Claims) { c.IssuedAt = noon.Add(-24 * time.Hour) }, anything, ErrIssuer},
		{"a longer life, beginning late", func(c *Claims) { c.NotBefore, c.Expires = noon.Add(time.Hour), noon.Add(24*time.Hour+time.Second) }, anything, ErrIssuer},
		{"what outlives it", func(c *Claims) {
			c.IssuedAt, c.Expires = noon.Add(90*24*time.Hour-time.Hour), noon.Add(90*24*time.Hour+time.Second)
		}, anything, ErrIssuer},
		{"a join token for any name", joinFor(""), anything, ErrIssuer},
		{"a join token for more names", joinFor("w*"), anything, ErrIssuer},
		{"an assignment to another cell", func(c *Claims) {
			c.Purpose, c.Cell, c.Document = PurposeAssignment, "", json.RawMessage(`{"cell":"c2","identity":"web1.example"}`)
		}, anything, ErrIssuer},
		{"an assignment of another name", func(c *Claims) {
			c.Purpose, c.Identity, c.Document = PurposeAssignment, "", json.RawMessage(`{"cell":"c1","identity":"db1"}`)
		}, anything, ErrIssuer},
	} {
		a.run(t, o, o.cell)
	}
	e := expectNode()
	anything(&e)
	for name, change := range map[string]func(c *Claims){
		"a join token": joinFor("web-*"),
		"an assignment whose document alone says for whom": func(c *Claims) {
			c.Purpose, c.Cell, c.Identity = PurposeAssignment, "", ""
			c.Document = json.RawMessage(`{"cell":"c1","identity":"web1.example"}`)
		},
	} {
		c := nodeClaims(t)
		change(&c)
		if _, err := o.verifier.Verify(sign(t, o.cell, c), e); err != nil {
			t.Errorf("%s within the limits: %v", name, err)
		}
	}
}

func joinFor(pattern string) func(c *Claims) {
	return func(c *Claims) {
		c.Purpose, c.Identity, c.PublicKey, c.Join = PurposeJoin, "", "", &JoinClaims{Identities: pattern}
	}
}

// TestD26Chains gives a stolen key chains that it has no right to.
func TestD26Chains(t *testing.T) {
	o := newOverlay(t)
	thief := newKey(t)
	wide := &IssuerLimits{Purposes: []Purpose{PurposeIssuer, PurposeNode, PurposeClient}}
	certificate := func(by *Signer, limits *IssuerLimits) string {
		c := Claims{Subject: "thief", Purpose: PurposeIssuer, PublicKey: thief.Public().String(), IssuedAt: noon.Add(-time.Hour), Expires: noon.Add(24 * time.Hour), Limits: limits}
		m := mapping(t, by, c)
		delete(m, "chain")
		return forge(t, by.Key, m)
	}
	chain := func(more ...string) func(first string) []string {
		return func(first string) []string { return append([]string{first}, more...) }
	}
	node, client := nodeClaims(t), nodeClaims(t)
	client.Purpose, client.Subject = PurposeClient, "up=alice"
	ownNode := node
	ownNode.PublicKey = thief.Public().String()
	for _, tt := range []struct {
		name   string
		by     *Signer
		limits *IssuerLimits
		chain  func(first string) []string
		claims Claims
		good   bool
	}{
		{"below the region, as it should be", o.region, wide, chain(o.region.Chain...), node, true},
		{"a client below the region, which may sign none", o.region, wide, chain(o.region.Chain...), client, false},
		{"below the cell, which names no issuers", o.cell, wide, chain(o.cell.Chain...), node, false},
		{"signed by itself, in front of the cell's", &Signer{Key: thief}, wide, chain(o.cell.Chain...), node, false},
		{"signed by itself alone", &Signer{Key: thief}, wide, chain(), node, false},
		{"leaving out the region", o.region, wide, chain(), node, false},
		{"the cell's own certificates", o.cell, wide, func(string) []string { return o.cell.Chain }, node, false},
		{"none", o.root, wide, func(string) []string { return nil }, node, false},
		{"without limits that allow anything", o.region, &IssuerLimits{}, chain(o.region.Chain...), node, false},
		{"a node's own token in place of a certificate", o.region, wide, func(string) []string {
			return append([]string{sign(t, o.region, ownNode)}, o.region.Chain...)
		}, node, false},
		{"rubbish in place of a certificate", o.region, wide, chain("rubbish"), node, false},
	} {
		s := &Signer{Key: thief, Chain: tt.chain(certificate(tt.by, tt.limits))}
		e := Expect{Purposes: []Purpose{PurposeNode, PurposeClient}, Now: noon.Add(time.Hour)}
		c, err := o.verifier.Verify(forge(t, thief, mapping(t, s, tt.claims)), e)
		if (err == nil) != tt.good || err != nil && (c != nil || !errors.Is(err, ErrIssuer)) {
			t.Errorf("%s: %v, %v", tt.name, c, err)
		}
	}
}

func TestChainLength(t *testing.T) {
	o := newOverlay(t)
	limits := &IssuerLimits{Purposes: []Purpose{PurposeIssuer, PurposeNode}}
	s := o.root
	for n := range maxChain {
		s = delegate(t, s, limits, 30*24*time.Hour)
		if _, err := o.verifier.Verify(sign(t, s, nodeClaims(t)), expectNode()); err != nil {
			t.Fatalf("a chain of %d: %v", n+1, err)
		}
	}
	if _, err := s.Delegate(newKey(t), Claims{IssuedAt: noon, Expires: noon.Add(time.Hour), Limits: limits}); err == nil {
		t.Error("a longer chain is signed")
	}
	longer := &Signer{Key: s.Key, Chain: append(s.Chain, s.Chain...)}
	if _, err := o.verifier.Verify(sign(t, longer, nodeClaims(t)), expectNode()); !errors.Is(err, ErrIssuer) {
		t.Errorf("a longer chain gives %v", err)
	}
}

// TestD26Certificates holds the times of certificates.
func TestD26Certificates(t *testing.T) {
	o := newOverlay(t)
	late, err := o.root.Delegate(newKey(t), Claims{IssuedAt: noon, NotBefore: noon.Add(2 * time.Hour), Expires: noon.Add(48 * time.Hour), Limits: cellLimits()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.verifier.Verify(sign(t, late, nodeClaims(t)), expectNode()); !errors.Is(err, ErrIssuer) {
		t.Errorf("a certificate that is not valid yet gives %v", err)
	}
	short := delegate(t, o.root, cellLimits(), 13*time.Hour)
	e := expectNode()
	e.Now = noon.Add(30 * 24 * time.Hour)
	if c, err := o.verifier.Verify(sign(t, short, nodeClaims(t)), e); c == nil || !errors.Is(err, ErrExpired) {
		t.Errorf("an expired token of an expired issuer gives %v, %v", c, err)
	}
}

func TestPermits(t *testing.T) {
	o := newOverlay(t)
	if err := o.cell.Permits(nodeClaims(t)); err != nil {
		t.Error(err)
	}
	c := nodeClaims(t)
	c.Cell = "c2"
	if err := o.cell.Permits(c); !errors.Is(err, ErrIssuer) {
		t.Errorf("another cell's node: %v", err)
	}
	joinFor("web1*")(&c)
	if err := o.root.Permits(c); err != nil {
		t.Errorf("a root: %v", err)
	}
	c.Join = nil
	if err := o.cell.Permits(c); !errors.Is(err, ErrMalformed) {
		t.Errorf("a join token without content: %v", err)
	}
	further := Claims{Purpose: PurposeIssuer, PublicKey: newKey(t).Public().String(), Limits: cellLimits(), IssuedAt: noon, Expires: noon.Add(time.Hour)}
	if err := o.cell.Permits(further); !errors.Is(err, ErrIssuer) {
		t.Errorf("a further issuer: %v", err)
	}
	if err := o.region.Permits(further); err != nil {
		t.Errorf("a further issuer below the region: %v", err)
	}
}

func TestRememberedCertificates(t *testing.T) {
	o := newOverlay(t)
	token := sign(t, o.cell, nodeClaims(t))
	for range 2 {
		if _, err := o.verifier.Verify(token, expectNode()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.verifier.known.known); n != 2 {
		t.Errorf("%d certificates are remembered, not 2", n)
	}
	stranger := &overlay{root: &Signer{Key: newKey(t)}}
	foreign := delegate(t, stranger.root, cellLimits(), 24*time.Hour)
	if _, err := o.verifier.Verify(sign(t, foreign, nodeClaims(t)), expectNode()); !errors.Is(err, ErrIssuer) {
		t.Errorf("a stranger's issuer: %v", err)
	}
	if n := len(o.verifier.known.known); n != 2 {
		t.Errorf("a stranger's certificate is remembered: %d", n)
	}
	if _, ok := o.verifier.known.find(o.cell.Chain[0], noon.Add(90*24*time.Hour)); ok {
		t.Error("a certificate is remembered beyond its end")
	}
	for i := range 2 * maxCertificates {
		o.verifier.known.remember([]verified{{text: fmt.Sprint(i), claims: &Claims{}}})
	}
	if n := len(o.verifier.known.known); n != maxCertificates {
		t.Errorf("%d certificates are remembered", n)
	}
	if _, err := o.verifier.Verify(token, expectNode()); err != nil {
		t.Errorf("after its certificates were forgotten: %v", err)
	}
}

func TestSites(t *testing.T) {
	o := newOverlay(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const login = "https://login.example"
	limits := IssuerLimits{Purposes: []Purpose{PurposeNode}, Identities: "up=*", MaxLifetime: 24 * time.Hour}
	if err := o.verifier.AllowSite(login, &key.PublicKey, limits); err != nil {
		t.Fatal(err)
	}
	client := nodeClaims(t)
	client.Purpose, client.Subject, client.Identity, client.Cell = PurposeClient, "up=alice", "", ""
	for _, tt := range []struct {
		name   string
		method jwt.SigningMethod
		change func(m map[string]any)
		want   error
	}{
		{"a client", jwt.SigningMethodRS256, nil, nil},
		{"a node", jwt.SigningMethodRS256, func(m map[string]any) { m["purpose"], m["identity"] = "node", "web1" }, ErrIssuer},
		{"an issuer", jwt.SigningMethodRS256, func(m map[string]any) { m["purpose"], m["limits"] = "issuer", map[string]any{} }, ErrIssuer},
		{"another name", jwt.SigningMethodRS256, func(m map[string]any) { m["sub"] = "root" }, ErrIssuer},
		{"a wildcard as name", jwt.SigningMethodRS256, func(m map[string]any) { m["sub"] = "up=>" }, ErrMalformed},
		{"a longer life", jwt.SigningMethodRS256, func(m map[string]any) { m["exp"] = noon.Add(25 * time.Hour).Unix() }, ErrIssuer},
		{"another site", jwt.SigningMethodRS256, func(m map[string]any) { m["iss"] = "https://evil.example" }, ErrIssuer},
		{"the root as issuer", jwt.SigningMethodRS256, func(m map[string]any) { m["iss"] = o.root.Key.Public().String() }, ErrIssuer},
		{"a chain", jwt.SigningMethodRS256, func(m map[string]any) { m["chain"] = o.cell.Chain }, ErrIssuer},
		{"two audiences", jwt.SigningMethodRS256, func(m map[string]any) { m["aud"] = []string{"a", "b"} }, ErrMalformed},
		{"RS512", jwt.SigningMethodRS512, nil, ErrSignature},
		{"PS256", jwt.SigningMethodPS256, nil, ErrSignature},
	} {
		m := mapping(t, o.root, client)
		m["iss"] = login
		if tt.change != nil {
			tt.change(m)
		}
		token, err := jwt.NewWithClaims(tt.method, jwt.MapClaims(m)).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		e := Expect{Purposes: []Purpose{PurposeClient, PurposeNode, PurposeIssuer}, Now: noon.Add(time.Hour)}
		if _, err := o.verifier.Verify(token, e); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSitesThatAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier()
	for name, err := range map[string]error{
		"a small key":            v.AllowSite("x", &small.PublicKey, IssuerLimits{}),
		"no key":                 v.AllowSite("x", nil, IssuerLimits{}),
		"a public key as issuer": v.AllowSite(newKey(t).Public().String(), &small.PublicKey, IssuerLimits{}),
	} {
		if err == nil {
			t.Errorf("%s is trusted", name)
		}
	}
}

// TestD24KeysServeOneAlgorithm signs with HMAC over a site's public key, in its usual forms.
func TestD24KeysServeOneAlgorithm(t *testing.T) {
	o := newOverlay(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.verifier.AllowSite("site", &key.PublicKey, IssuerLimits{}); err != nil {
		t.Fatal(err)
	}
	client := nodeClaims(t)
	client.Purpose = PurposeClient
	m := mapping(t, o.root, client)
	m["iss"] = "site"
	e := Expect{Purposes: []Purpose{PurposeClient}, Now: noon.Add(time.Hour)}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, secret := range [][]byte{key.N.Bytes(), der, inPEM, {}} {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(m)).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := o.verifier.Verify(token, e); c != nil || !errors.Is(err, ErrSignature) {
			t.Errorf("%v, %v", c, err)
		}
	}
	if _, err := o.verifier.Verify(forge(t, newKey(t), m), e); !errors.Is(err, ErrIssuer) {
		t.Errorf("EdDSA in a site's name: %v", err)
	}
}
