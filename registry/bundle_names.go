package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errPath      = errors.New("a path goes down from the machine's folder, by / and without . and .. in it")
	errPathLong  = fmt.Errorf("a path has at most %d bytes, %d between two slashes, and %d folders", maxPath, maxPathWord, maxPathDepth)
	errPathText  = errors.New("a path is printable UTF-8 without backslashes")
	errCollision = errors.New("two paths are the same where case does not count")
	errDuplicate = errors.New("the path is there twice")
	errBothKinds = errors.New("the path is a file and a folder")
)

// machineName is what machines may be called.
var machineName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// checkPath holds a path of a bundle against what every system can keep and show.
func checkPath(name string) error {
	switch {
	case !utf8.ValidString(name) || strings.ContainsRune(name, '\\') || strings.ContainsFunc(name, unprintable):
		return errPathText
	case len(name) > maxPath || strings.Count(name, "/") >= maxPathDepth:
		return errPathLong
	case name == "." || !fs.ValidPath(name):
		return errPath
	}
	for word := range strings.SplitSeq(name, "/") {
		if len(word) > maxPathWord {
			return errPathLong
		}
	}
	return nil
}

// unprintable also counts what changes how the rest is shown.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError || r == 0x2028 || r == 0x2029
}

// paths are those seen so far of one bundle.
type paths struct{ known map[string]*seen }

type seen struct {
	spelled string
	folder  bool
	listed  bool // by itself, not only as a part of another path
}

// add takes the next path. It returns the folders above it that were not seen before, from the top.
func (p *paths) add(name string, folder bool) (above []string, err error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	for at := 0; ; {
		i := strings.IndexByte(name[at:], '/')
		if i < 0 {
			break
		}
		at += i
		added, err := p.enter(name[:at], true, false)
		if err != nil {
			return nil, err
		}
		if added {
			above = append(above, name[:at])
		}
		at++
	}
	_, err = p.enter(name, folder, true)
	return above, err
}

func (p *paths) enter(name string, folder, listed bool) (added bool, err error) {
	if p.known == nil {
		p.known = map[string]*seen{}
	}
	key := foldCase(name)
	old := p.known[key]
	switch {
	case old == nil:
		p.known[key] = &seen{spelled: name, folder: folder, listed: listed}
		return true, nil
	case old.spelled != name:
		return false, fmt.Errorf("%w: %s and %s", errCollision, old.spelled, name)
	case old.folder != folder:
		return false, errBothKinds
	case old.listed && listed:
		return false, errDuplicate
	}
	old.listed = old.listed || listed
	return false, nil
}

// foldCase gives texts that differ in case only the same key.
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// hidden tells what is not packed.
func hidden(name string) bool { return strings.HasPrefix(path.Base(name), ".") }
