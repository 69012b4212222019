package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// inventory says that a node runs the program of a release; "" is a program of before there was one.
func (r *registryCell) inventory(node, release string) {
	r.t.Helper()
	build := map[string]string{"version": "(devel)"}
	if release != "" {
		build["release"] = release
	}
	document, err := json.Marshal(map[string]any{"protocol": "choria:registration:inventorycontent:1", "content": map[string]any{"build_info": build}})
	if err != nil {
		r.t.Fatal(err)
	}
	output, err := json.Marshal(map[string]any{
		"protocol": "choria:adapters:choria_streams:output:1", "data": string(document), "sender": node, "requestid": "r", "time": time.Now(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.streams().Publish(r.t.Context(), "discovery."+strings.ReplaceAll(node, ".", "="), output); err != nil {
		r.t.Fatal(err)
	}
}

// requiring is a machine's folder whose manifest requires something of the program.
func (r *registryCell) requiring(requires, name, version string) string {
	r.t.Helper()
	dir := r.machine(name, version, "busy")
	file := filepath.Join(dir, "machine.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(read(r.t, file), "format: 1\n", "format: 1\nrequires: '"+requires+"'\n", 1)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// Publishing says how many nodes could not run it, and how to list them, and strands them only where that is allowed.
func TestH74PublishSaysHowManyNodesCouldNotRunIt(t *testing.T) {
	r := newRegistryCell(t)
	alone := r.as
	r.as = r.client("both", "registry_publish", "fleet_view")
	for _, name := range []string{overlay.PublisherKeyFile, overlay.FirstRootFile, overlay.AnchorsFile} {
		if err := os.WriteFile(filepath.Join(r.as, name), []byte(read(t, filepath.Join(alone, name))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for node, release := range map[string]string{"web1.example": "0.0.9", "web2.example": "", "web3.example": "0.1.0", "db1.example": "0.0.9", "db2.example": "2.0.1"} {
		r.inventory(node, release)
	}
	known := &fleetInventoryVerb{contextFlags: contextFlags{As: r.as}}
	until(t, func() bool { return strings.Count(answer(t, known, false).out, ".example") == 5 })

	later := answer(t, r.publish(r.requiring(">=7.5", "web", "1.0.0")), false)
	later.wants(t, exitInvalid, "nothing is published")
	if !strings.Contains(later.out+later.errs, "too_old: this program is of release "+machine.Release+", and the manifest requires >=7.5") {
		t.Errorf("it says %s%s", later.out, later.errs)
	}
	v := r.publish(r.requiring(">=0.1", "web", "1.0.0"))
	a := answer(t, v, false)
	a.wants(t, exitInvalid, "web requires release >=0.1: 3 of the 5 nodes whose inventories are known could not run it")
	a.wants(t, exitInvalid, "--allow-older-nodes")
	a.wants(t, exitInvalid, `statecraft fleet inventory --fields build_info.release --where 'build_info.release in [nil, "0.0.9"]'`)
	list := answer(t, &fleetInventoryVerb{contextFlags: contextFlags{As: r.as}, whereFlag: whereFlag{Where: `build_info.release in [nil, "0.0.9"]`}}, false)
	if strings.Count(list.out, ".example") != 3 || strings.Contains(list.out, "web3") {
		t.Errorf("the command lists\n%s%s", list.out, list.errs)
	}
	v.DryRun = true
	answer(t, v, false).wants(t, exitOK, "3 of the 5")
	if _, err := r.specs().Get(t.Context(), "spec.default"); err == nil {
		t.Error("it is published")
	}
	v = r.publish(r.requiring(">=0.1", "web", "1.0.0"))
	v.Match = "identity('^web[13]')"
	answer(t, v, false).wants(t, exitInvalid, "1 of the 5")
	v.Match = "identity('^web') && has_command('sh')"
	answer(t, v, false).wants(t, exitInvalid, "up to 2 of the 5")
	v.Older = true
	a = answer(t, v, true)
	a.wants(t, exitOK, "up to 2 of the 5")
	var result publishResult
	if err := json.Unmarshal([]byte(a.out), &result); err != nil || len(result.Older) != 1 || result.Older[0].Nodes != 2 || result.Older[0].Unsure != 2 || result.Older[0].Requires != ">=0.1" {
		t.Errorf("it prints %s (%v)", a.out, err)
	}
	v = r.publish(r.requiring(">=0.1", "cache", "1.0.0"))
	v.Match = "identity('^web3')"
	answer(t, v, false).wants(t, exitOK, "")
	answer(t, r.publish(r.machine("plain", "1.0.0", "busy")), false).wants(t, exitOK, "")
	marked := r.machine("marked", "1.0.0", "busy")
	file := filepath.Join(marked, "machine.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(read(t, file), "format: 1\n", "format: 2\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	answer(t, r.publish(marked), false).wants(t, exitInvalid, "marked requires release >=0.2: 4 of the 5 nodes whose inventories are known could not run it")

	r.as = alone
	answer(t, r.publish(r.requiring(">=0.1", "web", "1.1.0")), false).wants(t, exitOK, "may not ask for inventories")
}
