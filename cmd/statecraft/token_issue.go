package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// tokenIssueVerbs sign tokens, one verb a purpose.
type tokenIssueVerbs struct {
	Join   tokenIssueJoinVerb   `cmd:"" help:"Sign a token with which nodes join a cell."`
	Client tokenIssueClientVerb `cmd:"" help:"Sign a token for a person or a program that speaks to a cell."`
	Issuer tokenIssueIssuerVerb `cmd:"" help:"Sign the certificate of an issuer, which bounds what it may sign."`
}

// issuerFlags say who signs.
type issuerFlags struct {
	Dir         string `xor:"signer" placeholder:"DIR" help:"The folder that overlay init made. Its issuer signs, and what is not given comes from there. This or --issuer is required."`
	Issuer      string `xor:"signer" placeholder:"KEYFILE" help:"The key that signs, in place of --dir."`
	Certificate string `placeholder:"FILE" help:"The certificate of --issuer, followed by those of who signed it; without one the key is a root."`
	Cell        string `placeholder:"NAME" help:"The cell (default: that of --dir or of the certificate)."`
	Lifetime    string `placeholder:"DURATION" help:"How long it is valid, such as 12h, 30d or 1y (default: 30 days, or as long as the issuer may sign for)."`
}

// tokenIssued is what token issue --json prints.
type tokenIssued struct {
	Token    string           `json:"token"`
	ID       string           `json:"id"`
	Purpose  identity.Purpose `json:"purpose"`
	Subject  string           `json:"subject"`
	Cell     string           `json:"cell"`
	IssuedAt time.Time        `json:"issued_at"`
	Expires  time.Time        `json:"expires"`
	Chain    []string         `json:"chain,omitempty"` // of an issuer: the certificates of those above it
	Files    []string         `json:"files,omitempty"` // what was written
}

const usualLifetime = 30 * 24 * time.Hour

// issuing is a token in the making.
type issuing struct {
	signer       *identity.Signer
	certificates []*identity.Claims // of the signer, its own first
	dir          string             // "" where no folder of a cell was given
	cell         string
	now          time.Time
}

// open reads the issuer: that of the flags, or the one of this name in the folder of the cell.
func (f *issuerFlags) open(inv *invocation, name string) (*issuing, error) {
	i := &issuing{dir: f.Dir, cell: f.Cell, now: time.Now().UTC().Truncate(time.Second)}
	key, certificate := f.Issuer, f.Certificate
	hint := "--issuer names the file of the key that signs"
	switch {
	case f.Dir == "" && f.Issuer == "":
		return nil, usage("--dir DIR names the folder that statecraft overlay init made, --issuer KEYFILE a key by itself", "it is not said who signs the token")
	case f.Dir != "":
		hint = "--dir names the folder that statecraft overlay init made, with authority/ in it"
		if f.Certificate != "" {
			return nil, usage("leave it out, or name the key with --issuer in place of --dir", "--certificate goes with --issuer; --dir has certificates of its own")
		}
		key = filepath.Join(f.Dir, "authority", name+".key")
		if name != rootIssuer {
			certificate = filepath.Join(f.Dir, "authority", name+".jwt")
		}
	}
	k, err := inv.loadKey(key, hint)
	if err != nil {
		return nil, err
	}
	i.signer = &identity.Signer{Key: k}
	if certificate != "" {
		if err := i.certify(certificate); err != nil {
			return nil, err
		}
	}
	return i, i.findCell()
}

// rootIssuer is the name of the key in a cell's folder that has no certificate.
const rootIssuer = "root"

// certify reads the signer's certificates.
func (i *issuing) certify(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fail(exitFailed, "--certificate names the issuer's certificate", "reading the issuer's certificate %s: %w", file, reason(err))
	}
	i.signer.Chain = strings.Fields(string(data))
	for _, text := range i.signer.Chain {
		c, err := identity.Inspect(text)
		if err != nil || c.Limits == nil {
			return fail(exitInvalid, "statecraft token inspect "+file+" says what it is", "%s holds no issuer's certificate: %w", file, errors.Join(err, identity.ErrPurpose))
		}
		if !i.now.Before(c.Expires) {
			return fail(exitRefused, "statecraft token issue issuer makes a new one", "the certificate of %q ended at %s", c.Subject, instant(c.Expires))
		}
		i.certificates = append(i.certificates, c)
	}
	if len(i.certificates) == 0 {
		return fail(exitInvalid, "--certificate names the issuer's certificate", "%s is empty", file)
	}
	return nil
}

// findCell takes the cell that was not given from the certificate, or from one that lies in the cell's folder.
func (i *issuing) findCell() error {
	if i.cell == "" && len(i.certificates) > 0 {
		i.cell = i.certificates[0].Cell
	}
	if i.cell == "" && i.dir != "" {
		if data, err := os.ReadFile(filepath.Join(i.dir, "authority", "join.jwt")); err == nil {
			if c, err := identity.Inspect(strings.TrimSpace(string(data))); err == nil {
				i.cell = c.Cell
			}
		}
	}
	if i.cell == "" {
		return usage("name it with --cell", "the cell is not known")
	}
	return nil
}

// root is the key that the signer's chain ends at.
func (i *issuing) root() string {
	if n := len(i.certificates); n > 0 {
		return i.certificates[n-1].Issuer
	}
	return i.signer.Key.Public().String()
}

// expires reads --lifetime. Where it is not given it is the usual one, cut to what every certificate allows.
func (i *issuing) expires(lifetime string) (time.Time, error) {
	if lifetime != "" {
		d, err := strict.ParseDuration(lifetime)
		if err != nil || d.Std() < time.Second {
			return time.Time{}, usage("write it as 12h, 30d or 1y", "--lifetime %q is no lifetime", lifetime)
		}
		return i.now.Add(d.Std()), nil
	}
	longest := usualLifetime
	for _, c := range i.certificates {
		longest = min(longest, c.Expires.Sub(i.now))
		if c.Limits.MaxLifetime > 0 {
			longest = min(longest, c.Limits.MaxLifetime)
		}
	}
	return i.now.Add(longest), nil
}

// sign completes the claims and signs them, unless whoever verifies them would refuse them.
func (i *issuing) sign(c identity.Claims) (*tokenIssued, error) {
	c.Cell, c.IssuedAt = i.cell, i.now
	switch err := i.signer.Permits(c); {
	case errors.Is(err, identity.ErrIssuer):
		return nil, fail(exitRefused, "choose what its certificate allows, such as a shorter --lifetime; statecraft token inspect says what that is", "this issuer may not sign it: %w", err)
	case err != nil:
		return nil, usage("mend what it names", "signing the token: %w", err)
	}
	token, err := i.signer.Sign(c)
	if err != nil {
		return nil, err
	}
	read, err := identity.Inspect(token)
	if err != nil {
		return nil, err
	}
	return &tokenIssued{
		Token: token, ID: read.ID, Purpose: read.Purpose, Subject: read.Subject, Cell: read.Cell, IssuedAt: read.IssuedAt, Expires: read.Expires,
	}, nil
}

// issued prints a token, or what was written of it.
func (inv *invocation) issued(t *tokenIssued) error {
	if inv.json {
		return inv.printJSON(t)
	}
	if len(t.Files) > 0 {
		for _, file := range t.Files {
			inv.printf("%s\n", file)
		}
		return nil
	}
	for _, text := range append([]string{t.Token}, t.Chain...) {
		inv.printf("%s\n", text)
	}
	return nil
}
