package factgather

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"

	"github.com/statecraft-io/statecraft/watchers"
)

// part is one piece of the built-in gatherer. It fails alone.
type part struct {
	name   string
	gather func(ctx context.Context, look *watchers.Look) (map[string]any, error)
}

func parts() []part {
	return []part{
		{"os", gatherOS},
		{"processors", gatherProcessors},
		{"memory", gatherMemory},
		{"disks", gatherDisks},
		{"mountpoints", gatherMountpoints},
		{"networking", gatherNetworking},
		{"virtual", gatherVirtual},
		{"identity", gatherIdentity},
		{"uptime", gatherUptime},
		{"load", gatherLoad},
		{"timezone", gatherTimezone},
		{"dmi", gatherDMI},
	}
}

func builtinEntries() []entry {
	var all []entry
	for _, p := range parts() {
		all = append(all, entry{id: builtinName + "/" + p.name, source: builtinName, fetch: p.gather})
	}
	return all
}

// Gather returns what the built-in gatherer finds, and the errors of the parts that it could not find.
func Gather(ctx context.Context, at time.Time) (map[string]any, error) {
	look, document := &watchers.Look{At: at}, map[string]any{}
	var errs []error
	for _, e := range builtinEntries() {
		facts, err := e.guarded(ctx, look)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.id, err))
			continue
		}
		merge(document, facts)
	}
	return document, errors.Join(errs...)
}

// gatherVirtual tells a guest or container from a physical host, with gopsutil's names (kvm, docker, lxc).
func gatherVirtual(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	system, role, err := host.VirtualizationWithContext(ctx)
	if err != nil {
		return nil, err
	}
	guest := role == "guest" && system != ""
	if !guest {
		system = "physical"
	}
	return map[string]any{"is_virtual": guest, "virtual": system}, nil
}

// gatherIdentity says who the agent runs as. A number without a name is no failure: containers have them.
func gatherIdentity(context.Context, *watchers.Look) (map[string]any, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	identity := map[string]any{"uid": uid, "gid": gid, "privileged": uid == 0}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		identity["user"] = u.Username
	}
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		identity["group"] = g.Name
	}
	return map[string]any{"identity": identity}, nil
}

func gatherUptime(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	seconds, err := host.UptimeWithContext(ctx)
	if err != nil {
		return nil, err
	}
	const hour, day = 3600, 24 * 3600
	text := fmt.Sprintf("%d:%02d hours", seconds/hour, seconds%hour/60)
	switch days := seconds / day; {
	case days == 1:
		text = "1 day"
	case days > 1:
		text = fmt.Sprintf("%d days", days)
	}
	return map[string]any{"system_uptime": map[string]any{
		"seconds": seconds, "hours": seconds / hour, "days": seconds / day, "uptime": text,
	}}, nil
}

func gatherLoad(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"load_averages": map[string]any{"1m": average.Load1, "5m": average.Load5, "15m": average.Load15}}, nil
}

func gatherTimezone(_ context.Context, look *watchers.Look) (map[string]any, error) {
	name, _ := look.At.In(time.Local).Zone()
	return map[string]any{"timezone": name}, nil
}

// gatherDMI reads what the firmware says; hosts without it, and files only root may read, give less.
func gatherDMI(context.Context, *watchers.Look) (map[string]any, error) {
	dmi := map[string]any{}
	for file, path := range map[string]string{
		"sys_vendor": "manufacturer", "product_name": "product.name", "product_uuid": "product.uuid",
		"product_serial": "product.serial_number", "product_version": "product.version",
		"bios_vendor": "bios.vendor", "bios_version": "bios.version", "bios_date": "bios.release_date",
		"board_vendor": "board.manufacturer", "board_name": "board.product", "board_serial": "board.serial_number",
		"chassis_asset_tag": "chassis.asset_tag",
	} {
		text, err := sysfs("class/dmi/id/" + file)
		if err != nil {
			return nil, err
		}
		if text != "" {
			names := strings.Split(path, ".")
			merge(dmi, wrap(strings.Join(names[:len(names)-1], "."), map[string]any{names[len(names)-1]: text}))
		}
	}
	if len(dmi) == 0 {
		return nil, nil
	}
	return map[string]any{"dmi": dmi}, nil
}

// sysfs returns a file below /sys, trimmed; "" where there is none or it may not be read. HOST_SYS moves
// /sys for an agent in a container, as it does for gopsutil.
func sysfs(name string) (string, error) { return hostFile(string(common.HostSysEnvKey), "/sys", name) }

// etcFile does the same below /etc and HOST_ETC.
func etcFile(name string) (string, error) {
	return hostFile(string(common.HostEtcEnvKey), "/etc", name)
}

// procFile does the same below /proc and HOST_PROC.
func procFile(name string) (string, error) {
	return hostFile(string(common.HostProcEnvKey), "/proc", name)
}

func hostFile(variable, folder, name string) (string, error) {
	if moved := os.Getenv(variable); moved != "" {
		folder = moved
	}
	text, err := os.ReadFile(folder + "/" + name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", nil
	case err != nil:
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}
