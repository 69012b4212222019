//go:build !linux && !darwin

package broker

// DiskSpace is not known on this system.
func DiskSpace(string) (free, size int64) { return 0, 0 }
