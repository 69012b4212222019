package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// hosts asks the cell how its hosts are.
func (c *cluster) askHosts() (r fleetHostsResult, code int, said string) {
	c.t.Helper()
	var out, err strings.Builder
	code = run([]string{"fleet", "hosts", "--json", "--as", filepath.Join(c.dir, "operator")}, strings.NewReader(""), &out, &err)
	if code == exitOK || code == exitPartial {
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			c.t.Fatalf("%v: %s", err, out.String())
		}
	}
	return r, code, err.String()
}

// until asks until what is answered is as it should be.
func (c *cluster) until(what string, is func(r fleetHostsResult, code int) bool) fleetHostsResult {
	c.t.Helper()
	var last fleetHostsResult
	eventually(c.t, clusterWithin, func(context.Context) error {
		r, code, said := c.askHosts()
		if last = r; is(r, code) {
			return nil
		}
		return fmt.Errorf("%s: code %d, %s, %+v", what, code, said, r)
	})
	return last
}

// TestH66FleetHostsShowsTheHostsOfACell: all that are well, one that is away, and one whose configuration is another.
func TestH66FleetHostsShowsTheHostsOfACell(t *testing.T) {
	c := newCell(t, clusterHosts)
	c.startAll()
	r := c.until("all are well", func(r fleetHostsResult, code int) bool { return code == exitOK && len(r.Hosts) == clusterHosts })
	leaders, leads := 0, 0
	for i, h := range r.Hosts {
		if h.Host != hostName(i) || h.Away || h.Health != "well" || h.Join != "member" || !h.Current || h.Version == "" || h.Limit == 0 || h.Size == 0 {
			t.Errorf("%+v", h)
		}
		if h.Published == nil || h.Published.State == "" || len(h.Published.Machines) > 0 {
			t.Errorf("what %s says of what is published for it: %+v", h.Host, h.Published)
		}
		leads += len(h.Leads)
		if h.Leader {
			leaders++
		}
	}
	if leaders != 1 || leads < 14 {
		t.Errorf("%d hosts lead JetStream, and %d streams have a leader", leaders, leads)
	}

	c.hosts[hostName(1)].end(syscall.SIGKILL)
	// For how long is not known of one that the leader has not heard of yet.
	r = c.until("one is away", func(r fleetHostsResult, code int) bool {
		return code == exitPartial && len(r.Hosts) == clusterHosts && r.Hosts[1].Away
	})
	if r.Hosts[0].Away || r.Hosts[2].Away {
		t.Errorf("%+v", r.Hosts)
	}

	file := filepath.Join(c.dir, "hosts", hostName(1), "overlay.yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "configuration: {region: south}\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.start(hostName(1))
	c.until("one has another configuration", func(r fleetHostsResult, code int) bool {
		return code == exitPartial && slices.Equal(r.Disagrees, []string{"configuration of o2 is not the cell's"})
	})
	// An operator says that it is right, and the others are not.
	statecraft(t, "fire", "settings", "adopt", "--state", filepath.Join(c.dir, "hosts", hostName(1), "state"))
	c.until("the others have another configuration", func(r fleetHostsResult, _ int) bool {
		return slices.Equal(r.Disagrees, []string{"configuration of o1 is not the cell's", "configuration of o3 is not the cell's"})
	})
}
