package factgather

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/statecraft-io/statecraft/watchers"
)

// gatherMountpoints lists what is mounted, but for the kernel's own file systems and what container
// runtimes mount for each container, which come and go.
func gatherMountpoints(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	mounts, err := disk.PartitionsWithContext(ctx, true)
	if err != nil {
		return nil, err
	}
	points := map[string]any{}
	for _, m := range mounts {
		if !ofInterest(m) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		slices.Sort(m.Opts)
		point := map[string]any{"device": m.Device, "filesystem": m.Fstype, "options": m.Opts}
		if !remoteFileSystem(m.Fstype) {
			addUse(ctx, point, m.Mountpoint)
		}
		points[m.Mountpoint] = point
	}
	return map[string]any{"mountpoints": points}, nil
}

// addUse leaves a mount that may not be looked into without numbers.
func addUse(ctx context.Context, point map[string]any, path string) {
	u, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return
	}
	for key, value := range usage(u.Total, u.Used, u.Free, "size_bytes") {
		point[key] = value
	}
}

func ofInterest(m disk.PartitionStat) bool {
	if m.Mountpoint == "/" {
		return true
	}
	for _, above := range []string{"/proc", "/sys", "/dev", "/run", "/var/lib/docker", "/var/lib/containers", "/var/lib/kubelet", "/snap"} {
		if below(m.Mountpoint, above) {
			return false
		}
	}
	return !kernelFileSystem(m.Fstype)
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(filepath.Clean(path), folder+"/")
}

func kernelFileSystem(kind string) bool {
	return slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "debugfs", "tracefs",
		"securityfs", "pstore", "bpf", "configfs", "fusectl", "hugetlbfs", "binfmt_misc", "rpc_pipefs", "nsfs", "efivarfs",
		"overlay", "squashfs", "autofs"}, kind)
}
