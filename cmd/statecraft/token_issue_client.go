package main

import (
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// tokenIssueClientVerb signs a client's token.
type tokenIssueClientVerb struct {
	issuerFlags
	holderFlags
	Name   string   `required:"" placeholder:"NAME" help:"What the client is called, in lower case. It is how the client is revoked."`
	Right  []string `placeholder:"RIGHT" help:"What the client may do: fleet_view (read the fleet), fleet_operate (tell nodes what to do), fleet_approve (say which key may take an identity, and retire nodes), registry_publish, token_revoke, events_read (consume events and inventories with any NATS client) or admin (everything). Once for each."`
	Output string   `placeholder:"FOLDER" help:"Write a folder for --as: a new key, context.json, the root key of the cell, and client.nk, ca.pem and nats.json for other NATS clients. A key that is there stays; with --public-key none is made."`
	URL    []string `name:"url" placeholder:"URL" help:"For --output: a fleet listener, such as tls://overlay1.example.net:4222 (default: those of the hosts in --dir)."`
	CA     string   `name:"ca" placeholder:"FILE" help:"For --output: the certificate of the brokers' authority (default: that of --dir)."`
}

// holderFlags say whose key a token is for.
type holderFlags struct {
	PublicKey string `xor:"holder" placeholder:"KEY" help:"The holder's public key, in hexadecimal digits or as an nkey."`
	Key       string `xor:"holder" placeholder:"FILE" help:"The holder's key file, of which only the public key is read."`
}

// holder returns the key, false where none is given.
func (f *holderFlags) holder() (key identity.PublicKey, given bool, err error) {
	switch {
	case f.Key != "":
		k, err := loadPublic(f.Key, "statecraft keys new "+f.Key+" makes one")
		if err != nil {
			return key, false, err
		}
		return k, true, nil
	case f.PublicKey != "":
		key, err = parsePublicKey("--public-key", f.PublicKey)
		return key, true, err
	}
	return key, false, nil
}

// Run prints the token, or writes the client's folder.
func (v *tokenIssueClientVerb) Run(inv *invocation) error {
	i, claims, err := v.prepare(inv)
	if err != nil {
		return err
	}
	if v.Output == "" {
		return v.print(inv, i, claims)
	}
	folder, err := v.folder(i)
	if err != nil {
		return err
	}
	t, err := folder.write(i, claims)
	if err != nil {
		return err
	}
	if folder.foreign {
		_, key := overlay.ClientFiles(v.Output)
		inv.notef("the holder puts the key beside it, as %s", filepath.Base(key))
	}
	inv.notef("use it:  %s", firstUse(claims.Permissions, v.Output))
	return inv.issued(t)
}

// firstUse is a command that the rights of a client's folder permit.
func firstUse(rights map[string]bool, folder string) string {
	verb := "fleet ls"
	switch {
	case rights[broker.RightEventsRead]:
		return "nats --context " + overlay.NATSContext(folder) + " stream info EVENTS"
	case rights[rightAdmin], rights[rightView]:
	case rights[rightPublish]:
		verb = "publish --dry-run DIR"
	case rights["fleet_operate"]:
		verb = "fleet reprovision NODE"
	case rights["fleet_approve"]:
		verb = "fleet approve NODE"
	case rights["token_revoke"]:
		verb = "token revoked"
	}
	return "statecraft " + verb + " --as " + folder
}

// prepare reads the flags into the claims, all but the holder's key.
func (v *tokenIssueClientVerb) prepare(inv *invocation) (*issuing, identity.Claims, error) {
	var none identity.Claims
	if _, err := identity.Parse(v.Name); err != nil {
		return nil, none, usage("name the person or program, such as alice", "--name: %w", err)
	}
	permissions, err := granted(v.Right)
	if err != nil {
		return nil, none, err
	}
	i, err := v.open(inv, "client")
	if err != nil {
		return nil, none, err
	}
	expires, err := i.expires(v.Lifetime)
	return i, identity.Claims{Purpose: identity.PurposeClient, Subject: v.Name, Permissions: permissions, Expires: expires}, err
}

func (v *tokenIssueClientVerb) print(inv *invocation, i *issuing, c identity.Claims) error {
	if len(v.URL) > 0 || v.CA != "" {
		return usage("--output FOLDER makes it", "--url and --ca belong to a folder")
	}
	key, given, err := v.holder()
	if err != nil {
		return err
	}
	if !given {
		return usage("--output FOLDER makes a key; --public-key or --key names the one that the holder has", "a token belongs to a key, and none is given")
	}
	c.PublicKey = key.String()
	t, err := i.sign(c)
	if err != nil {
		return err
	}
	return inv.issued(t)
}

// granted checks the names of rights.
func granted(names []string) (map[string]bool, error) {
	var known []string
	for _, r := range broker.Rights() {
		known = append(known, r.Name)
	}
	hint := "there are " + strings.Join(known, ", ")
	if len(names) == 0 {
		return nil, usage(hint, "a client without a right can do nothing: name one with --right")
	}
	permissions := map[string]bool{}
	for _, name := range names {
		permissions[name] = true
		near := strict.Nearest(name, known)
		switch {
		case near == name:
		case near != "":
			return nil, usage("did you mean "+near+"? "+hint, "there is no right %q", name)
		default:
			return nil, usage(hint, "there is no right %q", name)
		}
	}
	return permissions, nil
}
