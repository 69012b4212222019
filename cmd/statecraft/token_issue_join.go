package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// tokenIssueJoinVerb signs a join token.
type tokenIssueJoinVerb struct {
	issuerFlags
	URL        []string `name:"url" placeholder:"URL" help:"An enrollment listener, such as tls://overlay1.example.net:4223 (default: those of DIR/join.jwt)."`
	Pin        []string `placeholder:"PIN" help:"Base64 SHA-256 of the public key of the authority that signs the listeners' certificates."`
	CA         string   `name:"ca" placeholder:"FILE" help:"That authority's certificate, in place of --pin (default: that of --dir)."`
	Controller string   `placeholder:"KEY" help:"Public key that assignments must chain to (default: the root that the issuer's certificate chains to)."`
	MaxUses    int      `placeholder:"N" help:"How many nodes it takes; 0 is any number."`
	Identities string   `placeholder:"PATTERN" help:"Which identities it takes, * for any characters (default: all)."`
	Replaces   string   `placeholder:"FILE" help:"A join token whose place this one takes: nodes that came by it are given this one when they enroll again, where the hosts have it as join.jwt in their folders."`
	Name       string   `default:"join" placeholder:"NAME" help:"What it is called in logs."`
}

var identityPattern = regexp.MustCompile(`^[a-z0-9._*-]*$`)

// Run prints the token.
func (v *tokenIssueJoinVerb) Run(inv *invocation) error {
	i, err := v.open(inv, "join")
	if err != nil {
		return err
	}
	join, err := v.claims(i)
	if err != nil {
		return err
	}
	expires, err := i.expires(v.Lifetime)
	if err != nil {
		return err
	}
	t, err := i.sign(identity.Claims{Purpose: identity.PurposeJoin, Subject: v.Name, Expires: expires, Join: join})
	if err != nil {
		return err
	}
	return inv.issued(t)
}

func (v *tokenIssueJoinVerb) claims(i *issuing) (*identity.JoinClaims, error) {
	switch {
	case v.MaxUses < 0:
		return nil, usage("0 is any number", "--max-uses %d is no number of nodes", v.MaxUses)
	case !identityPattern.MatchString(v.Identities):
		return nil, usage("write a pattern such as web*.example.net, in lower case", "--identities %q matches no identity", v.Identities)
	}
	join := &identity.JoinClaims{MaxUses: v.MaxUses, Identities: v.Identities, Controller: i.root()}
	if v.Controller != "" {
		key, err := parsePublicKey("--controller", v.Controller)
		if err != nil {
			return nil, err
		}
		join.Controller = key.String()
	}
	var err error
	if join.URLs, err = v.urls(); err != nil {
		return nil, err
	}
	if join.Pins, err = v.pins(); err != nil {
		return nil, err
	}
	if v.Replaces != "" {
		err = replaces(join, v.Replaces)
	}
	return join, err
}

// replaces lets a join token take the place of the one in a file, and of those that it took the place of.
func replaces(join *identity.JoinClaims, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fail(exitFailed, "name the file of the join token that is replaced with --replaces", "reading the token in %s: %w", file, reason(err))
	}
	before, err := identity.Inspect(strings.TrimSpace(string(data)))
	if err != nil || before.Join == nil {
		return fail(exitInvalid, "statecraft token inspect says what a token holds", "%s is no join token", file)
	}
	if before.Join.Controller != join.Controller {
		return usage("nodes take one of the same controller only: start them with --join FILE once", "the join token in %s names another controller", file)
	}
	join.Replaces = identity.Succeeding(before).Join.Replaces
	return nil
}

// urls are those that were given, else those of the first join token of the cell.
func (v *tokenIssueJoinVerb) urls() ([]string, error) {
	if len(v.URL) > 0 {
		return v.URL, checkURLs(v.URL)
	}
	if v.Dir != "" {
		if token, err := os.ReadFile(filepath.Join(v.Dir, "join.jwt")); err == nil {
			if c, err := identity.Inspect(strings.TrimSpace(string(token))); err == nil && c.Join != nil && len(c.Join.URLs) > 0 {
				return c.Join.URLs, nil
			}
		}
	}
	hint := "name them with --url tls://overlay1.example.net:4223"
	if v.Dir != "" {
		hint += "; where " + filepath.Join(v.Dir, "join.jwt") + " is gone or damaged, remove it and statecraft overlay init makes it anew"
	}
	return nil, usage(hint, "the enrollment listeners are not known")
}

// checkURLs reports what no broker can be called by.
func checkURLs(urls []string) error {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats" {
			return usage("write it as tls://overlay1.example.net:4222", "--url %q is not the URL of a broker", text)
		}
	}
	return nil
}

// pins are those that were given and those of the authority that was given, else those of the cell's authority.
func (v *tokenIssueJoinVerb) pins() ([]string, error) {
	pins, authority := slices.Clone(v.Pin), v.CA
	if len(pins) == 0 && authority == "" && v.Dir != "" {
		authority = cellAuthority(v.Dir)
	}
	if authority != "" {
		more, err := pinsOf(authority)
		if err != nil {
			return nil, err
		}
		pins = append(pins, more...)
	}
	if _, err := identity.PinnedTLS(pins); err != nil {
		return nil, usage("--ca takes the certificate itself and computes the pin", "the pins of the enrollment listeners: %w", err)
	}
	return pins, nil
}

// cellAuthority is the file of the certificate authority in a cell's folder.
func cellAuthority(dir string) string { return filepath.Join(dir, "authority", "ca.pem") }

// pinsOf returns the pin of every certificate in a PEM file.
func pinsOf(file string) ([]string, error) {
	rest, err := readAuthority(file)
	if err != nil {
		return nil, err
	}
	var pins []string
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return pins, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, notAuthority(file)
		}
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		pins = append(pins, base64.StdEncoding.EncodeToString(sum[:]))
	}
}

// readAuthority reads a PEM file of certificates.
func readAuthority(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fail(exitFailed, "name the certificate of the brokers' authority with --ca", "reading the authority %s: %w", file, reason(err))
	}
	if _, err := identity.CATLS(string(data)); err != nil || strings.Contains(string(data), "PRIVATE KEY") {
		return nil, notAuthority(file)
	}
	return data, nil
}

func notAuthority(file string) error {
	return fail(exitInvalid, "it is to hold certificates in PEM form, and nothing else", "%s is no certificate authority", file)
}
