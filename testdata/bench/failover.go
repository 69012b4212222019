package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/testdata/netswitch"
)

const (
	failoverHosts  = 3
	failoverNodes  = 24
	failoverWithin = 5 * time.Minute // a hang guard
	failoverGoal   = 15000           // ms after there is a leader again
	inside         = "127.0.1.1"     // where hosts listen; everybody reaches them at 127.0.0.1, through a switch
	outside        = "127.0.0.1"
)

// fault is what is done to the host that leads a stream, until all is well without it, and how it is put right again.
type fault struct {
	name       string
	harm, mend func(c *trio, host string) error
}

func faults() []fault {
	signal := func(s syscall.Signal) func(*trio, string) error {
		return func(c *trio, host string) error { return c.child(host).Process.Signal(s) }
	}
	cut := func(r netswitch.Reach) func(*trio, string) error {
		return func(c *trio, host string) error {
			c.net.Set(host, r)
			return nil
		}
	}
	return []fault{
		{"is killed", func(c *trio, host string) error {
			err := signal(syscall.SIGKILL)(c, host)
			<-c.child(host).ended
			return err
		}, (*trio).host},
		{"is paused", signal(syscall.SIGSTOP), signal(syscall.SIGCONT)},
		{"is cut off", cut(netswitch.FromAll), cut("")},
	}
}

// trio is a cell of three hosts, each a process.
type trio struct {
	*bench
	dir  string
	port int // of the first host's fleet listener; those of the next are ten above
	net  *netswitch.Switch
	conn *overlay.Connection
	js   jetstream.JetStream

	mu    sync.Mutex
	hosts map[string]*child
}

// failover measures how long a cell of three takes after the host that leads a stream has died, stands still or is cut off: until the view
// knows of every node what it runs, where that was DISCOVERY, and until every node runs what had just been published, where it was BUNDLES.
func (b *bench) failover() (rows []row, err error) {
	c := &trio{bench: b, hosts: map[string]*child{}}
	if c.dir, err = os.MkdirTemp(b.dir, "trio-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(), os.RemoveAll(c.dir)) }()
	if err := c.start(); err != nil {
		return nil, err
	}
	cmd := c.command(b.ctx, "emulate", "--join", c.dir+"/cell/join.jwt", "--nodes", strconv.Itoa(failoverNodes), "--state", c.dir+"/nodes")
	nodes, err := launch(cmd, "the emulator", c.dir+"/nodes.log")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, nodes.end()) }()
	if err := c.reaches("first", func() error { return nil }, nil); err != nil {
		return nil, err
	}
	for _, f := range faults() {
		of, err := c.rounds(f)
		if err != nil {
			return nil, fmt.Errorf("a leader %s: %w", f.name, err)
		}
		rows = append(rows, of...)
	}
	return rows, nil
}

// rounds measures one fault.
func (c *trio) rounds(f fault) (rows []row, err error) {
	for _, part := range []struct{ stream, what string }{
		{"DISCOVERY", "the view is right"}, {"OBJ_BUNDLES", "every node runs what was published"},
	} {
		var sinceLeader, sinceFault []time.Duration
		for round := range c.bench.rounds {
			leader, harmed, err := c.round(f, part.stream, fmt.Sprintf("r%d_%s_%s", round, part.stream[:3], strings.ReplaceAll(f.name, " ", "_")))
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", part.stream, round+1, err)
			}
			sinceLeader, sinceFault = append(sinceLeader, leader), append(sinceFault, harmed)
		}
		what := fmt.Sprintf("a leader %s (%d rounds): %s", f.name, c.bench.rounds, part.what)
		rows = append(rows, least(what+", after the next leader", sinceLeader, failoverGoal)...)
		rows = append(rows, least(what+", after the fault", sinceFault, 0)...)
	}
	return rows, nil
}

// least are the least, the middle and the most of times, the latter held against a goal where there is one.
func least(what string, took []time.Duration, most float64) (rows []row) {
	slices.Sort(took)
	for _, one := range []struct {
		name string
		took time.Duration
	}{{"min", took[0]}, {"median", took[len(took)/2]}, {"max", took[len(took)-1]}} {
		r := row{What: what + ", " + one.name, Value: float64(one.took.Milliseconds()), Unit: "ms"}
		if one.name == "max" && most > 0 {
			r = r.atMost(most)
		}
		rows = append(rows, r)
	}
	return rows
}

func (c *trio) start() error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	first, err := strconv.Atoi(ports[0])
	if err != nil {
		return err
	}
	c.port = 15000 + first%1500*10 // below those that connections are made from; the hosts' own follow
	args := []string{"overlay", "init", c.dir + "/cell", "--cell", "c1", "--listen", inside}
	for i, flag := range []string{"--fleet-port", "--enrollment-port", "--cluster-port", "--monitor-port"} {
		args = append(args, flag, strconv.Itoa(c.port+i))
	}
	for i := range failoverHosts {
		args = append(args, "--host", hostOf(i)+"="+outside)
	}
	if _, err := c.output(args...); err != nil {
		return err
	}
	c.net = netswitch.New(c.owner)
	for i := range failoverHosts {
		for k := range 3 { // the cluster's is the third
			port := strconv.Itoa(c.port + 10*i + k)
			if err := c.net.Listen(hostOf(i), k == 2, net.JoinHostPort(outside, port), net.JoinHostPort(inside, port)); err != nil {
				return fmt.Errorf("opening the switch: %w", err)
			}
		}
		if err := c.host(hostOf(i)); err != nil {
			return err
		}
	}
	if err := c.dial(""); err != nil {
		return err
	}
	return c.whole()
}

func hostOf(i int) string { return fmt.Sprintf("o%d", i+1) }

// owner is the host whose process has a connection from a local port.
func (c *trio) owner(port int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	processes := map[string]int{}
	for name, h := range c.hosts {
		processes[name] = h.Process.Pid
	}
	return netswitch.Owner(port, processes)
}

// child is the process of a host.
func (c *trio) child(name string) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts[name]
}

// dial connects as the operator to a host that is not the one named: it is about to be away, and who waits for its answers measures that.
func (c *trio) dial(away string) error {
	client, err := overlay.OpenClient(c.dir + "/cell/operator")
	if err != nil {
		return err
	}
	var urls []string
	for i := range failoverHosts {
		port := fmt.Sprintf(":%d", c.port+10*i)
		for _, url := range client.URLs {
			if hostOf(i) != away && strings.HasSuffix(url, port) {
				urls = append(urls, url)
			}
		}
	}
	client.URLs = urls
	if c.conn != nil {
		c.conn.Close()
	}
	err = until(c.ctx, "a host of three", func() (ok bool, err error) {
		c.conn, err = client.Connect(c.ctx, slog.New(slog.DiscardHandler))
		return err == nil, err
	})
	if err != nil {
		return err
	}
	c.js, err = jetstream.New(c.conn.Conn)
	return err
}

// host starts a host.
func (c *trio) host(name string) error {
	cmd := c.command(context.WithoutCancel(c.ctx), "overlay", "run", c.dir+"/cell/hosts/"+name)
	h, err := launch(cmd, "host "+name, fmt.Sprintf("%s/%s-%d.log", c.dir, name, time.Now().UnixNano()))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[name] = h
	return nil
}

func (c *trio) close() (err error) {
	if c.conn != nil {
		c.conn.Close()
	}
	for name, h := range c.hosts {
		c.net.Set(name, "")
		err = errors.Join(err, h.Process.Signal(syscall.SIGCONT), h.end())
	}
	if c.net != nil {
		c.net.Close()
	}
	return err
}

// whole waits until all hosts have all of the streams.
func (c *trio) whole() error {
	ctx, cancel := context.WithTimeout(c.ctx, failoverWithin)
	defer cancel()
	return c.await(ctx, "three copies of all streams", func(ctx context.Context) bool {
		const declared = 14
		seen, list := 0, c.js.ListStreams(ctx)
		for s := range list.Info() {
			if s.Cluster == nil || s.Cluster.Leader == "" || s.Config.Replicas != failoverHosts ||
				slices.ContainsFunc(s.Cluster.Replicas, func(r *jetstream.PeerInfo) bool { return !r.Current || r.Offline }) {
				return false
			}
			seen++
		}
		return list.Err() == nil && seen >= declared
	})
}

// await polls with short questions.
func (c *trio) await(ctx context.Context, what string, holds func(ctx context.Context) bool) error {
	const every, question = 100 * time.Millisecond, time.Second
	for {
		once, cancel := context.WithTimeout(ctx, question)
		ok := holds(once)
		cancel()
		if ok {
			return nil
		}
		if err := waitFor(ctx, every); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// leader is the host that leads a stream, "" where none does or nobody says.
func (c *trio) leader(ctx context.Context, stream string) string {
	s, err := c.js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

// round publishes a machine, harms the host that leads a stream, and measures until all nodes run the machine: as the view says, or, where the
// stream is that of bundles, as they say or the view does. The host is put right after that.
func (c *trio) round(f fault, stream, name string) (sinceLeader, sinceFault time.Duration, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, failoverWithin)
	defer cancel()
	dead := ""
	err = c.await(ctx, "a leader of "+stream, func(ctx context.Context) bool { dead = c.leader(ctx, stream); return dead != "" })
	if err == nil {
		err = c.dial(dead)
	}
	if err != nil {
		return 0, 0, err
	}
	var heard chan *nats.Msg
	if stream != "DISCOVERY" {
		heard = make(chan *nats.Msg, 64*1024)
		sub, err := c.conn.ChanSubscribe("choria.machine.transition", heard)
		if err != nil {
			return 0, 0, err
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection may be away
	}
	var harmed, led time.Time
	began := make(chan error, 1)
	err = c.reaches(name, func() error {
		if err := f.harm(c, dead); err != nil {
			return err
		}
		harmed = time.Now()
		go func() {
			began <- c.await(ctx, "another leader of "+stream, func(ctx context.Context) bool {
				now := c.leader(ctx, stream)
				return now != "" && now != dead
			})
			led = time.Now()
		}()
		return nil
	}, heard)
	if err != nil {
		return 0, 0, err
	}
	reached := time.Now()
	if err := <-began; err != nil {
		return 0, 0, err
	}
	fmt.Fprintf(os.Stderr, "failover %s: %s %s, %.1f s after that there is another leader or it is known, all runs after %.1f s\n",
		stream, dead, f.name, led.Sub(harmed).Seconds(), reached.Sub(harmed).Seconds())
	if err := f.mend(c, dead); err != nil {
		return 0, 0, err
	}
	return max(0, reached.Sub(led)), reached.Sub(harmed), c.whole()
}

// reaches publishes a machine, does something at once, and waits until every node runs it.
func (c *trio) reaches(name string, then func() error, heard <-chan *nats.Msg) error {
	folder := c.dir + "/machines/" + name
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(folder+"/machine.yaml", fmt.Appendf(nil, published, name), 0o600)); err != nil {
		return err
	}
	if _, err := c.output("publish", "--as", c.dir+"/cell/operator", folder); err != nil {
		return err
	}
	if err := then(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, failoverWithin)
	defer cancel()
	ran := map[string]bool{}
	query, err := json.Marshal(map[string]string{"where": fmt.Sprintf("machines[%q].state == \"running\"", name)})
	if err != nil {
		return err
	}
	return c.await(ctx, "all nodes to run "+name, func(ctx context.Context) bool {
		for len(heard) > 0 {
			if node := runs(<-heard, name); node != "" {
				ran[node] = true
			}
		}
		if heard != nil && len(ran) >= failoverNodes {
			return true
		}
		m, err := c.conn.RequestWithContext(ctx, broker.ServiceSubject(strings.Split(c.conn.NewInbox(), ".")[1], "inventory"), query)
		var answer struct{ Known, Matched int }
		return err == nil && json.Unmarshal(m.Data, &answer) == nil && answer.Matched == failoverNodes && answer.Known == failoverNodes
	})
}
