package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The archive holds what release 875021b left behind: a cell of one host, which took in the nodes n1 and n2, published canary 1.0.0 to them and
// revoked banned.old, and both nodes, of which n1 has a machine of its own that has counted to three. All were stopped with SIGTERM. Its keys are
// for this test. The cell listens on addresses of loopback that nothing else uses, as what a node was assigned says where its cell is; its certificates
// and its join token count until 2069.
const (
	formerRelease = "../../testdata/upgrade/875021b.tar.gz"
	formerBroker  = "127.77.0.1:17400"
	canary        = `format: 1
name: canary
version: %s
initial_state: starting
states: {running: {home: true}}
transitions: [{name: go, from: [starting], destination: running}]
watchers: [{name: at_once, type: expression, state_match: [starting], success_transition: go, properties: {success_when: 'true'}}]
`
)

// unpackFormer unpacks the archive and waits until nobody else has its addresses, such as the same test of another checkout.
func unpackFormer(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("NOT RUN: the data of the release before is of a cell at 127.77.0.1, which only Linux has without being told")
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzpf", formerRelease, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("unpacking %s: %v\n%s", formerRelease, err, out)
	}
	eventually(t, 5*time.Minute, func(context.Context) error {
		l, err := net.Listen("tcp", formerBroker)
		if err != nil {
			return err
		}
		return l.Close()
	})
	return dir
}

// ticks is how far the counter of a node has come, as its host says or, when it does not run, as its log does.
func ticks(t *testing.T, state string) int {
	t.Helper()
	var counter struct{ Data struct{ Ticks int } }
	if err := json.Unmarshal([]byte(statecraft(t, "states", "counter", "--state", state, "--json")), &counter); err != nil {
		t.Fatal(err)
	}
	return counter.Data.Ticks
}

// keyOf is the public key of a node.
func keyOf(t *testing.T, dir string) string {
	t.Helper()
	var shown nodeShown
	if err := json.Unmarshal([]byte(statecraft(t, "node", "show", "--state", dir, "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	return shown.PublicKey
}

// The data of 875021b opens: register, revocations, what was published, who nodes are, and their journals go on.
func TestA13TheCellOf875021bGoesOn(t *testing.T) {
	dir := unpackFormer(t)
	n1, n2 := filepath.Join(dir, "n1"), filepath.Join(dir, "n2")
	if n := ticks(t, filepath.Join(n1, "state")); n != 3 {
		t.Errorf("the log of n1 has counted %d events, want 3", n)
	}
	keys := map[string]string{"n1.old": keyOf(t, n1), "n2.old": keyOf(t, n2)}

	c := &cluster{t: t, dir: filepath.Join(dir, "cell"), hosts: map[string]*process{}}
	c.start(hostName(0))
	c.process("node", "run", "--identity", "n1.old", "--state", n1, "--machines", filepath.Join(dir, "machines"), "--allow-unsigned")
	c.process("node", "run", "--identity", "n2.old", "--state", n2)
	c.watched = c.operator()
	for _, node := range []string{n1, n2} {
		statecraft(t, "states", "enrollment", "--state", filepath.Join(node, "state"), "--wait", "4m", "--until", "active")
		statecraft(t, "states", "canary", "--state", filepath.Join(node, "state"), "--wait", "1m", "--until", "running")
	}
	active, err := c.nodes(t.Context(), "")
	if err != nil || len(active) != 2 || active["n1.old"] != keys["n1.old"] || active["n2.old"] != keys["n2.old"] {
		t.Errorf("the register has %v, want %v: %v", active, keys, err)
	}
	if bucket, err := c.watched.KeyValue(t.Context(), "REVOKED"); err != nil {
		t.Error(err)
	} else if _, err := bucket.Get(t.Context(), "identity.banned=old"); err != nil {
		t.Errorf("the revocation of banned.old: %v", err)
	}

	statecraft(t, "fire", "counter", "tick", "--state", filepath.Join(n1, "state"))
	if n := ticks(t, filepath.Join(n1, "state")); n != 4 {
		t.Errorf("n1 has counted %d events, want 4", n)
	}
	trace := filepath.Join(dir, "trace")
	statecraft(t, "trace", "counter", "--state", filepath.Join(n1, "state"), "--output", trace)
	statecraft(t, "replay", trace)

	c.publishes("statecraft", "1.0.1")
	c.allRun("n", "1.0.1", 2)
	c.consumesAsDocumented()
	c.verifiesTheHost(hostName(0))
}

// publishes publishes a version of canary.
func (c *cluster) publishes(program, version string) {
	c.t.Helper()
	folder := filepath.Join(c.t.TempDir(), "canary")
	err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "machine.yaml"), fmt.Appendf(nil, canary, version), 0o600))
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, clusterWithin, func(context.Context) error {
		out, err := exec.Command(program, "publish", "--as", filepath.Join(c.dir, "operator"), folder).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// allRun waits until the view says that so many nodes whose names begin with a prefix run a version of canary, and none another.
func (c *cluster) allRun(prefix, version string, nodes int) {
	c.t.Helper()
	where := fmt.Sprintf("identity startsWith %q", prefix)
	eventually(c.t, clusterWithin, func(context.Context) error {
		out, err := exec.Command("statecraft", "fleet", "machines", "canary", "--where", where, "--json", "--as", filepath.Join(c.dir, "operator")).Output()
		if err != nil {
			return err
		}
		var said machinesResult
		if err := json.Unmarshal(out, &said); err != nil {
			return err
		}
		if m := said.Machines; len(m) != 1 || m[0].Version != version || m[0].Nodes != nodes {
			return fmt.Errorf("the view has %+v, want %d nodes with %s", m, nodes, version)
		}
		return nil
	})
}

// A cell of one host and one of three, which the program of the release before has made and runs, go on while one host after another is given
// today's program: nodes join before, between and after, those that were there stay, and what is published reaches them, although they have
// the old program. A node that is given today's goes on, too. STATECRAFT_OLD names the program of the release before.
func TestA13ACellGoesOnHostByHost(t *testing.T) {
	old := os.Getenv("STATECRAFT_OLD")
	if old == "" {
		t.Skip("NOT RUN: build the release before, and name its program in STATECRAFT_OLD")
	}
	for _, hosts := range []int{1, clusterHosts} {
		t.Run(fmt.Sprintf("%d hosts", hosts), func(t *testing.T) { upgradeCell(t, old, hosts) })
	}
}

func upgradeCell(t *testing.T, old string, hosts int) {
	const first = 10
	c := &cluster{t: t, dir: t.TempDir(), port: clusterPorts(t), hosts: map[string]*process{}}
	if out, err := exec.Command(old, c.initArgs(hosts)...).CombinedOutput(); err != nil {
		t.Fatalf("making the cell: %v\n%s", err, out)
	}
	for i := range hosts {
		c.hosts[hostName(i)] = c.processOf(old, "overlay", "run", filepath.Join(c.dir, "hosts", hostName(i)))
	}
	c.watched = c.operator()
	c.replicated(hosts)
	join := filepath.Join(c.dir, "join.jwt")
	c.processOf(old, "emulate", "--join", join, "--nodes", fmt.Sprint(first-1), "--prefix", "first", "--domain", "c1", "--in-memory")
	dir := filepath.Join(t.TempDir(), "real")
	node := c.processOf(old, "node", "run", "--join", join, "--identity", "first.real", "--state", dir)
	var before map[string]string
	eventually(t, clusterWithin, func(ctx context.Context) (err error) {
		if before, err = c.nodes(ctx, "first"); err == nil && len(before) != first {
			err = fmt.Errorf("%d nodes of %d have joined", len(before), first)
		}
		return err
	})
	c.publishes(old, "1.0.0")
	c.allRun("first", "1.0.0", first)

	for i := range hosts {
		if code := c.hosts[hostName(i)].end(syscall.SIGTERM); code != exitOK {
			t.Errorf("%s ended with %d", hostName(i), code)
		}
		c.start(hostName(i))
		c.replicated(hosts)
		c.arrived(c.burst(fmt.Sprintf("after%d", i+1), 5, 0), fmt.Sprintf("after%d", i+1))
		c.publishes("statecraft", fmt.Sprintf("1.0.%d", i+1))
		c.allRun("first", fmt.Sprintf("1.0.%d", i+1), first)
	}
	node.end(syscall.SIGTERM)
	c.process("node", "run", "--identity", "first.real", "--state", dir)
	c.publishes("statecraft", "1.1.0")
	c.allRun("first", "1.1.0", first)
	after, err := c.nodes(t.Context(), "first")
	if err != nil || !maps.Equal(before, after) {
		t.Errorf("the register had %v and has %v: %v", before, after, err)
	}
}
