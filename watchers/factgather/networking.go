package factgather

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/net"

	"github.com/statecraft-io/statecraft/watchers"
)

// gatherNetworking describes names and interfaces, without asking anybody: the domain comes from the host's
// name, /etc/hosts or the search list of /etc/resolv.conf.
func gatherNetworking(ctx context.Context, _ *watchers.Look) (map[string]any, error) {
	facts, err := hostNames()
	if err != nil {
		return nil, err
	}
	list, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	interfaces := map[string]any{}
	for _, i := range list {
		interfaces[i.Name] = describeInterface(i)
	}
	facts["interfaces"] = interfaces
	primary, err := primaryInterface(list)
	if err != nil {
		return nil, err
	}
	if described, ok := interfaces[primary].(map[string]any); ok {
		facts["primary"] = primary
		for _, key := range []string{"ip", "ip6", "mac", "mtu", "netmask", "network"} {
			if value, ok := described[key]; ok {
				facts[key] = value
			}
		}
	}
	return map[string]any{"networking": facts}, nil
}

func hostNames() (map[string]any, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	hosts, err := etcFile("hosts")
	if err != nil {
		return nil, err
	}
	resolver, err := etcFile("resolv.conf")
	if err != nil {
		return nil, err
	}
	short, domain, _ := strings.Cut(name, ".")
	if domain == "" {
		domain = domainOf(short, hosts, resolver)
	}
	names := map[string]any{"hostname": short, "fqdn": short}
	if domain != "" {
		names["domain"], names["fqdn"] = domain, short+"."+domain
	}
	return names, nil
}

// domainOf finds the domain of a host in the text of hosts(5), then in that of resolv.conf(5); "" for none.
func domainOf(name, hosts, resolver string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if !slices.Contains(fields, name) {
			continue
		}
		for _, field := range fields[1:] {
			if domain, ok := strings.CutPrefix(field, name+"."); ok {
				return domain
			}
		}
	}
	for line := range strings.Lines(resolver) {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "domain" || fields[0] == "search") && fields[1] != "." {
			return strings.TrimSuffix(fields[1], ".")
		}
	}
	return ""
}

func describeInterface(i net.InterfaceStat) map[string]any {
	facts := map[string]any{"mtu": i.MTU}
	if i.HardwareAddr != "" {
		facts["mac"] = i.HardwareAddr
	}
	var bindings, bindings6 []any
	for _, address := range i.Addrs {
		prefix, err := netip.ParsePrefix(address.Addr)
		switch {
		case err != nil:
			continue // gopsutil passes on what the system says, which may be no prefix
		case prefix.Addr().Is4():
			bindings = append(bindings, binding(prefix))
		default:
			bindings6 = append(bindings6, binding(prefix))
		}
	}
	addBindings(facts, bindings, "", "bindings")
	addBindings(facts, bindings6, "6", "bindings6")
	return facts
}

// addBindings sets the addresses, and the first of them as that of the interface; a global one is
// first where there is one.
func addBindings(facts map[string]any, bindings []any, suffix, key string) {
	if len(bindings) == 0 {
		return
	}
	facts[key] = bindings
	first := bindings[0].(map[string]any)
	for _, b := range bindings {
		if address, err := netip.ParseAddr(b.(map[string]any)["address"].(string)); err == nil && !address.IsLinkLocalUnicast() {
			first = b.(map[string]any)
			break
		}
	}
	facts["ip"+suffix], facts["netmask"+suffix], facts["network"+suffix] = first["address"], first["netmask"], first["network"]
}

func binding(prefix netip.Prefix) map[string]any {
	return map[string]any{
		"address": prefix.Addr().String(),
		"netmask": netmask(prefix),
		"network": prefix.Masked().Addr().String(),
	}
}

// netmask renders the mask of a prefix as an address of its family.
func netmask(prefix netip.Prefix) string {
	ones := make([]byte, prefix.Addr().BitLen()/8)
	for bit := range prefix.Bits() {
		ones[bit/8] |= 0x80 >> (bit % 8)
	}
	mask, _ := netip.AddrFromSlice(ones) // always 4 or 16 bytes
	return mask.String()
}

// primaryInterface is the one of the default route, else the first with an address that is not the host's own
// loopback.
func primaryInterface(list net.InterfaceStatList) (string, error) {
	routes, err := procFile("net/route")
	if err != nil {
		return "", err
	}
	if name := defaultRoute(routes); name != "" {
		return name, nil
	}
	for _, i := range list {
		if len(i.Addrs) > 0 && !slices.Contains(i.Flags, "loopback") && slices.Contains(i.Flags, "up") {
			return i.Name, nil
		}
	}
	return "", nil
}

// defaultRoute returns the interface of the default route with the lowest metric in the text of
// /proc/net/route, "" for none.
func defaultRoute(routes string) string {
	const columnInterface, columnDestination, columnMetric, columnMask = 0, 1, 6, 7
	name, best := "", uint64(0)
	for line := range strings.Lines(routes) {
		fields := strings.Fields(line)
		if len(fields) <= columnMask || fields[columnDestination] != "00000000" || fields[columnMask] != "00000000" {
			continue
		}
		metric, err := strconv.ParseUint(fields[columnMetric], 10, 32)
		if err == nil && (name == "" || metric < best) {
			name, best = fields[columnInterface], metric
		}
	}
	return name
}
