package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

const (
	clusterHosts  = 3
	clusterBurst  = 60
	clusterWithin = 5 * time.Minute // how long anything is waited for
)

// cluster is a cell whose hosts are processes of their own on this machine.
type cluster struct {
	t       *testing.T
	dir     string
	port    int // of the first host's fleet listener; enrollment, cluster and monitor follow, and those of the next host ten above
	hosts   map[string]*process
	watched jetstream.JetStream
}

// newCell makes the folders of a cell and starts nothing.
func newCell(t *testing.T, hosts int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), port: clusterPorts(t), hosts: map[string]*process{}}
	c.init(hosts)
	return c
}

// init makes the folders of so many hosts, or adds those that are missing.
func (c *cluster) init(hosts int) {
	c.t.Helper()
	statecraft(c.t, c.initArgs(hosts)...)
}

func (c *cluster) initArgs(hosts int) []string {
	args := []string{"overlay", "init", c.dir, "--cell", "c1", "--listen", "127.0.0.1"}
	for i, flag := range []string{"--fleet-port", "--enrollment-port", "--cluster-port", "--monitor-port"} {
		args = append(args, flag, fmt.Sprint(c.port+i))
	}
	for i := range hosts {
		args = append(args, "--host", hostName(i)+"=127.0.0.1")
	}
	return args
}

// startAll starts all hosts at once and waits until what is declared is on all of them.
func (c *cluster) startAll() {
	c.t.Helper()
	for i := range clusterHosts {
		c.start(hostName(i))
	}
	c.watched = c.operator()
	c.replicated(clusterHosts)
}

func hostName(i int) string { return fmt.Sprintf("o%d", i+1) }

// clusterPorts finds ports for all hosts below those that connections are made from, so that none of them is taken meanwhile.
func clusterPorts(t *testing.T) int {
	t.Helper()
	for range 50 {
		first := 15000 + rand.IntN(1500)*10
		free := true
		for i := range clusterHosts {
			for k := range 4 {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+10*i+k))
				free = free && err == nil
				if err == nil {
					_ = l.Close()
				}
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("there are no free ports")
	return 0
}

func (c *cluster) start(name string) {
	c.t.Helper()
	c.hosts[name] = c.process("overlay", "run", "--log-level", "info", filepath.Join(c.dir, "hosts", name))
}

// process starts the program. It is killed at the end of the test where it still runs.
func (c *cluster) process(args ...string) *process {
	c.t.Helper()
	return c.processOf("statecraft", args...)
}

// processOf starts a program, such as that of another release.
func (c *cluster) processOf(program string, args ...string) *process {
	c.t.Helper()
	p := &process{t: c.t, Cmd: exec.Command(program, args...)}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if c.t.Failed() {
			c.t.Logf("%s:\n%s", strings.Join(args, " "), faultsOf(&p.err))
		}
	})
	return p
}

// faultsOf is the last of what a process has logged.
func faultsOf(log *bytes.Buffer) string {
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// operator connects as the operator, to whichever host is there.
func (c *cluster) operator() jetstream.JetStream {
	c.t.Helper()
	client, err := overlay.OpenClient(filepath.Join(c.dir, "operator"))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := client.Connect(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// eventually polls until a condition holds, which says what is missing else.
func eventually(t *testing.T, within time.Duration, holds func(ctx context.Context) error) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := holds(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %v", within, err)
		}
	}
}

// replicated waits until every stream has a leader and so many hosts have all of it.
func (c *cluster) replicated(hosts int) {
	c.t.Helper()
	began := time.Now()
	eventually(c.t, clusterWithin, func(ctx context.Context) error {
		const declared = 14
		var lacking []string
		seen := 0
		list := c.watched.ListStreams(ctx)
		for s := range list.Info() {
			seen++
			if why := replicasLack(s, hosts); why != "" {
				lacking = append(lacking, s.Config.Name+": "+why)
			}
		}
		if err := list.Err(); err != nil {
			return err
		}
		if seen < declared || len(lacking) > 0 {
			return fmt.Errorf("%d streams of %d; %s", seen, declared, strings.Join(lacking, "; "))
		}
		return nil
	})
	c.t.Logf("replicated after %.1f s", time.Since(began).Seconds())
}

func replicasLack(s *jetstream.StreamInfo, hosts int) string {
	switch {
	case s.Config.Replicas != hosts:
		return fmt.Sprintf("%d replicas", s.Config.Replicas)
	case hosts > 1 && (s.Cluster == nil || s.Cluster.Leader == ""):
		return "no leader"
	}
	if s.Cluster == nil {
		return ""
	}
	for _, r := range s.Cluster.Replicas {
		if !r.Current || r.Offline {
			return fmt.Sprintf("%s is behind by %d, offline %t", r.Name, r.Lag, r.Offline)
		}
	}
	return ""
}

// leaderOfRegister is the host that leads the stream of bucket NODES.
func (c *cluster) leaderOfRegister() string {
	c.t.Helper()
	s, err := c.watched.Stream(c.t.Context(), "KV_NODES")
	if err != nil {
		c.t.Fatal(err)
	}
	return s.CachedInfo().Cluster.Leader
}

// leaderOfMeta is the host that leads JetStream as a whole, as the first host knows.
func (c *cluster) leaderOfMeta() string {
	c.t.Helper()
	var page struct {
		Meta struct{ Leader string } `json:"meta_cluster"`
	}
	eventually(c.t, clusterWithin, func(context.Context) error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/jsz", c.port+3))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || page.Meta.Leader == "" {
			return fmt.Errorf("JetStream has no leader: %w", err)
		}
		return nil
	})
	return page.Meta.Leader
}

// burst starts nodes in a process of their own, which ends when all belong to the cell.
func (c *cluster) burst(prefix string, nodes int, pause time.Duration) *process {
	return c.process("emulate", "--join", filepath.Join(c.dir, "join.jwt"), "--nodes", fmt.Sprint(nodes), "--prefix", prefix,
		"--domain", "c1", "--pause", pause.String(), "--in-memory", "--once", "--json", "--for", clusterWithin.String())
}

// nodes reads the register: the keys under which it has active nodes, by identity. Every identity must be there once.
func (c *cluster) nodes(ctx context.Context, prefix string) (map[string]string, error) {
	kv, err := c.watched.KeyValue(ctx, "NODES")
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }()
	active := map[string]string{}
	for entry := range w.Updates() {
		if entry == nil {
			return active, nil
		}
		var m demoNodeResult
		if err := json.Unmarshal(entry.Value(), &m); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Key(), err)
		}
		if strings.ReplaceAll(m.Identity, ".", "=") != entry.Key() {
			return nil, fmt.Errorf("the record of %s is under %s", m.Identity, entry.Key())
		}
		if m.State == "active" && strings.HasPrefix(m.Identity, prefix) {
			active[m.Identity] = m.PublicKey
		}
	}
	return nil, fmt.Errorf("the register could not be read: %w", ctx.Err())
}

// provisioned counts the events that say a node has joined, by identity, as the stream has them.
func (c *cluster) provisioned(ctx context.Context, prefix string) (map[string]int, error) {
	consumer, err := c.watched.OrderedConsumer(ctx, "EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"choria.lifecycle.event.provisioned.>"},
	})
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for pending := consumer.CachedInfo().NumPending; pending > 0; {
		batch, err := consumer.Fetch(int(min(pending, 500)), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			var event struct{ Data struct{ Identity string } }
			if err := json.Unmarshal(m.Data(), &event); err != nil {
				return nil, err
			}
			if strings.HasPrefix(event.Data.Identity, prefix) {
				counts[event.Data.Identity]++
			}
			pending--
		}
		if batch.Error() != nil {
			return nil, batch.Error()
		}
	}
	return counts, nil
}

// arrived waits for the burst to end, and holds what the cell knows of it against what was started.
func (c *cluster) arrived(p *process, prefix string) {
	c.t.Helper()
	if err := p.Wait(); err != nil {
		c.t.Fatalf("the burst: %v\n%s\n%s", err, p.out.String(), faultsOf(&p.err))
	}
	var result emulateResult
	if err := json.Unmarshal(p.out.Bytes(), &result); err != nil || result.Active != result.Nodes || result.Nodes == 0 {
		c.t.Fatalf("the nodes say that %d are active: %v", result.Active, err)
	}
	c.t.Logf("all arrived within %.1f s, half of them after %.1f s", result.Seconds, result.Median)
	var active map[string]string
	eventually(c.t, clusterWithin, func(ctx context.Context) (err error) {
		if active, err = c.nodes(ctx, prefix); err == nil && len(active) != result.Nodes {
			err = fmt.Errorf("the register has %d nodes", len(active))
		}
		return err
	})
	keys := map[string]string{}
	for id, key := range active {
		if other := keys[key]; other != "" || key == "" {
			c.t.Errorf("%s and %s have the key %q", id, other, key)
		}
		keys[key] = id
	}
	eventually(c.t, clusterWithin, func(ctx context.Context) error {
		counts, err := c.provisioned(ctx, prefix)
		if err != nil {
			return err
		}
		for id := range active {
			if counts[id] != 1 {
				return fmt.Errorf("%s was announced %d times", id, counts[id])
			}
		}
		return nil
	})
}

// In the middle of a burst of enrollments a host is killed: the one that leads the register and, as soon as it is back, the one that leads
// JetStream, and so again. All nodes arrive and are announced, once each, and the hosts take their places again.
func TestD29D31KilledHostsLoseNoEnrollment(t *testing.T) {
	c := newCell(t, clusterHosts)
	c.startAll()
	for _, kill := range []struct {
		prefix, what string
		leader       func(*cluster) string
	}{
		{"a", "the leader of the register", (*cluster).leaderOfRegister},
		{"b", "the leader of JetStream", (*cluster).leaderOfMeta},
		{"c", "the leader of the register", (*cluster).leaderOfRegister},
	} {
		burst := c.burst(kill.prefix, clusterBurst, 50*time.Millisecond)
		eventually(t, clusterWithin, func(ctx context.Context) error {
			active, err := c.nodes(ctx, kill.prefix)
			if err == nil && len(active) < clusterBurst/4 {
				err = fmt.Errorf("%d nodes have joined", len(active))
			}
			return err
		})
		name := kill.leader(c)
		c.hosts[name].end(syscall.SIGKILL)
		t.Logf("killed %s, %s", name, kill.what)
		c.arrived(burst, kill.prefix)
		c.start(name)
		c.replicated(clusterHosts)
	}
}

// A host that was alone becomes one of three. What it held is there afterwards, on all of them, and revisions go on.
func TestACellOfOneGrows(t *testing.T) {
	c := newCell(t, 1)
	c.start(hostName(0))
	c.watched = c.operator()
	c.replicated(1)
	c.arrived(c.burst("alone", clusterBurst/4, 0), "alone")
	before := c.held()
	c.hosts[hostName(0)].end(syscall.SIGTERM)
	c.init(clusterHosts)
	c.startAll()
	eventually(t, clusterWithin, func(ctx context.Context) error {
		_, err := os.Stat(filepath.Join(c.dir, "hosts", hostName(0), "streams.before-cluster"))
		return err
	})
	after := c.held()
	for name, was := range before {
		is := after[name]
		if is.State.Msgs < was.State.Msgs || is.State.LastSeq < was.State.LastSeq || is.Config.PersistMode != jetstream.DefaultPersistMode {
			t.Errorf("%s had %+v and has %+v, persists %s", name, was.State, is.State, is.Config.PersistMode)
		}
	}
	active, err := c.nodes(t.Context(), "alone")
	if err != nil || len(active) != clusterBurst/4 {
		t.Errorf("the register has %d nodes: %v", len(active), err)
	}
	if counts, err := c.provisioned(t.Context(), "alone"); err != nil || len(counts) != clusterBurst/4 {
		t.Errorf("the events of %d nodes are there: %v", len(counts), err)
	}
	c.arrived(c.burst("three", clusterBurst/4, 0), "three")
}

// held is all streams.
func (c *cluster) held() map[string]*jetstream.StreamInfo {
	c.t.Helper()
	all := map[string]*jetstream.StreamInfo{}
	list := c.watched.ListStreams(c.t.Context())
	for s := range list.Info() {
		all[s.Config.Name] = s
	}
	if err := list.Err(); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// A host that comes later gets its replicas within seconds of its arrival.
func TestAHostThatComesLater(t *testing.T) {
	c := newCell(t, clusterHosts)
	for i := range clusterHosts - 1 {
		c.start(hostName(i))
	}
	c.watched = c.operator()
	c.replicated(clusterHosts - 1)
	c.start(hostName(clusterHosts - 1))
	c.replicated(clusterHosts)
}
