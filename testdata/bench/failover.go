package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

const (
	failoverHosts  = 3
	failoverNodes  = 24
	failoverWithin = 5 * time.Minute // a hang guard
	failoverGoal   = 15000           // ms after there is a leader again
)

// trio is a cell of three hosts, each a process.
type trio struct {
	*bench
	dir   string
	hosts map[string]*child
	conn  *overlay.Connection
	js    jetstream.JetStream
}

// failover measures how long a cell of three takes after the host has died that leads a stream: until the view knows of every node what it
// runs, where that was DISCOVERY, and until every node runs what had just been published, where it was BUNDLES.
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
	for _, part := range []struct{ stream, what string }{
		{"DISCOVERY", "failover: the view is right"}, {"OBJ_BUNDLES", "failover: every node runs what was published"},
	} {
		var sinceLeader, sinceKill []time.Duration
		for round := range b.rounds {
			leader, kill, err := c.round(part.stream, fmt.Sprintf("r%d%s", round, part.stream[:3]))
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", part.stream, round+1, err)
			}
			sinceLeader, sinceKill = append(sinceLeader, leader), append(sinceKill, kill)
		}
		rows = append(rows, least(fmt.Sprintf("%s, after the next leader (%d rounds)", part.what, b.rounds), sinceLeader, failoverGoal)...)
		rows = append(rows, least(fmt.Sprintf("%s, after the kill of its leader (%d rounds)", part.what, b.rounds), sinceKill, 0)...)
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
	first = 15000 + first%1500*10 // below those that connections are made from; the hosts' own follow
	args := []string{"overlay", "init", c.dir + "/cell", "--cell", "c1", "--listen", "127.0.0.1"}
	for i, flag := range []string{"--fleet-port", "--enrollment-port", "--cluster-port", "--monitor-port"} {
		args = append(args, flag, strconv.Itoa(first+i))
	}
	for i := range failoverHosts {
		args = append(args, "--host", fmt.Sprintf("o%d=127.0.0.1", i+1))
	}
	if _, err := c.output(args...); err != nil {
		return err
	}
	for i := range failoverHosts {
		if err := c.host(fmt.Sprintf("o%d", i+1)); err != nil {
			return err
		}
	}
	client, err := overlay.OpenClient(c.dir + "/cell/operator")
	if err != nil {
		return err
	}
	err = until(c.ctx, "a host of three", func() (ok bool, err error) {
		c.conn, err = client.Connect(c.ctx, slog.New(slog.DiscardHandler))
		return err == nil, err
	})
	if err != nil {
		return err
	}
	if c.js, err = jetstream.New(c.conn.Conn); err != nil {
		return err
	}
	return c.whole()
}

func (c *trio) host(name string) (err error) {
	cmd := c.command(context.WithoutCancel(c.ctx), "overlay", "run", c.dir+"/cell/hosts/"+name)
	c.hosts[name], err = launch(cmd, "host "+name, fmt.Sprintf("%s/%s-%d.log", c.dir, name, time.Now().UnixNano()))
	return err
}

func (c *trio) close() (err error) {
	if c.conn != nil {
		c.conn.Close()
	}
	for _, h := range c.hosts {
		err = errors.Join(err, h.end())
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

// round publishes a machine, kills the host that leads a stream, and measures until all nodes run the machine: as the view says, or, where the
// stream is that of bundles, as they say or the view does.
func (c *trio) round(stream, name string) (sinceLeader, sinceKill time.Duration, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, failoverWithin)
	defer cancel()
	dead := ""
	err = c.await(ctx, "a leader of "+stream, func(ctx context.Context) bool { dead = c.leader(ctx, stream); return dead != "" })
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
	var killed, led time.Time
	began := make(chan error, 1)
	err = c.reaches(name, func() error {
		if err := c.hosts[dead].Process.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		killed = time.Now()
		<-c.hosts[dead].ended
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
	fmt.Fprintf(os.Stderr, "failover %s: %s died, %.1f s after that there is another leader or it is known, all runs after %.1f s\n",
		stream, dead, led.Sub(killed).Seconds(), reached.Sub(killed).Seconds())
	if err := c.host(dead); err != nil {
		return 0, 0, err
	}
	return max(0, reached.Sub(led)), reached.Sub(killed), c.whole()
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
