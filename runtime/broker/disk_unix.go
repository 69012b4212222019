//go:build linux || darwin

package broker

import "golang.org/x/sys/unix"

// DiskSpace is what is free of the file system of a folder, for this process, and its size, in bytes; 0 where it cannot be read.
func DiskSpace(dir string) (free, size int64) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0, 0
	}
	return int64(fs.Bavail) * int64(fs.Bsize), int64(fs.Blocks) * int64(fs.Bsize) //nolint:unconvert // their types differ between systems
}
