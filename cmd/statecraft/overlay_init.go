package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// overlayInitVerb makes the folder of a cell.
type overlayInitVerb struct {
	Cell           string   `default:"main" placeholder:"NAME" help:"Name of the cell."`
	Host           []string `placeholder:"NAME=ADDRESS" help:"A host of the cell and where nodes reach it (default: this machine's name at 127.0.0.1). Once for each host."`
	Listen         string   `default:"0.0.0.0" placeholder:"ADDRESS" help:"The address that hosts listen on."`
	FleetPort      int      `default:"4222" help:"Port for nodes and clients; the hosts of one address count up from it by ten."`
	EnrollmentPort int      `default:"4223" help:"Port for nodes that join; 0 does not listen for them."`
	ClusterPort    int      `default:"6222" help:"Port for the other hosts."`
	MonitorPort    int      `default:"0" help:"Port for monitoring on loopback; 0 has none."`
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
	made, err := overlay.Init(overlay.InitOptions{
		Dir: v.Dir, Cell: v.Cell, Hosts: hosts, Now: time.Now(), MaxUses: v.MaxUses, Helper: v.Helper, HelperWorkers: v.HelperWorkers,
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
	for _, h := range hosts {
		inv.notef("run a host:  statecraft overlay run %s", filepath.Join(v.Dir, "hosts", h.Name))
	}
	inv.notef("join a node: statecraft node run --join %s", join)
	return nil
}

// hosts reads --host, and gives hosts of one address ports of their own.
func (v *overlayInitVerb) hosts() ([]overlay.HostOptions, error) {
	given := v.Host
	if len(given) == 0 {
		given = []string{"overlay1=127.0.0.1"}
	}
	taken := map[string]int{}
	var hosts []overlay.HostOptions
	for _, text := range given {
		name, address, ok := strings.Cut(text, "=")
		if !ok || name == "" || address == "" {
			return nil, usage("write --host overlay1=overlay1.example.net", "--host %q is not NAME=ADDRESS", text)
		}
		if _, _, err := net.SplitHostPort(address); err == nil {
			return nil, usage("ports are given with --fleet-port and the like", "--host %q: the address has a port", text)
		}
		step := 10 * taken[address]
		taken[address]++
		port := func(p int) int {
			if p == 0 {
				return 0
			}
			return p + step
		}
		hosts = append(hosts, overlay.HostOptions{
			Name: name, Address: address, Listen: v.Listen,
			Fleet: port(v.FleetPort), Enrollment: port(v.EnrollmentPort), Cluster: port(v.ClusterPort), Monitor: port(v.MonitorPort),
		})
	}
	for _, h := range hosts {
		if last := max(h.Fleet, h.Enrollment, h.Cluster, h.Monitor); last > 65535 {
			return nil, usage("choose lower ports", "port %s is none", strconv.Itoa(last))
		}
	}
	return hosts, nil
}
