package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/testdata/netswitch"
)

// host is the name of a host.
type host = string

const (
	hostCount = 3
	inside    = "127.0.1.1" // where hosts listen; everybody reaches them at 127.0.0.1, where the switch does
	outside   = "127.0.0.1"
)

// hostNames are the hosts of the cell.
func hostNames() []host { return []host{"o1", "o2", "o3"} }

// cell is a cell of three hosts, each a process, behind a switch.
type cell struct {
	binary string
	dir    string
	port   int // of the first host's fleet listener; enrollment, cluster and monitor follow, and those of the next host ten above
	net    *netswitch.Switch
	led    *ledger
	disks  map[host]*disk // of hosts with a small disk of their own
	client *overlay.Connection
	js     jetstream.JetStream

	mu    sync.Mutex
	hosts map[host]*process
}

// newCell makes the folders of a cell and opens the switch; no host runs yet.
func newCell(binary, dir string, led *ledger) (*cell, error) {
	c := &cell{binary: binary, dir: dir, led: led, hosts: map[host]*process{}, disks: map[host]*disk{}}
	if err := c.findPorts(); err != nil {
		return nil, err
	}
	args := []string{"overlay", "init", c.path("cell"), "--cell", "c1", "--listen", inside}
	for i, flag := range []string{"--fleet-port", "--enrollment-port", "--cluster-port", "--monitor-port"} {
		args = append(args, flag, strconv.Itoa(c.port+i))
	}
	for _, name := range hostNames() {
		args = append(args, "--host", name+"="+outside)
	}
	if _, err := c.output(context.Background(), args...); err != nil {
		return nil, err
	}
	c.net = netswitch.New(c.owner)
	for i, name := range hostNames() {
		for k := range 3 {
			port := strconv.Itoa(c.port + 10*i + k)
			if err := c.net.Listen(name, k == 2, net.JoinHostPort(outside, port), net.JoinHostPort(inside, port)); err != nil {
				return nil, fmt.Errorf("opening the switch: %w", err)
			}
		}
	}
	return c, nil
}

// findPorts looks for ports below those that connections are made from, so that none of them is taken meanwhile.
func (c *cell) findPorts() error {
	for range 100 {
		first, free := 15000+rand.IntN(1500)*10, true
		for i := range hostCount {
			for k := range 4 {
				for _, address := range []string{inside, outside} {
					l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(first+10*i+k)))
					free = free && err == nil
					if err == nil {
						_ = l.Close()
					}
				}
			}
		}
		if free {
			c.port = first
			return nil
		}
	}
	return errors.New("there are no free ports")
}

func (c *cell) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// owner is the host whose process has a connection from a local port.
func (c *cell) owner(port int) host {
	c.mu.Lock()
	defer c.mu.Unlock()
	processes := map[string]int{}
	for name, p := range c.hosts {
		processes[name] = p.cmd.Process.Pid
	}
	return netswitch.Owner(port, processes)
}

// start starts a host.
func (c *cell) start(name host) error {
	p, err := launch(c.binary, "host "+name, c.path(name+".log"), nil, c.died,
		"overlay", "run", "--log-level", "info", c.path("cell", "hosts", name))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[name] = p
	return nil
}

func (c *cell) died(p *process) {
	c.led.violate(lost, "%s ended by itself: %v; see %s", p.name, p.result, p.log)
}

// process is the process of a host.
func (c *cell) process(name host) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts[name]
}

// begin starts all hosts, connects as the operator, and waits until the cell is complete.
func (c *cell) begin(ctx context.Context) error {
	for _, name := range hostNames() {
		if err := c.start(name); err != nil {
			return err
		}
	}
	client, err := overlay.OpenClient(c.path("cell", "operator"))
	if err != nil {
		return err
	}
	err = until(ctx, 5*time.Minute, func(ctx context.Context) (err error) {
		c.client, err = client.Connect(ctx, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		return err
	}
	if c.js, err = jetstream.New(c.client.Conn); err != nil {
		return err
	}
	return until(ctx, 5*time.Minute, func(ctx context.Context) error {
		lacking, err := c.lacking(ctx)
		if err == nil && len(lacking) > 0 {
			err = errors.New(strings.Join(lacking, "; "))
		}
		return err
	})
}

// lacking says of which streams a host has not everything.
func (c *cell) lacking(ctx context.Context) (lacking []string, err error) {
	const declared = 14
	seen := 0
	list := c.js.ListStreams(ctx)
	for s := range list.Info() {
		seen++
		if s.Cluster == nil || s.Cluster.Leader == "" {
			lacking = append(lacking, s.Config.Name+" has no leader")
			continue
		}
		if s.Config.Replicas != hostCount {
			lacking = append(lacking, fmt.Sprintf("%s has %d copies", s.Config.Name, s.Config.Replicas))
		}
		for _, r := range s.Cluster.Replicas {
			if !r.Current || r.Offline {
				lacking = append(lacking, fmt.Sprintf("%s: %s is behind by %d, offline %t", s.Config.Name, r.Name, r.Lag, r.Offline))
			}
		}
	}
	if seen < declared {
		lacking = append(lacking, fmt.Sprintf("%d streams of %d are there", seen, declared))
	}
	return lacking, list.Err()
}

// leader is the host that leads a stream, or JetStream as a whole where the stream is "". It is "" where nobody answers within two
// seconds, as while there is none.
func (c *cell) leader(ctx context.Context, stream string) host {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if stream != "" {
		if s, err := c.js.Stream(ctx, stream); err == nil && s.CachedInfo().Cluster != nil {
			return s.CachedInfo().Cluster.Leader
		}
		return ""
	}
	for i := range hostNames() {
		var page struct {
			Meta struct{ Leader string } `json:"meta_cluster"`
		}
		if c.page(ctx, i, "/jsz", &page) == nil && page.Meta.Leader != "" {
			return page.Meta.Leader
		}
	}
	return ""
}

// page reads a page of a host's monitoring, which does not pass the switch.
func (c *cell) page(ctx context.Context, index int, path string, into any) error {
	url := fmt.Sprintf("http://%s:%d%s", outside, c.port+10*index+3, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// output runs a verb to its end and returns what it prints.
func (c *cell) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w, %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return out, fmt.Errorf("statecraft %s: %w", strings.Join(args[:min(2, len(args))], " "), err)
	}
	return out, nil
}

// operate runs a verb of the operator.
func (c *cell) operate(ctx context.Context, args ...string) ([]byte, error) {
	return c.output(ctx, append(args, "--as", c.path("cell", "operator"))...)
}

// ask sends a request as the operator.
func (c *cell) ask(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	return c.client.RequestWithContext(ctx, subject, body)
}

// end ends all that runs and gives disks back, with a copy of what was on them where that is to be looked at.
func (c *cell) end(keep bool) error {
	var errs []error
	if c.client != nil {
		c.client.Close()
	}
	for _, name := range hostNames() {
		if p := c.process(name); p != nil {
			select {
			case <-p.ended:
			default:
				errs = append(errs, p.end(syscall.SIGKILL))
			}
		}
	}
	c.net.Close()
	for _, d := range c.disks {
		if keep {
			errs = append(errs, d.keep())
		}
		errs = append(errs, d.unmount())
	}
	return errors.Join(errs...)
}

// until polls until something holds, for a while.
func until(ctx context.Context, within time.Duration, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		try, stop := context.WithTimeout(ctx, 10*time.Second)
		err := holds(try)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// wait lets time pass, unless the context ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// write makes a file and its folder.
func write(path, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}
