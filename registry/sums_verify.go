package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errNoSums is a check that was asked for without what it needs.
var errNoSums = errors.New("the checksum file's name, below the folder, and its own sha256 in hex are needed")

// Verify holds a folder against its checksum file, whose own digest is given (hex): every file is listed and as listed, and no other is there.
// sumsFile is a path below dir. The error is a *Tampered, or why it could not be found out. Folders without a file are no matter.
func Verify(dir, sumsFile, sumsDigest string) error {
	return NewIntact(dir, sumsFile, sumsDigest).Check(context.Background())
}

// Tampered says what is not as it was signed. The lists hold paths below the folder; "." is the folder itself. They are not complete where
// very many files are extra.
type Tampered struct{ Changed, Missing, Extra []string }

// Error names the first few of each.
func (t *Tampered) Error() string {
	var parts []string
	for _, kind := range []struct {
		word  string
		paths []string
	}{{"changed", t.Changed}, {"missing", t.Missing}, {"extra", t.Extra}} {
		if len(kind.paths) > 0 {
			parts = append(parts, kind.word+": "+some(kind.paths))
		}
	}
	return "not as it was signed: " + strings.Join(parts, "; ")
}

func some(names []string) string {
	const few = 5
	text := make([]string, 0, few)
	for _, name := range names[:min(few, len(names))] {
		text = append(text, fmt.Sprintf("%q", name)) // whoever put it there chose it
	}
	list := strings.Join(text, ", ")
	if more := len(names) - few; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

func (t *Tampered) none() bool { return len(t.Changed)+len(t.Missing)+len(t.Extra) == 0 }

// inspection is one walk over a folder.
type inspection struct {
	ctx      context.Context
	root     *os.Root
	at       time.Time // when it began
	known    map[string]verified
	found    map[string]verified // what is there, files with their digests
	tampered Tampered
}

// verified is what is known of a file or folder.
type verified struct {
	stamp   stamp
	settled bool   // the same stamp means the same content
	digest  string // of files
}

// inspect holds a folder against its checksum file. Files that are as they were in known are not read.
func inspect(ctx context.Context, dir, sumsFile, sumsDigest string, known map[string]verified) (map[string]verified, error) {
	if !isDigest(sumsDigest) || checkPath(sumsFile) != nil {
		return nil, errNoSums
	}
	root, err := openReal(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, &Tampered{Missing: []string{"."}}
	}
	if err != nil {
		return nil, fmt.Errorf("verifying %s: %w", dir, err)
	}
	defer root.Close()
	i := &inspection{ctx: ctx, root: root, at: time.Now(), known: known, found: map[string]verified{}}
	if err := i.walk(sumsFile, sumsDigest); err != nil {
		return nil, fmt.Errorf("verifying %s: %w", dir, err)
	}
	if !i.tampered.none() {
		return i.found, &i.tampered
	}
	return i.found, nil
}

// openReal opens a folder that is no link.
func openReal(dir string) (*os.Root, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return os.OpenRoot(dir)
}

func (i *inspection) walk(sumsFile, sumsDigest string) error {
	if err := fs.WalkDir(i.root.FS(), ".", i.visit); err != nil && !errors.Is(err, fs.SkipAll) {
		return err
	}
	sums, ok := i.found[sumsFile]
	switch {
	case !ok:
		i.tampered.Missing = append(i.tampered.Missing, sumsFile)
		return nil
	case sums.digest != sumsDigest:
		i.tampered.Changed = append(i.tampered.Changed, sumsFile)
		return nil
	}
	list, err := i.sums(sumsFile, sumsDigest)
	if err != nil {
		return err
	}
	i.compare(list, sumsFile)
	return nil
}

// visit takes in one file or folder. One that disappears meanwhile is missing.
func (i *inspection) visit(name string, d fs.DirEntry, err error) error {
	const most = 20_000 // extra files; more need not be named
	if errors.Is(err, fs.ErrNotExist) && name != "." {
		return nil
	}
	if err == nil {
		err = i.ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(i.found)+len(i.tampered.Extra) > most {
		return fs.SkipAll
	}
	info, err := d.Info() // as of when its folder was listed
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir() && !info.Mode().IsRegular() || d.IsDir() != info.IsDir():
		i.tampered.Extra = append(i.tampered.Extra, name)
		return nil
	}
	return i.take(name, info)
}

func (i *inspection) take(name string, info fs.FileInfo) error {
	now := verified{stamp: stampOf(info)}
	now.settled = now.stamp.settled(i.at)
	if info.IsDir() {
		i.found[name] = now
		return nil
	}
	if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		i.tampered.Changed = append(i.tampered.Changed, name)
	}
	if old, ok := i.known[name]; ok && old.settled && old.stamp == now.stamp {
		now.digest = old.digest
		i.found[name] = now
		return nil
	}
	digest, err := i.hash(name, info)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	now.digest = digest
	i.found[name] = now
	return err
}

// hash reads a file that was seen.
func (i *inspection) hash(name string, info fs.FileInfo) (string, error) {
	file, _, err := openSame(i.root, name, info)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.CopyBuffer(digest, &lasting{i.ctx, file}, copyBuffer(info.Size())); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// copyBuffer is for a file of about size bytes: most files of bundles are far smaller than the buffers that io.Copy makes.
func copyBuffer(size int64) []byte { return make([]byte, max(512, min(size+1, 32<<10))) }

// lasting reads as long as its context lasts.
type lasting struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (l *lasting) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.from.Read(p)
}

// sums reads the checksum file again; it counts only if it still is the one that was found.
func (i *inspection) sums(name, digest string) (map[string]string, error) {
	file, _, err := openRegular(i.root, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(&bounded{from: file, left: maxSums, what: name})
	if err != nil {
		return nil, err
	}
	if digestOf(text) != digest {
		return nil, fmt.Errorf("%s: %w", name, errMoved)
	}
	list, err := readSums(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return list, nil
}

func (i *inspection) compare(listed map[string]string, sumsFile string) {
	for name, v := range i.found {
		if v.stamp.folder() || name == sumsFile {
			continue
		}
		switch want, ok := listed[name]; {
		case !ok:
			i.tampered.Extra = append(i.tampered.Extra, name)
		case want != v.digest && !slices.Contains(i.tampered.Changed, name):
			i.tampered.Changed = append(i.tampered.Changed, name)
		}
	}
	for name := range listed {
		if v, ok := i.found[name]; !ok || v.stamp.folder() {
			i.tampered.Missing = append(i.tampered.Missing, name)
		}
	}
	for _, list := range [][]string{i.tampered.Changed, i.tampered.Missing, i.tampered.Extra} {
		slices.Sort(list)
	}
}
