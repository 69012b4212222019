package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// decider says who decides where nodes belong; the zero one is the policy in the host's process.
type decider struct {
	helper  string        // a program
	workers int           // how many of it run at once
	takes   time.Duration // what it takes of each decision
	brief   time.Duration // how long the first token of a node lasts; 0 is as the cell's machines say
}

// cell is an overlay of one host, a process of its own.
type cell struct {
	*bench
	ctx     context.Context // ends with the run, and with the host
	dir     string
	host    *child
	monitor string // URL of nats-server's monitoring
	metrics string // URL of the metrics
}

// inCell makes a cell, measures in it, and removes it again.
func (b *bench) inCell(d decider, measure func(*cell) error) (err error) {
	c := &cell{bench: b}
	if c.dir, err = os.MkdirTemp(b.dir, "cell-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	if err := c.start(d); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.host.end()) }()
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	c.ctx = ctx
	go func() {
		<-c.host.ended
		stop(errors.New("the overlay's host ended"))
	}()
	if err := until(ctx, "the overlay's host", func() (bool, error) { _, err := c.counters(); return err == nil, err }); err != nil {
		return err
	}
	return measure(c)
}

func (c *cell) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// start makes the cell's files and starts its host.
func (c *cell) start(d decider) error {
	ports, err := freePorts(4)
	if err != nil {
		return fmt.Errorf("looking for free ports: %w", err)
	}
	_, err = c.output("overlay", "init", c.path("made"), "--listen", "127.0.0.1", "--fleet-port", ports[0], "--enrollment-port", ports[1],
		"--monitor-port", ports[2], "--helper", d.helper, "--helper-workers", strconv.Itoa(max(1, d.workers)))
	if err != nil {
		return err
	}
	c.monitor, c.metrics = "http://127.0.0.1:"+ports[2], "http://127.0.0.1:"+ports[3]+"/metrics"
	if d.brief > 0 {
		if err := c.brief(d.brief); err != nil {
			return err
		}
	}
	cmd := c.command(c.bench.ctx, "overlay", "run", "--allow-unsigned", c.path("made"), "--listen-metrics", "127.0.0.1:"+ports[3])
	cmd.Env = append(os.Environ(), "SLOWHELPER_TAKES="+d.takes.String())
	c.host, err = launch(cmd, "the overlay's host", c.path("host.log"))
	return err
}

// freePorts returns ports of loopback that nobody listens on at the moment.
func freePorts(n int) (ports []string, err error) {
	var held []net.Listener // until all are found, or one would be found twice
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// counters are the host's metrics: by name and labels, as they are written.
type counters map[string]float64

// counters asks the host for its metrics.
func (c *cell) counters() (counters, error) {
	text, err := c.get(c.metrics)
	if err != nil {
		return nil, err
	}
	all := counters{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		if all[line[:cut]], err = strconv.ParseFloat(line[cut+1:], 64); err != nil {
			return nil, fmt.Errorf("reading the metric %s: %w", line[:cut], err)
		}
	}
	return all, nil
}

// sum adds what has a name and all of some labels, each as label="value". A metric that is not there counts as 0, which is never what a
// run is held against.
func (c counters) sum(name string, labels ...string) (total float64) {
	for series, value := range c {
		of, with, _ := strings.Cut(series, "{")
		fits := of == name
		for _, label := range labels {
			fits = fits && strings.Contains(with, label)
		}
		if fits {
			total += value
		}
	}
	return total
}

// sessions is how many nodes are connected to the fleet's listener.
func (c counters) sessions() float64 {
	return c.sum("statecraft_broker_sessions", `listener="fleet"`, `purpose="node"`)
}

// logins is how many connections nodes have opened and logged in on, with a join token and with their own, also those that were refused.
func (c counters) logins() float64 {
	const name = "statecraft_broker_logins_total"
	return c.sum(name, `purpose="join"`) + c.sum(name, `purpose="node"`)
}

// helped is how often the helper has decided.
func (c counters) helped() float64 {
	return c.sum("statecraft_looks_total", `machine="enrollee"`, `watcher="helper"`, `outcome="success"`)
}

func (c *cell) get(url string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s says %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// registered is how many nodes the cell's register has as active.
func (c *cell) registered() (active int, err error) {
	out, err := c.output("fleet", "ls", "--as", c.path("made", "operator"), "--json")
	if err != nil {
		return 0, err
	}
	var all struct{ Nodes []struct{ State string } }
	if err := json.Unmarshal(out, &all); err != nil {
		return 0, fmt.Errorf("reading the register: %w", err)
	}
	for _, n := range all.Nodes {
		if n.State == "active" {
			active++
		}
	}
	return active, nil
}
