package main

import (
	"cmp"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// overlayInitVerb makes the folder of a cell.
type overlayInitVerb struct {
	Cell           string   `placeholder:"NAME" help:"Name of the cell (default: that of the folder where it is there, else main)."`
	Host           []string `placeholder:"NAME=ADDRESS" help:"A host of the cell and where nodes reach it (default: the hosts that are there, else overlay1 at 127.0.0.1). Once for each host."`
	Listen         *string  `placeholder:"ADDRESS" help:"The address that new hosts listen on (default: as a host that is there, or 0.0.0.0)."`
	FleetPort      *int     `placeholder:"PORT" help:"Port of new hosts for nodes and clients (default: as a host that is there, or 4222); the hosts of one address count up from it by ten."`
	EnrollmentPort *int     `placeholder:"PORT" help:"Port of new hosts for nodes that join (default: as a host that is there, or 4223); 0 does not listen for them."`
	ClusterPort    *int     `placeholder:"PORT" help:"Port of new hosts for the other hosts (default: as a host that is there, or 6222)."`
	MonitorPort    *int     `placeholder:"PORT" help:"Port of new hosts for monitoring on loopback (default: as a host that is there, or 0); 0 has none."`
	MaxUses        int      `default:"0" help:"How many nodes the join token takes; 0 is any number."`
	Helper         string   `placeholder:"PROGRAM" help:"A program that decides where nodes belong."`
	HelperWorkers  int      `default:"10" help:"How many helpers run at once."`
	Dir            string   `arg:"" help:"The folder to make. What is there already stays as it is; it is told of hosts that were added."`
}

// overlayInitResult is what overlay init --json prints.
type overlayInitResult struct {
	Cell string         `json:"cell"`
	Dir  string         `json:"dir"`
	Made []overlay.Made `json:"made"` // or updated; empty where everything was there
	Join string         `json:"join"` // the file of the join token
}

// Run makes the folder.
func (v *overlayInitVerb) Run(inv *invocation) error {
	hosts, err := v.hosts()
	if err != nil {
		return err
	}
	if v.Cell == "" {
		there, err := overlay.CellOf(v.Dir)
		if err != nil {
			return fail(exitInvalid, "mend it, and run the command again", "reading which cell is there: %w", err)
		}
		v.Cell = cmp.Or(there, "main")
	}
	made, err := overlay.Init(overlay.InitOptions{
		Open: inv.keyOpener().Open,
		Dir:  v.Dir, Cell: v.Cell, Hosts: hosts, Now: time.Now(), MaxUses: v.MaxUses, Helper: v.Helper, HelperWorkers: v.HelperWorkers,
	})
	if err != nil {
		return fail(exitFailed, "what was made stays; mend the cause and run the command again", "making the cell: %w", err)
	}
	join := filepath.Join(v.Dir, "join.jwt")
	if inv.json {
		return inv.printJSON(overlayInitResult{Cell: v.Cell, Dir: v.Dir, Made: append([]overlay.Made{}, made...), Join: join})
	}
	for _, m := range made {
		done := ""
		if m.Updated {
			done = "updated: "
		}
		inv.printf("%s  %s%s\n", m.Path, done, m.What)
	}
	if len(made) == 0 {
		inv.printf("everything is there already\n")
	}
	v.next(inv, hosts, made)
	inv.notef("join a node: statecraft node run --join %s", join)
	return nil
}

// next says which hosts are to be started, those first that have been added to a cell, and what their number means.
func (v *overlayInitVerb) next(inv *invocation, hosts []overlay.HostOptions, made []overlay.Made) {
	var added, changed []string
	for _, h := range hosts {
		folder := filepath.Join(v.Dir, "hosts", h.Name)
		updated := func(m overlay.Made) bool { return m.Updated && filepath.Dir(m.Path) == folder }
		if slices.ContainsFunc(made, updated) {
			changed = append(changed, folder)
		} else {
			added = append(added, folder)
		}
	}
	for _, folder := range added {
		inv.notef("run a host:  statecraft overlay run %s", folder)
	}
	for _, folder := range changed {
		inv.notef("then:        copy %s to its host, and start that anew", filepath.Join(folder, "overlay.yaml"))
	}
	switch n := len(hosts); {
	case n == 2:
		inv.notef("a cell of two hosts stops all writes while one of them is away: have one, three or five")
	case n%2 == 0:
		inv.notef("a cell of %d hosts bears the loss of no more of them than one of %d: have one, three or five", n, n-1)
	}
}

// hosts reads --host. A host that is there listens where its folder says; new ones get ports of their own on their address.
func (v *overlayInitVerb) hosts() ([]overlay.HostOptions, error) {
	standing, err := overlay.StandingHosts(v.Dir)
	if err != nil {
		return nil, fail(exitInvalid, "mend it, and run the command again", "reading the hosts that are there: %w", err)
	}
	given, hosts := v.Host, []overlay.HostOptions(nil)
	if len(given) == 0 && len(standing) == 0 {
		given = []string{"overlay1=127.0.0.1"}
	}
	if len(given) == 0 {
		return whoStands(standing)
	}
	for _, text := range given {
		name, address, ok := strings.Cut(text, "=")
		if !ok || name == "" || address == "" {
			return nil, usage("write --host overlay1=overlay1.example.net", "--host %q is not NAME=ADDRESS", text)
		}
		if _, _, err := net.SplitHostPort(address); err == nil {
			return nil, usage("ports are given with --fleet-port and the like", "--host %q: the address has a port", text)
		}
		h := standing[name]
		h.Name, h.Address = name, address
		hosts = append(hosts, h)
	}
	base := v.base(standing)
	for i := range hosts {
		if _, there := standing[hosts[i].Name]; there {
			continue
		}
		listenBeside(&hosts[i], base, hosts)
		if last := max(hosts[i].Fleet, hosts[i].Enrollment, hosts[i].Cluster, hosts[i].Monitor); last > 65535 {
			return nil, usage("choose lower ports", "port %s is none", strconv.Itoa(last))
		}
	}
	return hosts, nil
}

// whoStands are the hosts that are there, where none is named.
func whoStands(standing map[string]overlay.HostOptions) (hosts []overlay.HostOptions, err error) {
	for _, name := range slices.Sorted(maps.Keys(standing)) {
		if standing[name].Address == "" {
			return nil, usage("name all hosts of the cell, each with --host NAME=ADDRESS", "its folder does not tell where the host %s is reached", name)
		}
		hosts = append(hosts, standing[name])
	}
	return hosts, nil
}

// base is where the first new host of an address listens: as the flags say, as a host that is there, or at the usual ports.
func (v *overlayInitVerb) base(standing map[string]overlay.HostOptions) overlay.HostOptions {
	base := overlay.HostOptions{Listen: "0.0.0.0", Fleet: 4222, Enrollment: 4223, Cluster: 6222}
	for i, name := range slices.Sorted(maps.Keys(standing)) {
		if h := standing[name]; i == 0 || h.Fleet < base.Fleet {
			base = h
		}
	}
	if v.Listen != nil {
		base.Listen = *v.Listen
	}
	for _, p := range []struct{ to, flag *int }{
		{&base.Fleet, v.FleetPort}, {&base.Enrollment, v.EnrollmentPort}, {&base.Cluster, v.ClusterPort}, {&base.Monitor, v.MonitorPort},
	} {
		if p.flag != nil {
			*p.to = *p.flag
		}
	}
	return base
}

// listenBeside gives a new host the ports of base, or where another host of its address has one of them those that are ten higher, and
// so on.
func listenBeside(h *overlay.HostOptions, base overlay.HostOptions, hosts []overlay.HostOptions) {
	base.Name, base.Address = h.Name, h.Address
	taken := func(o overlay.HostOptions) bool {
		return o.Name != base.Name && o.Address == base.Address && (o.Fleet != 0 && o.Fleet == base.Fleet ||
			o.Enrollment != 0 && o.Enrollment == base.Enrollment || o.Cluster != 0 && o.Cluster == base.Cluster || o.Monitor != 0 && o.Monitor == base.Monitor)
	}
	for slices.ContainsFunc(hosts, taken) {
		for _, p := range []*int{&base.Fleet, &base.Enrollment, &base.Cluster, &base.Monitor} {
			if *p != 0 {
				*p += 10
			}
		}
	}
	*h = base
}
