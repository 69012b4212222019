package watchers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"
)

// fileImage is how a file must be.
type fileImage struct {
	content  []byte
	uid, gid int // -1 leaves it as the process makes it
	mode     fs.FileMode
}

// WriteFile replaces a file as a whole: written beside, synced, renamed, and the folder synced, so that a
// reader sees the old or the new one. A relative path is confined to the machine's directory. What is no
// regular file, links included, is refused.
func (l *Look) WriteFile(path string, content []byte, mode fs.FileMode) error {
	tree, name, err := l.openTree(path)
	if err != nil {
		return err
	}
	defer tree.Close()
	folder, err := tree.folder(name)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer folder.Close()
	if _, err := regularFile(folder, filepath.Base(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(folder, filepath.Base(name), fileImage{content: content, uid: -1, gid: -1, mode: mode})
}

// ReadFile returns the content of a regular file of at most limit bytes. A relative path is confined to
// the machine's directory. Pipes and devices are refused, never waited for.
func (l *Look) ReadFile(path string, limit int64) ([]byte, error) {
	tree, name, err := l.openTree(path)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	info, err := tree.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w", path, errNotRegular)
	}
	file, err := tree.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", path, err)
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("reading %s: larger than the limit of %d bytes", path, limit)
	}
	return content, nil
}

// manage brings the file to what the manifest says.
func (f *fileWatcher) manage(ctx context.Context, look *Look, tree *fileTree, name string) Report {
	image, err := f.spec.image(look)
	if err != nil {
		return f.failed(f.path, err)
	}
	folder, err := tree.folder(name)
	if err != nil {
		return f.failed(f.path, fmt.Errorf("opening the folder of %s: %w", f.path, err))
	}
	defer folder.Close()
	name = filepath.Base(name)
	change, err := f.needed(ctx, look, folder, name, image)
	if err == nil && change != "" {
		err = replaceFile(folder, name, image)
	}
	if err != nil {
		return f.failed(f.path, err)
	}
	sum := sha256.Sum256(image.content)
	return f.report(look, &fileStamp{size: int64(len(image.content)), mode: image.mode, sha256: hex.EncodeToString(sum[:])}, change)
}

// image expands what the file must be at this look.
func (s *fileSpec) image(look *Look) (fileImage, error) {
	content, err := look.Expand(s.Contents)
	if err != nil {
		return fileImage{}, fmt.Errorf("expanding contents: %w", err)
	}
	uid, err := userNumber(s.Owner)
	if err != nil {
		return fileImage{}, err
	}
	gid, err := groupNumber(s.Group)
	if err != nil {
		return fileImage{}, err
	}
	return fileImage{content: []byte(content), uid: uid, gid: gid, mode: s.mode}, nil
}

// needed returns what kind of change brings the file to the image, "" for none.
func (f *fileWatcher) needed(ctx context.Context, look *Look, folder *os.Root, name string, image fileImage) (string, error) {
	info, err := regularFile(folder, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return changeCreated, nil
	case err != nil:
		return "", err
	case info.Size() != int64(len(image.content)):
		return changeContent, nil
	}
	now, err := (&fileTree{root: folder}).stamp(ctx, name, f.last, look.At)
	if err != nil {
		return "", err
	}
	f.last = now
	same, err := f.holds(folder, name, now, image.content)
	switch {
	case err != nil:
		return "", err
	case !same:
		return changeContent, nil
	case !image.owns(now):
		return changeMetadata, nil
	default:
		return "", nil
	}
}

// holds compares the content, by hash where there is one.
func (f *fileWatcher) holds(folder *os.Root, name string, now *fileStamp, want []byte) (bool, error) {
	if now.sha256 != "" {
		sum := sha256.Sum256(want)
		return now.sha256 == hex.EncodeToString(sum[:]), nil
	}
	content, err := folder.ReadFile(name)
	return bytes.Equal(content, want), err
}

// owns reports whether owner, group and mode of the file are those of the image.
func (i fileImage) owns(now *fileStamp) bool {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return now.mode&bits == i.mode && now.inode.uid == uint32(i.uid) && now.inode.gid == uint32(i.gid)
}

// regularFile describes a file without following links: to write through one would let whoever can make a
// link in the folder choose the file that is overwritten.
func regularFile(folder *os.Root, name string) (fs.FileInfo, error) {
	info, err := folder.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a symbolic link, which is not written through: name its target as the path, or remove the link", name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is a %s: remove it, or choose another path", name, kindOf(info.Mode()))
	}
	return info, nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}

// replaceFile puts the image in place of name. It always makes a new file, so that another name of the old
// one (a hard link) is never changed.
func replaceFile(folder *os.Root, name string, image fileImage) (err error) {
	pending, err := renameio.NewPendingFile(name, renameio.WithRoot(folder), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if cleanup := pending.Cleanup(); cleanup != nil && err == nil {
			err = cleanup
		}
	}()
	if _, err := pending.Write(image.content); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := image.apply(pending.File); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("putting %s in place: %w", name, err)
	}
	return syncFolder(folder)
}

// apply sets the owner before the mode, because a change of owner clears the set-uid bit.
func (i fileImage) apply(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	inode, _ := inodeOf(info)
	if i.uid >= 0 && (inode.uid != uint32(i.uid) || inode.gid != uint32(i.gid)) {
		if err := file.Chown(i.uid, i.gid); err != nil {
			return err
		}
	}
	return file.Chmod(i.mode)
}

func syncFolder(folder *os.Root) error {
	dir, err := folder.Open(".")
	if err != nil {
		return fmt.Errorf("opening the folder to sync it: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}

// userNumber finds a user by name, or by number where no such name exists.
func userNumber(name string) (int, error) {
	if u, err := user.Lookup(name); err == nil {
		return strconv.Atoi(u.Uid)
	}
	uid, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("owner: there is no user %q on this host", name)
	}
	return int(uid), nil
}

// groupNumber finds a group by name, or by number where no such name exists.
func groupNumber(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(g.Gid)
	}
	gid, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("group: there is no group %q on this host", name)
	}
	return int(gid), nil
}
