package delivery

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

var (
	errNoSlots   = errors.New("this program has no folder for machines; give target")
	errPlain     = errors.New("username and password are not sent without TLS; use an https source")
	errVerifySum = errors.New("verify needs verify_checksum, the sha256 of that file")
)

// archiveWant is what one look is about: the properties with their templates expanded.
type archiveWant struct {
	name, checksum string
	sums, sumsSum  string // sums is "" where nothing is verified
	source         *url.URL
	slots          *registry.Slots

	username, password, ca string
}

// want expands the properties. Errors name the property and never show a value that may be secret.
func (s *archiveSpec) want(look *watchers.Look, services Services) (*archiveWant, error) {
	w := &archiveWant{}
	var source, target string
	for _, p := range []struct {
		key   string
		text  watchers.Text
		into  *string
		check func(string) error
	}{
		{"source", s.Source, &source, s.checkSource},
		{"checksum", s.Checksum, &w.checksum, checkDigest},
		{"creates", s.Creates, &w.name, checkCreates},
		{"target", s.Target, &target, optional(checkTarget)},
		{"verify", s.Verify, &w.sums, optional(checkVerify)},
		{"verify_checksum", s.VerifyChecksum, &w.sumsSum, optional(checkDigest)},
		{"username", s.Username, &w.username, anyText},
		{"password", s.Password, &w.password, anyText},
		{"ca", s.CA, &w.ca, optional(checkCA)},
	} {
		text, err := look.Expand(p.text)
		if err == nil {
			err = p.check(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.key, err)
		}
		*p.into = text
	}
	w.checksum, w.sumsSum = strings.ToLower(w.checksum), strings.ToLower(w.sumsSum)
	switch {
	case w.sums != "" && w.sumsSum == "":
		return nil, errVerifySum
	case w.sumsSum != "":
		w.sums = cmp.Or(w.sums, registry.SumsFile)
	}
	var err error
	if w.source, err = readSource(source, s.Insecure); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if w.source.Scheme == "http" && w.username+w.password != "" {
		return nil, errPlain
	}
	if err := ownTarget(target); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	w.slots, err = slotsOf(look.Identity, target, services)
	return w, err
}

func anyText(string) error { return nil }

// ownTarget refuses a folder that machines are to be deployed to, "" for none, where somebody else than this user and root could put others in their place: one on the
// way to it belongs to somebody else, or can be written to by others.
func ownTarget(dir string) error {
	if dir == "" {
		return nil
	}
	return identity.CheckStateFolder(dir)
}

// slotsOf is where a payload goes.
func slotsOf(id, target string, services Services) (*registry.Slots, error) {
	switch {
	case target != "":
		return &registry.Slots{Target: filepath.Clean(target), Sync: true}, nil
	case services.Slots == nil:
		return nil, errNoSlots
	}
	slots, err := services.Slots(id)
	if err != nil {
		return nil, fmt.Errorf("finding the folder for machines: %w", err)
	}
	return slots, nil
}

// same reports whether two looks are about the same payload in the same place. Where it comes from is no part of it.
func (w *archiveWant) same(o *archiveWant) bool {
	return o != nil && w.name == o.name && w.checksum == o.checksum && w.sums == o.sums && w.sumsSum == o.sumsSum && w.slots.Target == o.slots.Target
}

// verify holds a folder against the checksum file; nil where there is none.
func (w *archiveWant) verify() func(dir string) error {
	if w.sums == "" {
		return nil
	}
	return func(dir string) error { return registry.Verify(dir, w.sums, w.sumsSum) }
}
