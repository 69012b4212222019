package watchers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"time"
)

const (
	// fileHashLimit bounds what one look reads; larger files are known by size, mtime and inode only.
	fileHashLimit = 64 << 20
	// fileSettling is how old a change must be before equal times prove that nothing was written since:
	// kernels stamp files by a coarse clock (up to 10 ms, 2 s on FAT), so that two writes can share one time.
	fileSettling = 2 * time.Second
)

// fileStamp is what a file was like at a look.
type fileStamp struct {
	size   int64
	mode   fs.FileMode
	mtime  time.Time
	inode  fileInode
	ctime  time.Time // zero where the platform has none
	sha256 string    // lower-case hex; "" of what is not hashed
	// settled is set where equal times at a later look mean equal content.
	settled bool
}

// fileInode is which file it is, and who owns it.
type fileInode struct {
	device, number uint64
	uid, gid       uint32
}

// stamp describes a file, hashing its content unless the times show that it is what it was at last.
func (t *fileTree) stamp(ctx context.Context, name string, last *fileStamp, at time.Time) (*fileStamp, error) {
	info, err := t.Stat(name)
	if err != nil {
		return nil, err
	}
	now := stampOf(info, at)
	if last != nil && last.covers(now) {
		now.sha256, now.settled = last.sha256, true
		return now, nil
	}
	if !info.Mode().IsRegular() || info.Size() > fileHashLimit {
		return now, nil
	}
	return t.hashed(ctx, name, at)
}

func stampOf(info fs.FileInfo, at time.Time) *fileStamp {
	inode, ctime := inodeOf(info)
	latest := info.ModTime()
	if ctime.After(latest) {
		latest = ctime
	}
	return &fileStamp{
		size: info.Size(), mode: info.Mode(), mtime: info.ModTime(), inode: inode, ctime: ctime,
		settled: !ctime.IsZero() && at.Sub(latest) > fileSettling,
	}
}

// covers reports whether nothing can have been written between two looks. The change time cannot be set
// back as the modification time can.
func (s *fileStamp) covers(now *fileStamp) bool {
	return s.settled && s.size == now.size && s.inode == now.inode && s.mtime.Equal(now.mtime) && s.ctime.Equal(now.ctime)
}

// difference returns what kind of change lies between two looks, "" for none.
func (s *fileStamp) difference(now *fileStamp) string {
	sameFile := s.inode.device == now.inode.device && s.inode.number == now.inode.number
	switch {
	case s.size != now.size, s.sha256 != now.sha256:
		return changeContent
	case sameFile && s.mtime.Equal(now.mtime):
		return ""
	case now.sha256 == "":
		return changeContent // of what is not hashed, a new time is all that shows
	default:
		return changeMetadata
	}
}

var errNotRegular = errors.New("not a regular file")

// hashed opens the file once, so that all of the stamp is about the same file.
func (t *fileTree) hashed(ctx context.Context, name string, at time.Time) (*fileStamp, error) {
	file, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w", name, errNotRegular)
	}
	now, digest := stampOf(info, at), sha256.New()
	if _, err := io.Copy(endsWith(ctx, digest), io.LimitReader(file, fileHashLimit)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	now.sha256 = hex.EncodeToString(digest.Sum(nil))
	return now, nil
}

// endsWith makes a hash that refuses to go on when ctx has ended.
func endsWith(ctx context.Context, digest hash.Hash) io.Writer {
	return &boundHash{ctx: ctx, digest: digest}
}

type boundHash struct {
	ctx    context.Context
	digest hash.Hash
}

// Write adds to the hash.
func (b *boundHash) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.digest.Write(p)
}
