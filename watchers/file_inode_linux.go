package watchers

import (
	"io/fs"
	"syscall"
	"time"
)

func inodeOf(info fs.FileInfo) (fileInode, time.Time) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileInode{}, time.Time{}
	}
	return fileInode{device: stat.Dev, number: stat.Ino, uid: stat.Uid, gid: stat.Gid}, time.Unix(stat.Ctim.Unix())
}
