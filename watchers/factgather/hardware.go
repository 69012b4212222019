package factgather

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/statecraft-io/statecraft/watchers"
)

// gatherOS names the operating system in lower case, as os-release(5) does; match expressions rely on it.
// gopsutil's own look at the platform is only for hosts without that file: it may run lsb_release, which takes
// longer than everything else here and no context ends.
func gatherOS(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	kernel, err := host.KernelVersionWithContext(ctx)
	if err != nil {
		return nil, err
	}
	machine, err := host.KernelArch()
	if err != nil {
		return nil, err
	}
	system, err := identifyOS(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"os": system.facts(machine), "kernel": kernelName(), "kernelrelease": kernel,
		"kernelversion": leadingVersion(kernel), "hardwaremodel": machine,
	}, nil
}

// operatingSystem is what a distribution calls itself.
type operatingSystem struct{ name, family, version, codename, description string }

func identifyOS(ctx context.Context) (operatingSystem, error) {
	release, err := osRelease()
	if err != nil {
		return operatingSystem{}, err
	}
	if release["ID"] == "" {
		name, family, version, err := host.PlatformInformationWithContext(ctx)
		return operatingSystem{name: name, family: cmp.Or(family, name), version: version}, err
	}
	system := operatingSystem{
		name: release["ID"], family: familyOf(release["ID"], release["ID_LIKE"]),
		version:  cmp.Or(release["VERSION_ID"], release["BUILD_ID"]),
		codename: release["VERSION_CODENAME"], description: release["PRETTY_NAME"],
	}
	if system.name == "debian" {
		// os-release has the major number only.
		point, err := etcFile("debian_version")
		if err != nil {
			return operatingSystem{}, err
		}
		if strings.HasPrefix(point, system.version+".") {
			system.version = point
		}
	}
	return system, nil
}

// familyOf returns the distribution that others descend from, in gopsutil's words.
func familyOf(id, like string) string {
	families := map[string]string{
		"debian": "debian", "rhel": "rhel", "fedora": "rhel", "centos": "rhel", "suse": "suse", "opensuse": "suse",
		"arch": "arch", "alpine": "alpine", "gentoo": "gentoo",
	}
	for _, name := range append([]string{id}, strings.Fields(like)...) {
		if family, known := families[name]; known {
			return family
		}
	}
	return id
}

func (o operatingSystem) facts(machine string) map[string]any {
	numbers := map[string]any{"full": o.version}
	for i, part := range strings.SplitN(o.version, ".", 3) {
		if i < 2 {
			numbers[[]string{"major", "minor"}[i]] = part
		}
	}
	distro := map[string]any{"id": o.name, "release": numbers}
	facts := map[string]any{
		"name": o.name, "family": o.family, "release": numbers, "hardware": machine,
		"architecture": architecture(o.family, machine), "distro": distro,
	}
	if o.codename != "" {
		facts["codename"], distro["codename"] = o.codename, o.codename
	}
	if o.description != "" {
		distro["description"] = o.description
	}
	return facts
}

// architecture follows the distribution: Debian says amd64 where others say x86_64.
func architecture(family, machine string) string {
	if family == "debian" && machine == "x86_64" {
		return "amd64"
	}
	if family == "debian" && machine == "aarch64" {
		return "arm64"
	}
	return machine
}

func kernelName() string { return strings.ToUpper(runtime.GOOS[:1]) + runtime.GOOS[1:] }

// leadingVersion cuts "6.1.0-18-amd64" to "6.1.0".
func leadingVersion(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		return text
	}
	return strings.TrimRight(text[:end], ".")
}

// osRelease reads os-release(5).
func osRelease() (map[string]string, error) {
	text, err := etcFile("os-release")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return values, nil
}

func gatherProcessors(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	infos, err := cpu.InfoWithContext(ctx)
	if err != nil {
		return nil, err
	}
	count, err := cpu.CountsWithContext(ctx, true)
	if err != nil {
		return nil, err
	}
	models, sockets := []any{}, map[string]bool{}
	for _, info := range infos {
		models = append(models, strings.Join(strings.Fields(info.ModelName), " "))
		sockets[info.PhysicalID] = true
	}
	return map[string]any{"processors": map[string]any{
		"count": count, "physicalcount": max(1, len(sockets)), "models": models, "isa": runtime.GOARCH,
	}}, nil
}

func gatherMemory(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	system, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"system": usage(system.Total, system.Total-min(system.Total, system.Available), system.Available, "total_bytes")}
	// VirtualMemory has the swap of /proc/meminfo already; SwapMemory would read it again with vmstat.
	if system.SwapTotal > 0 {
		facts["swap"] = usage(system.SwapTotal, system.SwapTotal-min(system.SwapTotal, system.SwapFree), system.SwapFree, "total_bytes")
	}
	return map[string]any{"memory": facts}, nil
}

// usage is how much of something is taken; total names the key of the whole.
func usage(whole, used, available uint64, total string) map[string]any {
	return map[string]any{
		total: whole, "used_bytes": used, "available_bytes": available, "capacity": capacity(used, used+available),
	}
}

// capacity renders a share as facter does.
func capacity(part, whole uint64) string {
	if whole == 0 {
		return "0%"
	}
	return fmt.Sprintf("%.2f%%", float64(part)/float64(whole)*100)
}

const sectorBytes = 512 // of /sys/block/*/size, whatever the disk's own sectors are

// gatherDisks lists the block devices that are hardware, or look so to a guest.
func gatherDisks(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	folders, err := fs.Glob(os.DirFS(cmp.Or(os.Getenv("HOST_SYS"), "/sys")), "block/*/device")
	if err != nil {
		return nil, err
	}
	disks := map[string]any{}
	for _, folder := range folders {
		name := filepath.Base(filepath.Dir(folder))
		disk, err := describeDisk(name)
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", name, err)
		}
		disks[name] = disk
	}
	if len(disks) == 0 {
		return nil, ctx.Err()
	}
	return map[string]any{"disks": disks}, nil
}

func describeDisk(name string) (map[string]any, error) {
	disk := map[string]any{}
	for key, file := range map[string]string{"model": "device/model", "vendor": "device/vendor", "serial": "device/serial"} {
		text, err := sysfs("block/" + name + "/" + file)
		if err != nil {
			return nil, err
		}
		if text != "" {
			disk[key] = text
		}
	}
	size, err := sysfs("block/" + name + "/size")
	if err != nil {
		return nil, err
	}
	if sectors, err := strconv.ParseUint(size, 10, 54); err == nil {
		disk["size_bytes"] = sectors * sectorBytes
	}
	rotates, err := sysfs("block/" + name + "/queue/rotational")
	if kind, known := map[string]string{"0": "ssd", "1": "hdd"}[rotates]; known {
		disk["type"] = kind
	}
	return disk, err
}

// remoteFileSystem reports file systems whose server may be gone: to ask them for their use can block
// for ever, in a way that no context ends.
func remoteFileSystem(kind string) bool {
	return strings.HasPrefix(kind, "fuse") || strings.HasPrefix(kind, "nfs") ||
		slices.Contains([]string{"cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gfs2", "ocfs2", "9p", "autofs", "beegfs"}, kind)
}
