package overlay

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// cutOff is for how long a cell, or a node of it, may be without a connection to anybody, and nothing of it ends; warned is from when before its end
// something is told.
const (
	cutOff = 90 * 24 * time.Hour
	warned = 60 * 24 * time.Hour
)

// TestNothingOfACellEndsWithinNinetyDays holds all that a cell is made of, and what it allows its nodes, against the time for which it may be cut off. What ends later
// is told of 60 days before, which is not yet when that time is over.
func TestNothingOfACellEndsWithinNinetyDays(t *testing.T) {
	dir := twoHosts(t, "c1")
	began := time.Now()
	if _, err := Rotate(RotateOptions{Dir: dir, Now: began}); err != nil { // what that makes is of the same kinds
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ends := func(name string, at time.Time) {
		seen[filepath.Base(name)] = true
		if left := at.Sub(began.Add(cutOff)); left < warned {
			t.Errorf("%s ends %s after a cell that is cut off for 90 days is back", name, left.Round(time.Hour))
		}
	}
	for name, text := range files(t, dir) {
		text = strings.TrimSpace(text)
		switch {
		case filepath.Ext(name) == ".jwt":
			c, err := identity.Inspect(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			ends(name, c.Expires)
		case filepath.Ext(name) == ".pem":
			for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
				c, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				ends(name, c.NotAfter)
			}
		}
	}
	client, err := OpenClient(filepath.Join(dir, "operator"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := identity.Inspect(client.Token)
	if err != nil {
		t.Fatal(err)
	}
	ends("operator/"+clientFile, c.Expires)
	trust, err := OpenTrust(filepath.Join(dir, "operator"), began)
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	ends("the trust root", root.Expires)
	for _, name := range []string{"enrollment.jwt", "service.jwt", "client.jwt", "join.jwt", certFile, caFile, clientFile} {
		if !seen[name] {
			t.Errorf("%s was not looked at", name)
		}
	}
	// A node's token may end when it is cut off, and is renewed afterwards all the same.
	if within := broker.DefaultLimits().RenewWithin; within <= cutOff {
		t.Errorf("a node may renew for %s after its token has ended", within)
	}
}

// TestTheOperatorOfAnOlderIssuerGetsWhatItMaySign keeps a token within what the issuer of clients of an earlier release may sign.
func TestTheOperatorOfAnOlderIssuerGetsWhatItMaySign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c1")
	m := &maker{o: InitOptions{Dir: dir, Cell: "c1", Now: time.Now()}}
	if err := m.authority(); err != nil {
		t.Fatal(err)
	}
	signer, err := m.issuer(m.path("authority"), "client", "", identity.IssuerLimits{
		Purposes: []identity.Purpose{identity.PurposeClient}, Cells: []string{"c1"}, MaxLifetime: cutOff,
	})
	if err == nil {
		err = m.operator(signer, []string{"tls://127.0.0.1:4222"})
	}
	if err != nil {
		t.Fatal(err)
	}
	client, err := OpenClient(filepath.Join(dir, "operator"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = identity.NewVerifier(m.root.Public()).Verify(client.Token, identity.Expect{Purposes: []identity.Purpose{identity.PurposeClient}, Cell: "c1", Now: time.Now()})
	if err != nil {
		t.Error(err)
	}
}
