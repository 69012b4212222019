package registry

import (
	"io/fs"
	"time"
)

// settling is how old a change must be before equal times prove that nothing was written since: kernels stamp files by a coarse
// clock (up to 10 ms, 2 s on FAT), so that two writes can share one time.
const settling = 2 * time.Second

// stamp is what the file system says of a file or folder. The change time cannot be set back as the modification time can.
type stamp struct {
	device, inode uint64
	size          int64
	mode          fs.FileMode
	mtime, ctime  int64 // ns since 1970
}

func (s stamp) folder() bool { return s.mode.IsDir() }

// settled reports whether a stamp that is the same later means that nothing was written after at.
func (s stamp) settled(at time.Time) bool {
	return s.ctime != 0 && at.UnixNano()-max(s.mtime, s.ctime) > int64(settling)
}
