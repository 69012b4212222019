package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// helper writes a site's helper: a shell script.
func helper(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	write(t, path, "#!/bin/sh\n"+strings.Join(lines, "\n")+"\n", 0o700)
	return path
}

// TestD28HelpersThatFail has helpers that decide nothing. The node stays pending, is told, and joins once the helper works.
func TestD28HelpersThatFail(t *testing.T) {
	for name, broken := range map[string]string{
		"hangs":                "sleep 60",
		"hangs with a child":   "sleep 60 & wait",
		"ignores its end":      `trap "" TERM; while :; do sleep 1; done`,
		"exits 1":              `echo '{"configuration": {}}'; exit 1`,
		"prints 10 MB":         `echo '{"msg": "'; head -c 10000000 /dev/zero | tr '\0' x; echo '"}'`,
		"prints 10 MB on both": "head -c 10000000 /dev/zero | tr '\\0' x >&2; head -c 10000000 /dev/zero",
		"prints nonsense":      "echo this is not JSON",
		"prints a list":        "echo '[1, 2]'",
		"prints half":          `printf '{"configuration": {'`,
		"prints nothing":       ":",
		"is not there":         "rm -f $0; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			mended := filepath.Join(t.TempDir(), "mended")
			script := helper(t, "if [ ! -e "+mended+" ]; then", broken, "exit $?", "fi", `echo '{"configuration": {"colour": "blue"}}'`)
			machines := override(t, t.TempDir(), "overlay/enrollee", "timeout: 10s\n    governor", "timeout: 500ms\n    governor")
			c := newCell(t, func(o *overlay.InitOptions) { o.Helper, o.Machines = script, machines })
			m := newMember(t, "n1.example", t.TempDir(), c.join, impatientNodes(t))
			eventually(t, "the node knows why it waits", func() bool { return m.reason() == "nobody could decide" })
			if s := m.state(); s != "pending" && s != "announcing" && s != "introducing" {
				t.Errorf("the node is %s, want that it waits", s)
			}
			if r := record(t, c.bucket("NODES"), "n1.example"); r != nil {
				t.Errorf("the register has %v of a node that nobody has decided on", r)
			}
			if name == "is not there" {
				write(t, script, "#!/bin/sh\necho '{\"configuration\": {\"colour\": \"blue\"}}'\n", 0o700)
			}
			write(t, mended, "", 0o600)
			m.becomes("active")
			if got, err := m.store.Active(); err != nil || string(got.Configuration) != `{"colour":"blue"}` {
				t.Errorf("the node was given %s, %v", got.Configuration, err)
			}
		})
	}
}

// TestD28Burst takes 200 nodes that come at once through a helper that takes a second, of which fifty may run at once: nobody is dropped, and
// throughput is workers by latency. That is counted: each helper waits until it is let go, so that fifty are running, no more, before any
// ends, and the next fifty before any of them does. Four times that is all nodes.
func TestD28Burst(t *testing.T) {
	const nodes, workers = 200, 50
	dir := t.TempDir()
	script := helper(t, "read began rest < /proc/uptime", "gate=$(mktemp -u "+dir+"/gate.XXXXXXXX)", "mkfifo $gate", "read go < $gate", "sleep 1", "echo '{}'",
		"read ended rest < /proc/uptime", `echo "$began $ended" >> `+dir+"/log", "rm $gate")
	machines := override(t, t.TempDir(), "overlay/enrollee", "timeout: 10s\n    governor", "timeout: 10m\n    governor")
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper, o.HelperWorkers, o.Machines = script, workers, machines })
	e, err := newAgent(t, nil).Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{}
	for len(gone) < nodes {
		var waiting []string
		eventually(t, "as many helpers run as there may be", func() bool {
			waiting = gates(t, dir, gone)
			return len(waiting) == workers
		})
		for _, gate := range waiting {
			gone[gate] = true
			write(t, gate, "go\n", 0o600) // waits until the helper reads
		}
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == nodes })
	runs := readRuns(t, filepath.Join(dir, "log"))
	if len(runs) != nodes {
		t.Errorf("the helper ran %d times, want once for each of %d nodes", len(runs), nodes)
	}
	if most := atOnce(runs); most != workers {
		t.Errorf("%d helpers ran at once, want %d", most, workers)
	}
}

// gates are where the helpers wait that have not been let go.
func gates(t testing.TB, dir string, gone map[string]bool) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "gate.*"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(gate string) bool { return gone[gate] })
}

// run is when a helper began and ended, in seconds.
type run struct{ began, ended float64 }

func readRuns(t testing.TB, log string) []run {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var runs []run
	for line := range strings.Lines(string(text)) {
		var r run
		if _, err := fmt.Sscan(line, &r.began, &r.ended); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		runs = append(runs, r)
	}
	return runs
}

// atOnce is the most runs of any moment. One that begins in the moment in which another ends is after it.
func atOnce(runs []run) int {
	most := 0
	for _, r := range runs {
		n := 0
		for _, other := range runs {
			if other.began <= r.began && r.began < other.ended {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestD28WaitingIsNotDropping has nodes wait for the helper for longer than they wait before they introduce themselves again.
func TestD28WaitingIsNotDropping(t *testing.T) {
	const nodes = 30
	log := filepath.Join(t.TempDir(), "log")
	script := helper(t, "sleep 0.1", "echo ran >> "+log, "echo '{}'")
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper, o.HelperWorkers = script, 1 })
	e, err := newAgent(t, impatientNodes(t)).Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == nodes })
	within(t, "waiting for one helper", 10*time.Second, began)
	if ran, err := os.ReadFile(log); err != nil || strings.Count(string(ran), "ran\n") != nodes {
		t.Errorf("the helper ran %d times, want once for each of %d nodes (%v)", strings.Count(string(ran), "ran\n"), nodes, err)
	}
}
