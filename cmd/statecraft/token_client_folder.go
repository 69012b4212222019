package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// clientFolder is a client's folder that is to be made, or to get another token.
type clientFolder struct {
	dir     string
	context overlay.Client     // without its token
	holder  identity.PublicKey // zero until the key is made
	foreign bool               // the key is not to be in the folder
}

// folder reads what the folder is to hold.
func (v *tokenIssueClientVerb) folder(i *issuing) (*clientFolder, error) {
	f := &clientFolder{dir: v.Output, context: overlay.Client{Cell: i.cell, URLs: v.URL}}
	if err := f.isOf(v.Name); err != nil {
		return nil, err
	}
	authority := v.CA
	if authority == "" && i.dir != "" {
		authority = cellAuthority(i.dir)
	}
	if authority == "" {
		return nil, usage("name it with --ca", "the authority of the brokers' certificates is not known")
	}
	pem, err := readAuthority(authority)
	if err != nil {
		return nil, err
	}
	f.context.CA = string(pem)
	if err := checkURLs(v.URL); err != nil {
		return nil, err
	}
	if len(v.URL) == 0 && i.dir != "" {
		if f.context.URLs, err = brokersOf(i.dir); err != nil {
			return nil, err
		}
	}
	if len(f.context.URLs) == 0 {
		return nil, usage("name them with --url tls://overlay1.example.net:4222", "the fleet listeners are not known")
	}
	f.holder, f.foreign, err = v.holder()
	return f, err
}

// isOf refuses a folder that belongs to another client.
func (f *clientFolder) isOf(name string) error {
	file, _ := overlay.ClientFiles(f.dir)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail(exitFailed, "choose another --output", "reading what is in %s: %w", f.dir, reason(err))
	}
	var there overlay.Client
	if err := json.Unmarshal(data, &there); err == nil && there.Cell == f.context.Cell {
		if c, err := identity.Inspect(there.Token); err == nil && c.Subject == name {
			return nil
		}
	}
	return usage("choose another --output", "%s is the folder of another client, which is not replaced", f.dir)
}

// brokersOf returns the fleet listeners that the hosts in a cell's folder name.
func brokersOf(dir string) ([]string, error) {
	files, err := fs.Glob(os.DirFS(dir), "hosts/*/overlay.yaml")
	if err != nil {
		return nil, usage("name the fleet listeners with --url", "looking for the hosts of the cell: %w", err)
	}
	var urls []string
	for _, file := range files {
		cfg, err := overlay.ReadConfig(filepath.Join(dir, file))
		if err != nil {
			return nil, overlayError(err)
		}
		urls = append(urls, cfg.Brokers...)
	}
	slices.Sort(urls)
	return slices.Compact(urls), nil
}

// write signs the token and writes the folder, which its owner alone may read.
func (f *clientFolder) write(i *issuing, c identity.Claims) (*tokenIssued, error) {
	if err := identity.MakeFolder(f.dir); err != nil {
		return nil, fail(exitFailed, "choose another --output", "making the client's folder: %w", err)
	}
	files, err := f.key()
	if err != nil {
		return nil, err
	}
	c.PublicKey = f.holder.String()
	t, err := i.sign(c)
	if err != nil {
		return nil, err
	}
	f.context.Token = t.Token
	if err := f.context.Save(f.dir); err != nil {
		return nil, fail(exitFailed, "choose another --output", "%w", err)
	}
	file, keyFile := overlay.ClientFiles(f.dir)
	t.Files = append(files, file)
	var key *identity.Key
	if !f.foreign {
		if key, err = identity.LoadKey(keyFile); err != nil {
			return nil, fail(exitFailed, "choose another --output", "%w", err)
		}
	}
	more, err := f.context.SaveNATS(f.dir, f.holder, key, i.root())
	if err != nil {
		return nil, fail(exitFailed, "choose another --output", "%w", err)
	}
	t.Files = append(t.Files, more...)
	return t, nil
}

// key takes the key that is there, or makes one. It returns what it wrote.
func (f *clientFolder) key() ([]string, error) {
	if f.foreign {
		return nil, nil
	}
	_, file := overlay.ClientFiles(f.dir)
	k, err := identity.LoadKey(file)
	if err == nil {
		f.holder = k.Public()
		return nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitFailed, "choose another --output", "%w", err)
	}
	if k, err = identity.NewKey(); err == nil {
		err = k.Save(file)
	}
	if err != nil {
		return nil, fail(exitFailed, "", "making the client's key: %w", err)
	}
	f.holder = k.Public()
	return []string{file}, nil
}
