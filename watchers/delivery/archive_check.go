package delivery

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the archive watcher's properties can have wrong.
const (
	CodeArchiveSource   diag.Code = "SC430" // a source of no known kind
	CodeArchiveDigest   diag.Code = "SC431" // a checksum that is no sha256
	CodeArchivePath     diag.Code = "SC432" // a name or path that cannot be
	CodeArchiveTogether diag.Code = "SC433" // properties that need each other, or do not go together
	CodeArchiveInterval diag.Code = "SC434" // an interval that is too short
	CodeArchiveCA       diag.Code = "SC435" // certificates that cannot be read
)

var (
	errSourceKind = errors.New("a source is https://HOST/PATH or object://BUCKET/NAME; http://HOST/PATH needs insecure: true")
	errSourceUser = errors.New("credentials are not part of the source: give username and password")
	errDigestForm = errors.New("a sha256 is 64 digits of hex")
	errCreates    = errors.New("it is the name of one folder: letters, digits, . _ and -, beginning with a letter or digit")
	errTarget     = errors.New("the target is an absolute path")
	errVerify     = errors.New("verify is a path below the folder that the archive creates")
	errCA         = errors.New("ca is certificates as PEM, or the absolute path of a PEM file")

	createsForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	objectForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_=./-]{1,256}$`)
)

// Validate checks what is known before a look: texts without a value in them, and which are given.
func (s *archiveSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := archiveFindings{w: w}
	f.text("source", s.Source, CodeArchiveSource, s.checkSource)
	f.text("checksum", s.Checksum, CodeArchiveDigest, checkDigest)
	f.text("verify_checksum", s.VerifyChecksum, CodeArchiveDigest, optional(checkDigest))
	f.text("creates", s.Creates, CodeArchivePath, checkCreates)
	f.text("target", s.Target, CodeArchivePath, optional(checkTarget))
	f.text("verify", s.Verify, CodeArchivePath, optional(checkVerify))
	f.text("ca", s.CA, CodeArchiveCA, optional(checkCA))
	f.together(s)
	if w.Interval > 0 && w.Interval < archiveInterval {
		f.list.Add(diag.Error, CodeArchiveInterval, w.Place("interval"), "write 10s or more: a change of the files is seen at once, whatever the interval",
			"an interval of %s is too short for an archive", w.Interval)
	}
	return f.list
}

// archiveFindings collects what is wrong.
type archiveFindings struct {
	w    *machine.WatcherSpec
	list diag.List
}

func (f *archiveFindings) add(key string, code diag.Code, hint, format string, args ...any) {
	at := f.w.Place("properties")
	if n := f.w.Properties.Get(key); n != nil {
		at = n.Pos
	}
	f.list.Add(diag.Error, code, at, hint, format, args...)
}

// text checks a text that is known.
func (f *archiveFindings) text(key string, given watchers.Text, code diag.Code, check func(string) error) {
	text, known := given.Literal()
	if !known {
		return
	}
	if err := check(text); err != nil {
		f.add(key, code, err.Error(), "%s cannot be this", key)
	}
}

func (f *archiveFindings) together(s *archiveSpec) {
	if !s.Verify.Empty() && s.VerifyChecksum.Empty() {
		f.add("verify", CodeArchiveTogether, "add verify_checksum, which sha256sum "+s.Verify.String()+" prints", "verify needs verify_checksum")
	}
	if s.Username.Empty() != s.Password.Empty() {
		f.add("username", CodeArchiveTogether, "give both username and password, or neither", "username and password need each other")
	}
	if strings.HasPrefix(s.Source.Before(), "object://") {
		for _, key := range []struct {
			name  string
			given bool
		}{{"username", !s.Username.Empty()}, {"insecure", s.Insecure}, {"ca", !s.CA.Empty()}} {
			if key.given {
				f.add(key.name, CodeArchiveTogether, "leave it out: the connection says who asks", "%s says nothing about an object", key.name)
			}
		}
	}
}

func optional(check func(string) error) func(string) error {
	return func(text string) error {
		if text == "" {
			return nil
		}
		return check(text)
	}
}

func (s *archiveSpec) checkSource(text string) error {
	_, err := readSource(text, s.Insecure)
	return err
}

// readSource reads where an archive comes from.
func readSource(text string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errSourceKind // the parser's own message would show the source, which may have a password in it
	case u.User != nil:
		return nil, errSourceUser
	case u.Scheme == "object" && objectForm.MatchString(u.Host+u.Path):
		return u, nil
	case u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && insecure):
		return u, nil
	}
	return nil, errSourceKind
}

func checkDigest(text string) error {
	if _, err := hex.DecodeString(text); err != nil || len(text) != 64 {
		return errDigestForm
	}
	return nil
}

func checkCreates(text string) error {
	if !createsForm.MatchString(text) {
		return errCreates
	}
	return nil
}

func checkTarget(text string) error {
	if !filepath.IsAbs(text) {
		return errTarget
	}
	return nil
}

func checkVerify(text string) error {
	if !filepath.IsLocal(text) {
		return errVerify
	}
	return nil
}

func checkCA(text string) error {
	if filepath.IsAbs(text) || x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
		return nil
	}
	return errCA
}
